/*
 * Workers as the parent sees them: good ones, and ones that their input has taken over. This program is its own
 * worker: the first byte of input says how to behave.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/mem.h"
#include "unpack/jail.h"
#include "unpack/worker_private.h"

#define GZ_MEMBER "\x1f\x8b\x08\0\0\0\0\0\0\xff" "\x01\x03\0\xfc\xff" "abc" "\xc2\x41\x24\x35\3\0\0\0"
#define BIG_BYTES (24 * MIB) /* many times the pipe */

/* The worker's side. */

static void put_record(uint32_t kind, const char *message)
{
	struct worker_record record = { .magic = WORKER_RECORD_MAGIC, .kind = kind, .size_bytes = 3 };

	memcpy(record.message, message, strlen(message));
	(void)!write(WORKER_RESULT_FD, &record, sizeof record);
}

static int misbehave(char how, const struct jail *jail)
{
	static const int keep[] = { WORKER_DATA_FD, WORKER_RESULT_FD };
	struct worker_record endless = { .magic = WORKER_RECORD_MAGIC, .kind = ERR_REFUSED };
	struct err err;

	switch (how) {
	case 'o': /* breaks out, as far as it gets */
		if (jail_enter(jail, keep, 2, &err) == 0)
			(void)open("/etc/passwd", O_RDONLY);
		return 0;
	case 'k':
		(void)raise(SIGKILL);
		return 0;
	case 'z':
		(void)kill(getppid(), SIGKILL);
		for (;;)
			(void)pause();
	case 'x':
		return 3;
	case 'g':
		(void)!write(WORKER_RESULT_FD, "garbage", 7);
		return 0;
	case 'e':
		put_record(ERR_REFUSED, "gzip: \x1b[2J\xe2\x80\xae red\nlines");
		return 1;
	case 'n':
		memset(endless.message, 'A', sizeof endless.message);
		(void)!write(WORKER_RESULT_FD, &endless, sizeof endless);
		return 1;
	case 'u':
		put_record(12345, "of no kind");
		return 1;
	case 'l':
		put_record(ERR_NONE, "");
		return 1;
	case 'd':
		put_record(ERR_NONE, "");
		put_record(ERR_NONE, "");
		return 0;
	case 's':
		put_record(ERR_NONE, "");
		return 0;
	case 'h':
		for (;;)
			(void)pause();
	default:
		return 99;
	}
}

static void be_a_worker(const struct zygote_order *order, const struct jail *jail)
{
	char how;

	if (read(WORKER_DATA_FD, &how, 1) != 1)
		_exit(98);
	if (how == 'w')
		worker_run(order, jail);
	_exit(misbehave(how, jail));
}

/* The parent's side. */

struct run {
	struct loop *loop;
	struct zygote *zygote;
	struct worker *worker;
	const char *bytes;
	size_t len, at;
	bool keep_open; /* never ends the input */
	int state;
	size_t events;
	loop_timer_fn *later;
	struct sha256 *emitted; /* NULL: it does not emit */
	size_t emitted_bytes, emitted_max; /* takes no more than that, for now */
	struct worker_result result;
	struct err err;
};

static void take_output(struct run *r)
{
	const void *bytes;
	size_t len;

	while (r->emitted && r->emitted_bytes < r->emitted_max) {
		worker_peek(r->worker, &bytes, &len);
		if (!len)
			return;
		len = len > 1000 ? len - 1 : len; /* what is not consumed comes again */
		sha256_update(r->emitted, bytes, len);
		r->emitted_bytes += len;
		worker_consume(r->worker, len);
	}
}

static void on_event(void *arg)
{
	struct run *r = arg;

	r->events++;
	while (r->at < r->len) {
		ssize_t n = worker_feed(r->worker, r->bytes + r->at, r->len - r->at, &r->err);
		if (n <= 0)
			break;
		r->at += (size_t)n;
		if (r->at == r->len && !r->keep_open)
			worker_end_input(r->worker);
	}
	take_output(r);
	r->state = worker_result(r->worker, &r->result, &r->err);
	if (r->state == 0 && r->emitted && !worker_output_ended(r->worker))
		r->state = 1;
}

