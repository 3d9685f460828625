/* Fields of tar headers and records of extended ones, as Go's archive/tar reads them. */
#include "table.h"

#include "unpack/strict_fields.h"

#define BAD INT64_MIN

static const struct {
	const char *row, *field;
	size_t len;
	int64_t value; /* BAD: refused */
} numbers[] = {
	{ "octal", "0000644\0", 8, 0644 },
	{ "blanks around it", "   644 \0", 8, 0644 },
	{ "no end", "77777777", 8, 077777777 },
	{ "empty", "\0\0\0\0\0\0\0\0", 8, 0 },
	{ "blanks", "        ", 8, 0 },
	{ "not octal", "0000648\0", 8, BAD },
	{ "a sign", "-000644\0", 8, BAD },
	{ "text", "elephant", 8, BAD },
	{ "a NUL inside", "64\0" "4444\0", 8, 064 },
	{ "a NUL before it, where libarchive sees nothing", "\0" "64\0\0\0\0\0", 8, BAD },
	{ "base 256", "\x80\0\0\0\0\0\0\5", 8, 5 },
	{ "base 256, negative", "\xff\xff\xff\xff\xff\xff\xff\xfe", 8, -2 },
	{ "base 256, 63 bits", "\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff", 12, INT64_MAX },
	{ "base 256, 64 bits", "\x80\0\0\0\x80\0\0\0\0\0\0\0", 12, BAD },
	{ "base 256, too long", "\x80\1\0\0\0\0\0\0\0\0\0\0", 12, BAD },
	{ "base 256, too negative", "\xbf\0\0\0\0\0\0\0\0\0\0\0", 12, BAD },
};

static void test_numbers(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(numbers); i++) {
		int64_t got = BAD;
		struct err err = { 0 };
		int result = strict_number(numbers[i].field, numbers[i].len, &got, &err);
		row_int(numbers[i].row, "value", numbers[i].value, result == 0 ? got : BAD);
		row_int(numbers[i].row, "kind", numbers[i].value == BAD ? ERR_REFUSED : ERR_NONE, err.kind);
	}
	table_end();
}

static const struct {
	const char *row, *bytes, *key, *value; /* NULL: refused */
} records[] = {
	{ "a record", "6 a=b\n", "a", "b" },
	{ "more behind it", "6 a=b\n6 c=d\n", "a", "b" },
	{ "an empty value", "5 a=\n", "a", "" },
	{ "an equals sign in the value", "8 a=b=c\n", "a", "b=c" },
	{ "a newline in the value", "8 a=b\nc\n", "a", "b\nc" },
	{ "no key", "5 =b\n", NULL, NULL },
	{ "no equals sign", "6 abc\n", NULL, NULL },
	{ "no length", " a=b\n", NULL, NULL },
	{ "a length of no digits", "x a=b\n", NULL, NULL },
	{ "a negative length", "-6 a=b\n", NULL, NULL },
	{ "too long", "7 a=b\n", NULL, NULL },
	{ "too short", "5 a=b\n", NULL, NULL },
	{ "shorter than itself", "1 a=b\n", NULL, NULL },
	{ "a length that overflows", "18446744073709551622 a=b\n", NULL, NULL },
	{ "no newline", "6 a=bc", NULL, NULL },
	{ "cut", "60 a=b\n", NULL, NULL },
};

static void test_records(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(records); i++) {
		CLEANUP(freep) char *bytes = xstrdup(records[i].bytes);
		char *rest = bytes;
		size_t len = strlen(bytes);
		struct pax_record r = { 0 };
		struct err err = { 0 };
		int state_now = strict_record(&rest, &len, &r, &err);
		row_int(records[i].row, "state", records[i].key ? 1 : -1, state_now);
		row_str(records[i].row, "key", records[i].key, state_now == 1 ? r.key : NULL);
		row_str(records[i].row, "value", records[i].value, state_now == 1 ? r.value : NULL);
	}
	table_end();
}

static const struct {
	const char *value;
	bool is_decimal, is_time;
} values[] = {
	{ "0", true, true },
	{ "-1", true, true },
	{ "9223372036854775807", true, false },
	{ "9223372036854775808", false, false },
	{ "+1", false, false },
	{ " 1", false, false },
	{ "1 ", false, false },
	{ "0x10", false, false },
	{ "", false, false },
	{ "-", false, false },
	{ "1.5", false, true },
	{ "1.", false, true },
	{ "-1.123456789012", false, true },
	{ ".5", false, false },
	{ "1.5x", false, false },
	{ "1e9", false, false },
};

static void test_values(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(values); i++) {
		const struct pax_record r = { "key", values[i].value, strlen(values[i].value) };
		struct err err = { 0 };
		int64_t unused;
		row_int(r.value, "decimal", values[i].is_decimal, strict_decimal(&r, &unused, &err) == 0);
		row_int(r.value, "time", values[i].is_time, strict_check_time(&r, &err) == 0);
	}
	table_end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_numbers),
		cmocka_unit_test(test_records),
		cmocka_unit_test(test_values),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
