/* The values of options: times, and names of containers. */
#include "table.h"

#include "agent/options.h"

static void times(void **state)
{
	static const struct {
		const char *text;
		int64_t ms; /* -1: refused */
	} rows[] = {
		{ "0ms", 0 }, { "500ms", 500 }, { "2s", 2000 }, { "5m", 300000 }, { "1h", 3600000 },
		{ "8760h", 31536000000 },
		{ "8761h", -1 }, { "", -1 }, { "s", -1 }, { "5", -1 }, { "1.5s", -1 }, { "-1s", -1 }, { "+1s", -1 },
		{ " 1s", -1 }, { "1s ", -1 }, { "1 s", -1 }, { "1S", -1 }, { "1d", -1 }, { "1m30s", -1 },
		{ "0x1s", -1 },
		{ "9223372036854775807h", -1 }, { "9223372036854775808ms", -1 }, { "99999999999999999999s", -1 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		int64_t ms = -2;
		struct err err;
		int result = duration_parse(rows[i].text, &ms, &err);
		row_int(rows[i].text, "result", rows[i].ms < 0 ? -1 : 0, result);
		row_int(rows[i].text, "ms", rows[i].ms < 0 ? -2 : rows[i].ms, ms); /* untouched on failure */
	}
	table_end();
}

static void names_of_containers(void **state)
{
	CLEANUP(freep) char *longest = xasprintf("%0*d", CONTAINER_NAME_MAX, 1);
	CLEANUP(freep) char *longer = xasprintf("%0*d", CONTAINER_NAME_MAX + 1, 1);
	const struct {
		const char *name;
		bool right;
	} rows[] = {
		{ "web", true }, { "my_App.v1-2", true }, { "0a", true }, { "a.", true }, { longest, true },
		{ "", false }, { "a", false }, { "..", false }, { "a/b", false }, { "/web", false }, { longer, false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct err err;
		row_int(rows[i].name, "right", rows[i].right, container_name_check(rows[i].name, &err) == 0);
	}
	table_end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(times),
		cmocka_unit_test(names_of_containers),
	};

	return cmocka_run_group_tests_name("option values", tests, NULL, NULL);
}