static bool is_over(void *arg)
{
	return ((struct run *)arg)->state != 1;
}

static size_t open_descriptors(void)
{
	DIR *d = opendir("/proc/self/fd");
	size_t n = 0;

	while (readdir(d))
		n++;
	(void)closedir(d);
	return n;
}

/* Feeds all and waits for the end; nothing is left behind. */
static void run_worker(struct run *r, enum inflate_format format)
{
	struct err err = { 0 };

	assert_int_equal(loop_new(&r->loop, &err), 0);
	size_t before = open_descriptors();
	const struct worker_options options = { .format = format, .emit = r->emitted != NULL };
	assert_int_equal(zygote_start(r->loop, &r->zygote, &err), 0);
	assert_int_equal(worker_start(r->zygote, &options, on_event, r, &r->worker, &err), 0);
	on_event(r);
	if (r->later)
		(void)loop_timer_start(r->loop, 3000, r->later, r); /* gone when it has run */
	if (loop_wait(r->loop, is_over, r, clock_mono_ms() + 60000, &err) < 0)
		fail_msg("%s", err.msg);
	worker_free(r->worker);
	zygote_free(r->zygote);
	assert_int_equal(open_descriptors(), before);
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
	assert_int_equal(errno, ECHILD);
	loop_free(r->loop);
}

static void test_a_layer(void **state)
{
	struct run r = { .bytes = "w" GZ_MEMBER, .len = sizeof("w" GZ_MEMBER) - 1 };
	uint8_t want[SHA256_BYTES];

	(void)state;
	run_worker(&r, INFLATE_GZIP);
	assert_int_equal(r.state, 0);
	assert_int_equal(r.result.size_bytes, 3);
	sha256_of("abc", 3, want);
	assert_memory_equal(r.result.diff_id, want, sizeof want);
}

static void test_a_layer_larger_than_the_pipe(void **state)
{
	CLEANUP(freep) char *bytes = xmalloc(BIG_BYTES);
	struct run r = { .bytes = bytes, .len = BIG_BYTES };
	uint8_t want[SHA256_BYTES];

	(void)state;
	for (size_t i = 0; i < BIG_BYTES; i++)
		bytes[i] = (char)(i * 7 + i / 1000);
	bytes[0] = 'w';
	run_worker(&r, INFLATE_PLAIN);
	assert_int_equal(r.state, 0);
	assert_int_equal(r.result.size_bytes, BIG_BYTES - 1);
	sha256_of(bytes + 1, BIG_BYTES - 1, want);
	assert_memory_equal(r.result.diff_id, want, sizeof want);
	assert_true(r.events > 2);
}

static void assert_emitted(struct run *r)
{
	uint8_t got[SHA256_BYTES];

	sha256_final(r->emitted, got);
	assert_memory_equal(got, r->result.diff_id, sizeof got);
	assert_int_equal(r->emitted_bytes, r->result.size_bytes);
	sha256_free(r->emitted);
}

static void test_a_layer_comes_back_inflated(void **state)
{
	struct run r = { .bytes = "w" GZ_MEMBER GZ_MEMBER, .len = sizeof("w" GZ_MEMBER GZ_MEMBER) - 1 };

	(void)state;
	r.emitted = sha256_new();
	r.emitted_max = SIZE_MAX;
	run_worker(&r, INFLATE_GZIP);
	assert_int_equal(r.state, 0);
	assert_int_equal(r.emitted_bytes, 6);
	assert_emitted(&r);
}

static void go_on(void *arg)
{
	struct run *r = arg;

	r->emitted_max = SIZE_MAX;
	on_event(r);
}

