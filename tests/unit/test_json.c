/* JSON in and out: what is read, refused and printed. */
#include "table.h"

#include "base/json.h"

static void text_is_read_and_printed(void **state)
{
	static const struct {
		const char *text, *compact, *sorted;
	} rows[] = {
		{ "{}", "{}", "{}" },
		{ " [ ] ", "[]", "[]" },
		{ "\t\r\n null\n", "null", "null" },
		{ "true", "true", "true" },
		{ "\"\"", "\"\"", "\"\"" },
		{ "{\"b\":1,\"a\":[{\"d\":1,\"c\":2}]}", "{\"b\":1,\"a\":[{\"d\":1,\"c\":2}]}",
		  "{\"a\":[{\"c\":2,\"d\":1}],\"b\":1}" },
		{ "{\"a\":1,\"A\":2}", "{\"a\":1,\"A\":2}", "{\"A\":2,\"a\":1}" },
		{ "{\"\":0}", "{\"\":0}", "{\"\":0}" },
		{ "[0,-0,1,-1,10,1e2,1.0]", "[0,0,1,-1,10,100,1]", "[0,0,1,-1,10,100,1]" },
		{ "[0.1,-2.5,1e-7,1E+3]", "[0.1,-2.5,1e-07,1000]", "[0.1,-2.5,1e-07,1000]" },
		/* cJSON's own printer says 9.00719925474099e+15. */
		{ "9007199254740991", "9007199254740991", "9007199254740991" },
		{ "-1000000000000000", "-1000000000000000", "-1000000000000000" },
		{ "9223372036854774784", "9223372036854774784", "9223372036854774784" },
		{ "1e300", "1e+300", "1e+300" },
		{ "0.30000000000000004", "0.30000000000000004", "0.30000000000000004" },
		{ "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "\"\\\"\\\\/\\b\\f\\n\\r\\t\"",
		  "\"\\\"\\\\/\\b\\f\\n\\r\\t\"" },
		{ "\"\\u0001\\u001f\\u007F\"", "\"\\u0001\\u001f\x7f\"", "\"\\u0001\\u001f\x7f\"" },
		{ "\"\\u00e9\\u20AC\\ud83d\\ude00\"", "\"é€😀\"", "\"é€😀\"" },
		{ "\"é€😀\"", "\"é€😀\"", "\"é€😀\"" },
		{ "\"\\udbff\\udfff\"", "\"\xf4\x8f\xbf\xbf\"", "\"\xf4\x8f\xbf\xbf\"" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		CLEANUP(json_freep) struct json *v = NULL;
		struct err err = { 0 };
		int result = json_parse(rows[i].text, strlen(rows[i].text), &json_default_limits,
					&v, &err);

		if (!row_ok(rows[i].text, result, &err))
			continue;
		CLEANUP(freep) char *compact = json_print(v, false);
		CLEANUP(freep) char *sorted = json_print_sorted(v);
		row_str(rows[i].text, "printed", rows[i].compact, compact);
		row_str(rows[i].text, "printed sorted", rows[i].sorted, sorted);
	}
	table_end();
}

static void broken_text_is_refused(void **state)
{
	static const struct {
		const char *text;
		size_t len;
		const char *why;
	} rows[] = {
		{ BYTES(""), "empty" },
		{ BYTES("  "), "it ends at byte 2" },
		{ BYTES("{"), "it ends" },
		{ BYTES("{\"a\""), "it ends" },
		{ BYTES("{\"a\":"), "it ends" },
		{ BYTES("{\"a\":1"), "it ends" },
		{ BYTES("{\"a\":1,"), "it ends" },
		{ BYTES("{\"a\":1,}"), "a name was expected at byte 7" },
		{ BYTES("{a:1}"), "a name was expected" },
		{ BYTES("{'a':1}"), "a name was expected" },
		{ BYTES("{\"a\" 1}"), "':' was expected" },
		{ BYTES("{\"a\":1 \"b\":2}"), "',' or '}' was expected" },
		{ BYTES("{\"a\":1]"), "',' or '}' was expected" },
		{ BYTES("[1,]"), "unexpected character" },
		{ BYTES("[,1]"), "unexpected character" },
		{ BYTES("[1 2]"), "',' or ']' was expected" },
		{ BYTES("[1}"), "',' or ']' was expected" },
		{ BYTES("]"), "unexpected character" },
		{ BYTES("nul"), "unexpected character" },
		{ BYTES("True"), "unexpected character" },
		{ BYTES("NaN"), "unexpected character" },
		{ BYTES("Infinity"), "unexpected character" },
		{ BYTES("// no comments\n1"), "unexpected character" },
		/* Behind the value. */
		{ BYTES("{} {}"), "something behind the value at byte 3" },
		{ BYTES("{}\0"), "something behind the value at byte 2" },
		{ BYTES("1,"), "something behind the value" },
		{ BYTES("nullx"), "something behind the value" },
		/* Duplicate names. */
		{ BYTES("{\"a\":1,\"a\":1}"), "name \"a\" twice" },
		{ BYTES("{\"a\":1,\"b\":2,\"\\u0061\":3}"), "twice" },
		{ BYTES("{\"\\/\":1,\"/\":1}"), "twice" },
		{ BYTES("{\"\\n\":1,\"\\u000a\":1}"), "twice" },
		{ BYTES("{\"😀\":1,\"\\ud83d\\ude00\":1}"), "twice" },
		{ BYTES("[{\"x\":{\"a\":1,\"b\":2,\"a\":3}}]"), "name \"a\" twice" },
		{ BYTES("{\"\":1,\"\":2}"), "name \"\" twice" },
		/* Strings. */
		{ BYTES("\""), "it ends" },
		{ BYTES("\"a"), "it ends" },
		{ BYTES("\"a\\"), "it ends" },
		{ BYTES("\"\\x41\""), "unknown escape" },
		{ BYTES("\"\\\0\""), "unknown escape" },
		{ BYTES("\"\\u12\""), "bad \\u escape" },
		{ BYTES("\"\\u12g4\""), "bad \\u escape" },
		{ BYTES("\"\\u\x10\x11\x12\x13\""), "bad \\u escape" },
		{ BYTES("\"\\u 123\""), "bad \\u escape" },
		{ BYTES("\"\\u0000\""), "NUL in a string" },
		{ BYTES("{\"a\\u0000b\":1}"), "NUL in a string" },
		{ BYTES("\"a\0b\""), "control byte" },
		{ BYTES("\"a\nb\""), "control byte" },
		{ BYTES("\"\\ud83d\""), "half of a surrogate pair" },
		{ BYTES("\"\\ud83dx\""), "half of a surrogate pair" },
		{ BYTES("\"\\ud83d\\u0041\""), "half of a surrogate pair" },
		{ BYTES("\"\\ude00\\ud83d\""), "half of a surrogate pair" },
		/* UTF-8 (RFC 3629). */
		{ BYTES("\"\x80\""), "bad UTF-8 at byte 1" },
		{ BYTES("\"\xc3\""), "bad UTF-8" },
		{ BYTES("\"\xc3"), "bad UTF-8" },
		{ BYTES("\"\xc0\xaf\""), "bad UTF-8" },
		{ BYTES("\"\xe0\x80\xaf\""), "bad UTF-8" },
		{ BYTES("\"\xed\xa0\x80\""), "bad UTF-8" },
		{ BYTES("\"\xe2\x82\x41\""), "bad UTF-8" },
		{ BYTES("\"\xf0\x80\x80\xaf\""), "bad UTF-8" },
		{ BYTES("\"\xf4\x90\x80\x80\""), "bad UTF-8" },
		{ BYTES("\"\xf5\x80\x80\x80\""), "bad UTF-8" },
		{ BYTES("\"\xff\""), "bad UTF-8" },
		{ BYTES("\xef\xbb\xbf{}"), "unexpected character at byte 0" },
		{ BYTES("{\"\xff\":1}"), "bad UTF-8" },
		/* Numbers. */
		{ BYTES("01"), "something behind the value" },
		{ BYTES("-"), "it ends" },
		{ BYTES("+1"), "unexpected character" },
		{ BYTES(".5"), "unexpected character" },
		{ BYTES("1."), "it ends" },
		{ BYTES("[1.]"), "bad number" },
		{ BYTES("[1e]"), "bad number" },
		{ BYTES("[1e+]"), "bad number" },
		{ BYTES("0x10"), "something behind the value" },
		{ BYTES("1e400"), "number too large or too small at byte 0" },
		{ BYTES("-1e400"), "number too large or too small" },
		{ BYTES("[1, 1e-400]"), "number too large or too small at byte 4" },
		/* cJSON would cut these after 63 characters and read another number. */
		{ BYTES("1000000000000000000000000000000000000000000000000000000000000000"),
		  "number with too many characters" },
		{ BYTES("0.00000000000000000000000000000000000000000000000000000000000001"),
		  "number with too many characters" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct json *v = (struct json *)&rows; /* must stay as it is */
		struct err err = { 0 };
		int result = json_parse(rows[i].text, rows[i].len, &json_default_limits, &v, &err);

		row_refused(rows[i].text, result, ERR_PROTOCOL, rows[i].why, &err);
		row_int(rows[i].text, "out is untouched", 1, v == (struct json *)&rows);
		row_int(rows[i].text, "json_scan", -1,
			json_scan(rows[i].text, rows[i].len, &json_default_limits, &err));
	}
	table_end();
}

static void every_cut_is_refused(void **state)
{
	static const char text[] =
		"{\"a\":[1,-2.5e3,true,null,\"x\\n\\u00e9é\"],\"b\":{\"c\":\"\"}}";

	(void)state;
	for (size_t len = 0; len < strlen(text); len++) {
		CLEANUP(freep)
		char *exact = xmalloc(len); /* so that a sanitizer sees reads beyond */
		struct err err = { 0 };

		memcpy(exact, text, len);
		row_int(text, "cut", -1, json_scan(exact, len, &json_default_limits, &err));
	}
	table_end();
}

static char *repeat(const char *part, size_t n, const char *end)
{
	size_t len = strlen(part);
	char *s = xmalloc(n * len + strlen(end) + 1);

	for (size_t i = 0; i < n; i++)
		memcpy(s + i * len, part, len);
	memcpy(s + n * len, end, strlen(end) + 1);
	return s;
}

static void limits_hold(void **state)
{
	static const struct {
		const char *part;
		size_t n;
		const char *end;
		const char *why; /* NULL: accepted */
	} rows[] = {
		{ "[", 64, "]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]",
		  NULL },
		{ "[", 65, "", "nested deeper than 64" },
		{ "[", 1000, "", "nested deeper than 64" },
		{ "[", 4 * 1024 * 1024, "", "nested deeper than 64" },
		{ "{\"a\":", 65, "", "nested deeper than 64" },
		{ " ", 4 * 1024 * 1024 - 1, "1", NULL },
		{ " ", 4 * 1024 * 1024, "1", "JSON of 4194305 bytes; at most 4194304 are read" },
	};
	struct err err = { 0 };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		CLEANUP(freep) char *text = repeat(rows[i].part, rows[i].n, rows[i].end);
		int result = json_scan(text, strlen(text), &json_default_limits, &err);

		if (rows[i].why)
			row_refused(rows[i].part, result, ERR_LIMIT, rows[i].why, &err);
		else
			(void)row_ok(rows[i].part, result, &err);
	}
	table_end();
}

static void at_most_so_many_values(void **state)
{
	const struct json_limits limits = { .max_bytes = 100, .max_depth = 3, .max_nodes = 5 };
	struct err err = { 0 };

	(void)state;
	(void)row_ok("five", json_scan(BYTES("[1,[2,3]]"), &limits, &err), &err);
	row_refused("six", json_scan(BYTES("[1,[2,3],4]"), &limits, &err), ERR_LIMIT,
		    "more than 5 values", &err);
	/* Names count through their values, so their memory is bounded too. */
	row_refused("members",
		    json_scan(BYTES("{\"a\":1,\"b\":1,\"c\":1,\"d\":1,\"e\":1}"), &limits, &err),
		    ERR_LIMIT, "more than 5 values", &err);
	table_end();
}

/* The search for duplicates must not be quadratic: 99,999 names take well under a second. */
static void many_names_are_fast(void **state)
{
	struct buf text = BUF_INIT(4 * MIB);
	struct err err = { 0 };

	(void)state;
	for (int i = 0; i < 99999; i++)
		assert_int_equal(buf_printf(&text, &err, "%s\"%x\":0", i ? "," : "{", i), 0);
	assert_int_equal(buf_append(&text, "}", 1, &err), 0);
	(void)row_ok("all different", json_scan(text.data, text.len, &json_default_limits, &err),
		     &err);
	buf_free(&text);
	table_end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(text_is_read_and_printed),
		cmocka_unit_test(broken_text_is_refused),
		cmocka_unit_test(every_cut_is_refused),
		cmocka_unit_test(limits_hold),
		cmocka_unit_test(at_most_so_many_values),
		cmocka_unit_test(many_names_are_fast),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
