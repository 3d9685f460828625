/* Workers that do their work, as the parent sees them. */
#include "worker_fixture.h"

#define GZ_MEMBER "\x1f\x8b\x08\0\0\0\0\0\0\xff" "\x01\x03\0\xfc\xff" "abc" "\xc2\x41\x24\x35\3\0\0\0"

static void test_a_layer(void **state)
{
	struct run r = { .bytes = GZ_MEMBER, .len = sizeof(GZ_MEMBER) - 1 };
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
	run_worker(&r, INFLATE_PLAIN);
	assert_int_equal(r.state, 0);
	assert_int_equal(r.result.size_bytes, BIG_BYTES);
	sha256_of(bytes, BIG_BYTES, want);
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
	struct run r = { .bytes = GZ_MEMBER GZ_MEMBER, .len = sizeof(GZ_MEMBER GZ_MEMBER) - 1 };

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
	r.emitted = sha256_new();
	worker_stall_ms = 1000; /* more than a busy machine takes to start the worker */
	r.later = go_on;
	run_worker(&r, INFLATE_PLAIN);
	worker_stall_ms = WORKER_STALL_MS;
	if (r.state != 0)
		fail_msg("%s", r.err.msg);
	assert_emitted(&r);
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
		cmocka_unit_test(test_a_program_that_is_not_there),
	};

	if (streq(argv[0], ZYGOTE_ARGV0))
		return worker_main(argc, argv);
	(void)alarm(120); /* a test that hangs has failed */
	return cmocka_run_group_tests(tests, NULL, NULL);
}
