/* What strangers wrote, made one printable line. */
#include "table.h"

#include "base/text.h"

static void lines_are_printable_utf8(void **state)
{
	static const struct {
		const char *in, *out;
	} rows[] = {
		{ "", "" },
		{ "plain, ~ and all", "plain, ~ and all" },
		{ "a\nb\r\nc", "a?b??c" },
		{ "\tat com.example", " at com.example" },
		{ "\x1b[31mred\x1b[0m\x07", "?[31mred?[0m?" },
		{ "\x7f", "?" },
		{ "caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x90\xb3", "caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x90\xb3" },
		{ "C1 \xc2\x9b" "31m, \xc2\x80, nbsp \xc2\xa0", "C1 ?31m, ?, nbsp \xc2\xa0" },
		{ "cut \xe2\x82", "cut ??" },
		{ "cut \xc3", "cut ?" },
		{ "latin-1 caf\xe9!", "latin-1 caf?!" },
		{ "\x80\xbf\xfe\xff", "????" },
		{ "overlong \xc0\xaf \xe0\x80\xaf", "overlong ?? ???" },
		{ "surrogate \xed\xa0\x80", "surrogate ???" },
		{ "above \xf4\x90\x80\x80 \xf5", "above ???? ?" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		CLEANUP(freep) char *s = xstrdup(rows[i].in);
		text_clean(s);
		row_str(rows[i].out, "cleaned", rows[i].out, s);
	}
	table_end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lines_are_printable_utf8),
	};

	return cmocka_run_group_tests_name("text", tests, NULL, NULL);
}