/* Nobody reads for longer than a stalled worker may take: it is not the one that stalls. */
static void test_a_worker_waits_for_its_reader(void **state)
{
	CLEANUP(freep) char *bytes = xcalloc(1, BIG_BYTES);
	struct run r = { .bytes = bytes, .len = BIG_BYTES, .emitted_max = 4 * MIB };

	(void)state;
	bytes[0] = 'w';
	r.emitted = sha256_new();
	worker_stall_ms = 1000; /* more than a busy machine takes to start the worker */
	r.later = go_on;
	run_worker(&r, INFLATE_PLAIN);
	worker_stall_ms = WORKER_STALL_MS;
	if (r.state != 0)
		fail_msg("%s", r.err.msg);
	assert_emitted(&r);
}

static const struct {
	const char *name;
	const char *bytes;
	size_t len;
	enum err_kind kind;
	const char *says;
	bool keep_open;
} bad[] = {
#define B(s) s, sizeof(s) - 1
	{ "damaged gzip", B("w" "nothing like it"), ERR_REFUSED, "gzip: bad header", false },
	{ "damaged gzip, more to come", B("w" "nothing like it"), ERR_REFUSED, "gzip: bad header", true },
	{ "truncated gzip", B("w\x1f\x8b\x08"), ERR_REFUSED, "gzip: truncated", false },
	{ "an empty layer", B("w"), ERR_REFUSED, "gzip: truncated", false },
	{ "a forbidden call", B("o"), ERR_FAILED, "the worker was killed by SIGSYS", false },
	{ "killed", B("k"), ERR_FAILED, "the worker was killed by SIGKILL", false },
	{ "killed with the zygote", B("z"), ERR_FAILED, "the worker was killed by SIGKILL", false },
	{ "silent", B("x"), ERR_FAILED, "without an answer (exit status 3)", false },
	{ "garbage", B("g"), ERR_PROTOCOL, "malformed", false },
	{ "escape sequences", B("e"), ERR_REFUSED, "gzip: ?[2J??? red?lines", false },
	{ "a message without end", B("n"), ERR_REFUSED, "AAAA", false },
	{ "an unknown kind", B("u"), ERR_REFUSED, "of no kind", false },
	{ "success and exit status 1", B("l"), ERR_PROTOCOL, "contradicts itself", false },
	{ "two answers", B("d"), ERR_PROTOCOL, "malformed", false },
	{ "an answer before the end", B("s"), ERR_PROTOCOL, "before its input had ended", true },
#undef B
};

static void test_bad_workers(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct run r = { .bytes = bad[i].bytes, .len = bad[i].len, .keep_open = bad[i].keep_open };
		run_worker(&r, INFLATE_GZIP);
		if (r.state != -1 || r.err.kind != bad[i].kind || !strstr(r.err.msg, bad[i].says))
			fail_msg("%s: state %d, %s: \"%s\"", bad[i].name, r.state, err_kind_name(r.err.kind),
				 r.err.msg);
	}
}

/* Its death is noticed while we still have bytes for it. */
static void test_a_worker_that_dies_while_fed(void **state)
{
	CLEANUP(freep) char *bytes = xcalloc(1, BIG_BYTES);
	struct run r = { .bytes = bytes, .len = BIG_BYTES };

	(void)state;
	bytes[0] = 'x';
	run_worker(&r, INFLATE_PLAIN);
	assert_int_equal(r.state, -1);
	assert_true(r.at < BIG_BYTES);
}

static void test_a_worker_that_hangs_is_killed(void **state)
{
	static const struct {
		size_t len;
		bool keep_open;
	} cases[] = { { BIG_BYTES, true }, { 1, false } }; /* pipe full; input ended */

	(void)state;
	worker_stall_ms = 500;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		CLEANUP(freep) char *bytes = xcalloc(1, BIG_BYTES);
		struct run r = { .bytes = bytes, .len = cases[i].len, .keep_open = cases[i].keep_open };
		bytes[0] = 'h';
		run_worker(&r, INFLATE_PLAIN);
		assert_int_equal(r.state, -1);
		assert_int_equal(r.err.kind, ERR_TIMEOUT);
	}
	worker_stall_ms = WORKER_STALL_MS;
}

