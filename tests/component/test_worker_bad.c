/*
 * Workers that do not do their work, that their input has taken over, or that are let go. This program is its own
 * worker: the first byte of input says how to behave.
 */
#include "worker_fixture.h"

#include <fcntl.h>
#include <signal.h>

#include "unpack/jail.h"

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

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bad_workers),
		cmocka_unit_test(test_a_worker_that_dies_while_fed),
		cmocka_unit_test(test_a_worker_that_hangs_is_killed),
		cmocka_unit_test(test_freeing_a_running_worker_ends_it),
		cmocka_unit_test(test_freeing_one_does_not_silence_another),
	};

	if (streq(argv[0], ZYGOTE_ARGV0))
		return worker_main_running(argc, argv, be_a_worker);
	(void)alarm(120); /* a test that hangs has failed */
	return cmocka_run_group_tests(tests, NULL, NULL);
}
