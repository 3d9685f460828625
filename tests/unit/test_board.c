/* What berth says about itself, read by one thread while another writes. */
#include "table.h"

#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

#include "agent/board.h"
#include "base/clock.h"

static int64_t now_ms;

static int64_t fake_now(void)
{
	return now_ms;
}

static void since_moves_with_the_status_only(void **state)
{
	struct board *b = board_new();
	struct snapshot s = { .status = BOARD_STARTING }, got;
	static const struct {
		enum board_status status;
		int64_t at_ms, since_ms;
	} rows[] = {
		{ BOARD_STARTING, 1000, 1000 }, { BOARD_STARTING, 2000, 1000 }, { BOARD_PULLING, 3000, 3000 },
		{ BOARD_PULLING, 4000, 3000 },	{ BOARD_READY, 5000, 5000 },	{ BOARD_READY, 6000, 5000 },
		{ BOARD_UNHEALTHY, 7000, 7000 }, { BOARD_READY, 8000, 8000 },
	};

	(void)state;
	clock_inject(fake_now, fake_now);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		now_ms = rows[i].at_ms;
		s.status = rows[i].status;
		board_publish(b, &s);
		board_read(b, &got);
		assert_int_equal(got.since_ms, rows[i].since_ms);
		assert_int_equal(s.since_ms, rows[i].since_ms);
	}
	clock_inject(NULL, NULL);
	board_free(b);
}

static void reader_before_the_first_publication(void **state)
{
	struct board *b = board_new();
	struct snapshot got;

	(void)state;
	memset(&got, 0xff, sizeof got);
	board_read(b, &got);
	assert_int_equal(got.status, BOARD_STARTING);
	assert_string_equal(got.reason, "");
	board_free(b);
}

static void json_has_what_the_contract_names(void **state)
{
	static const char *const names[] = { "status", "reason", "image", "digest", "container", "since" };
	struct snapshot s = { .status = BOARD_READY, .image = "a/b:c" };
	struct json *o;
	size_t i = 0;

	(void)state;
	o = board_json(&s, false);
	for (const struct json *v = json_first(o); v; v = json_next(v), i++)
		assert_string_equal(json_name(v), names[i]);
	assert_int_equal(i, ARRAY_LEN(names));
	assert_string_equal(json_string(json_get(o, "status")), "ready");
	assert_string_equal(json_string(json_get(o, "image")), "a/b:c");
	assert_null(json_string(json_get(o, "digest"))); /* unknown is null, not "" */
	json_free(o);
}

static void reasons_are_printable(void **state)
{
	struct board *b = board_new();
	struct snapshot s = { .reason = "exit 1: \xff\n\x1b[2J" }, got;

	(void)state;
	board_publish(b, &s);
	board_read(b, &got);
	assert_string_equal(got.reason, "exit 1: ???[2J");
	assert_string_equal(s.reason, got.reason); /* the status file tells the same */
	board_free(b);
}

/* Every field of a snapshot says the same number, so that a mixture of two shows. */
static void fill(struct snapshot *s, uint64_t n)
{
	s->status = (enum board_status)(n % BOARD_STATUSES);
	(void)snprintf(s->phase, sizeof s->phase, "%020llu", (unsigned long long)n);
	(void)snprintf(s->reason, sizeof s->reason, "%0500llu", (unsigned long long)n);
	(void)snprintf(s->image, sizeof s->image, "%01000llu", (unsigned long long)n);
	(void)snprintf(s->container, sizeof s->container, "%0200llu", (unsigned long long)n);
	s->started_ms = s->pull_bytes = s->pull_total_bytes = s->pull_ms = (int64_t)n;
	s->probes_passed = s->probes_failed = n;
	s->pid = (int)n;
}

static bool whole(const struct snapshot *got)
{
	struct snapshot expected = *got;

	fill(&expected, got->probes_passed);
	return memcmp(&expected, got, sizeof expected) == 0;
}

struct torture {
	struct board *board;
	atomic_bool stop;
	atomic_uint_fast64_t reads, torn, backwards;
};

static void *read_on(void *arg)
{
	struct torture *t = arg;
	struct snapshot got;
	uint64_t last = 0;

	while (!atomic_load(&t->stop)) {
		board_read(t->board, &got);
		if (!whole(&got))
			atomic_fetch_add(&t->torn, 1);
		if (got.probes_passed < last)
			atomic_fetch_add(&t->backwards, 1);
		last = got.probes_passed;
		atomic_fetch_add(&t->reads, 1);
	}
	return NULL;
}

static void no_reader_sees_half_a_snapshot(void **state)
{
	struct torture t = { .board = board_new() };
	struct snapshot s = { 0 };
	pthread_t readers[3];
	int64_t until;

	(void)state;
	fill(&s, 0);
	board_publish(t.board, &s);
	for (size_t i = 0; i < ARRAY_LEN(readers); i++)
		assert_int_equal(pthread_create(&readers[i], NULL, read_on, &t), 0);
	until = clock_mono_ms() + 1000;
	for (uint64_t n = 1; clock_mono_ms() < until; n++) {
		fill(&s, n);
		board_publish(t.board, &s);
		if (n % 64 == 0)
			(void)usleep(1); /* lets readers on machines with one core come through */
	}
	atomic_store(&t.stop, true);
	for (size_t i = 0; i < ARRAY_LEN(readers); i++)
		pthread_join(readers[i], NULL);
	board_read(t.board, &s);
	print_message("%llu publications, %llu reads\n", (unsigned long long)s.probes_passed,
		      (unsigned long long)t.reads);
	assert_int_equal(t.torn, 0);
	assert_int_equal(t.backwards, 0);
	assert_true(t.reads > 0);
	board_free(t.board);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(since_moves_with_the_status_only),
		cmocka_unit_test(reader_before_the_first_publication),
		cmocka_unit_test(json_has_what_the_contract_names),
		cmocka_unit_test(reasons_are_printable),
		cmocka_unit_test(no_reader_sees_half_a_snapshot),
	};

	return cmocka_run_group_tests_name("board", tests, NULL, NULL);
}