static void ignore_event(void *arg)
{
	(void)arg;
}

static void test_freeing_a_running_worker_ends_it(void **state)
{
	struct zygote *zygote;
	struct loop *loop;
	struct worker *w;
	struct err err = { 0 };

	(void)state;
	assert_int_equal(loop_new(&loop, &err), 0);
	assert_int_equal(zygote_start(loop, &zygote, &err), 0);
	const struct worker_options options = { .format = INFLATE_GZIP };
	assert_int_equal(worker_start(zygote, &options, ignore_event, NULL, &w, &err), 0);
	assert_int_equal(worker_feed(w, "h", 1, &err), 1);
	worker_free(w);
	zygote_free(zygote);
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
	loop_free(loop);
}

static bool has_ended(void *arg)
{
	struct worker_result result;
	struct err err;

	return worker_result(arg, &result, &err) != 1;
}

/* What the one that is waited for keeps from the loop comes to the others all the same. */
static void test_freeing_one_does_not_silence_another(void **state)
{
	const struct worker_options options = { .format = INFLATE_GZIP };
	struct zygote *zygote;
	struct loop *loop;
	struct worker *freed, *other;
	struct worker_result result;
	struct err err = { 0 };

	(void)state;
	assert_int_equal(loop_new(&loop, &err), 0);
	assert_int_equal(zygote_start(loop, &zygote, &err), 0);
	assert_int_equal(worker_start(zygote, &options, ignore_event, NULL, &freed, &err), 0);
	assert_int_equal(worker_start(zygote, &options, ignore_event, NULL, &other, &err), 0);
	assert_int_equal(worker_feed(freed, "h", 1, &err), 1);
	assert_int_equal(worker_feed(other, "x", 1, &err), 1);
	(void)usleep(200000); /* time for the other to end first; it need not */
	worker_free(freed);
	assert_int_equal(loop_wait(loop, has_ended, other, clock_mono_ms() + 60000, &err), 0);
	assert_int_equal(worker_result(other, &result, &err), -1);
	assert_non_null(strstr(err.msg, "exit status 3"));
	worker_free(other);
	zygote_free(zygote);
	loop_free(loop);
}

static void test_a_program_that_is_not_there(void **state)
{
	struct zygote *zygote = NULL;
	struct loop *loop;
	struct err err = { 0 };

	(void)state;
	assert_int_equal(loop_new(&loop, &err), 0);
	zygote_program = "/nonexistent";
	assert_int_equal(zygote_start(loop, &zygote, &err), -1);
	zygote_program = "/proc/self/exe";
	assert_int_equal(err.kind, ERR_SYSTEM);
	assert_null(zygote);
	loop_free(loop);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_layer),
		cmocka_unit_test(test_a_layer_larger_than_the_pipe),
		cmocka_unit_test(test_a_layer_comes_back_inflated),
		cmocka_unit_test(test_a_worker_waits_for_its_reader),
		cmocka_unit_test(test_bad_workers),
		cmocka_unit_test(test_a_worker_that_dies_while_fed),
		cmocka_unit_test(test_a_worker_that_hangs_is_killed),
		cmocka_unit_test(test_freeing_a_running_worker_ends_it),
		cmocka_unit_test(test_freeing_one_does_not_silence_another),
		cmocka_unit_test(test_a_program_that_is_not_there),
	};

	if (streq(argv[0], ZYGOTE_ARGV0))
		return worker_main_running(argc, argv, be_a_worker);
	(void)alarm(120); /* a test that hangs has failed */
	return cmocka_run_group_tests(tests, NULL, NULL);
}
