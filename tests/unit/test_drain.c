/* When a container's connections are gone: none, counted, for the quiet time. */
#include "table.h"

#include "agent/drain.h"

#define QUIET_MS 1000

static const struct row {
	const char *name;
	struct {
		size_t left;
		int64_t began_ms, ended_ms;
	} counted[4];
	size_t n;
	bool quiet;
} rows[] = {
	{ "nobody has counted", { { 0 } }, 0, false },
	{ "none, at once", { { 0, 5000, 5001 } }, 1, false },
	{ "none for long enough", { { 0, 5000, 5001 }, { 0, 6000, 6001 } }, 2, true },
	{ "some, and none too shortly", { { 1, 5000, 5001 }, { 0, 6000, 6001 } }, 2, false },
	{ "some, and none since", { { 1, 5000, 5001 }, { 0, 5500, 5501 }, { 0, 6001, 6002 } }, 3, true },
	{ "some, and long not counted", { { 0, 5000, 5001 }, { 1, 5500, 9000 } }, 2, false },
	{ "some again", { { 0, 6000, 6001 }, { 2, 6200, 6201 }, { 0, 6400, 6401 } }, 3, false },
};

static void it_is_over_when_there_are_none_for_the_quiet_time(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct drain drain = { .began_ms = 5000, .busy_ms = 5000 };
		for (size_t k = 0; k < rows[i].n; k++)
			drain_counted(&drain, rows[i].counted[k].left, rows[i].counted[k].began_ms,
				      rows[i].counted[k].ended_ms);
		row_int(rows[i].name, "quiet", rows[i].quiet, drain_is_quiet(&drain, QUIET_MS));
	}
	table_end();
}

static void counting_that_takes_long_is_not_done_all_the_time(void **state)
{
	struct drain drain = { .began_ms = 5000, .busy_ms = 5000 };

	(void)state;
	drain_counted(&drain, 7, 5000, 5100);
	assert_int_equal(drain.look_again_ms, 5500);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_is_over_when_there_are_none_for_the_quiet_time),
		cmocka_unit_test(counting_that_takes_long_is_not_done_all_the_time),
	};

	return cmocka_run_group_tests_name("drain", tests, NULL, NULL);
}
