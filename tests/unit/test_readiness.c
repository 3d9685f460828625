/* From single probes to ready or not. */
#include "table.h"

#include "agent/readiness.h"

static void rise_and_fall(void **state)
{
	/* probes: '+' passes, '-' fails, 'x' the container died; ready: what it is behind each, '1' or '0'. */
	static const struct {
		const char *name;
		int64_t rise, fall;
		const char *probes, *ready;
	} rows[] = {
		{ "at once", 1, 3, "+", "1" },
		{ "not before the first", 1, 3, "---+", "0001" },
		{ "rise counts in a row", 3, 1, "++-+++", "000001" },
		{ "fall counts in a row", 1, 3, "+--+---+", "11111101" },
		{ "fall of one", 1, 1, "+-+-", "1010" },
		{ "both", 2, 2, "++-+-+--++", "0111111001" },
		{ "death ends it at once", 1, 3, "+x+", "101" },
		{ "death begins the count anew", 3, 3, "++x+++", "000001" },
		{ "failures before death do not count behind it", 1, 3, "+--x+--", "1110111" },
		{ "long", 1000, 1000, "++++", "0000" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct readiness r = { .rise = rows[i].rise, .fall = rows[i].fall };
		CLEANUP(freep) char *ready = xstrdup(rows[i].probes);

		for (char *p = ready; *p; p++) {
			bool was = r.ready;
			bool changed = *p == 'x' ? readiness_reset(&r) : readiness_feed(&r, *p == '+');
			row_int(rows[i].name, "says that it changed", was != r.ready, changed);
			*p = r.ready ? '1' : '0';
		}
		row_str(rows[i].name, rows[i].probes, rows[i].ready, ready);
	}
	table_end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rise_and_fall),
	};

	return cmocka_run_group_tests_name("readiness", tests, NULL, NULL);
}
