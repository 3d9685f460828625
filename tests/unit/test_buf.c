/* Buffers never pass their cap, and a refused append changes nothing. */
#include "table.h"

#include "base/buf.h"

static void appends_stop_at_the_cap(void **state)
{
	static const struct {
		size_t max, have, add;
		bool fits;
	} rows[] = {
		{ 0, 0, 0, true },
		{ 0, 0, 1, false },
		{ 1, 0, 1, true },
		{ 1, 1, 0, true },
		{ 1, 1, 1, false },
		{ 10, 9, 1, true },
		{ 10, 9, 2, false },
		{ 255, 0, 255, true },
		{ 255, 0, 256, false },
		{ 256, 255, 1, true },
		{ 257, 256, 1, true },
		{ 300, 256, 45, false },
		{ 65536, 1, 65535, true },
		{ 65536, 1, 65536, false },
		{ 65536, 1, SIZE_MAX, false },
	};
	CLEANUP(freep) char *bytes = xcalloc(1, 65536);

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		CLEANUP(freep)
		char *row = xasprintf("%zu and %zu of %zu", rows[i].have, rows[i].add, rows[i].max);
		struct buf b = BUF_INIT(rows[i].max);
		struct err err = { 0 };

		(void)row_ok(row, buf_append(&b, bytes, rows[i].have, &err), &err);
		int result = buf_append(&b, bytes, rows[i].add, &err);
		if (rows[i].fits)
			(void)row_ok(row, result, &err);
		else
			row_refused(row, result, ERR_LIMIT, "more than", &err);
		row_int(row, "length", (int64_t)(rows[i].have + (rows[i].fits ? rows[i].add : 0)),
			(int64_t)b.len);
		row_int(row, "capacity within the cap", 1, b.capacity <= rows[i].max + 1);
		row_int(row, "ends in NUL", 0, buf_str(&b)[b.len]);
		buf_free(&b);
		row_int(row, "free for use again", (int64_t)rows[i].max, (int64_t)b.max_bytes);
		row_int(row, "freed", 1, !b.data && !b.len && !b.capacity);
	}
	table_end();
}

static void text_is_formatted_and_consumed(void **state)
{
	struct buf b = BUF_INIT(10);
	struct err err = { 0 };

	(void)state;
	assert_string_equal(buf_str(&b), "");
	buf_consume(&b, 0);
	assert_int_equal(buf_printf(&b, &err, "%d-%s", 12, "ab"), 0);
	assert_int_equal(buf_printf(&b, &err, "%s", "123456"), -1);
	assert_string_equal(buf_str(&b), "12-ab");
	assert_int_equal(buf_append(&b, "\0x", 2, &err), 0); /* NUL bytes are bytes */
	assert_int_equal(b.len, 7);
	buf_consume(&b, 3);
	assert_string_equal(buf_str(&b), "ab");
	assert_int_equal(b.len, 4);
	buf_consume(&b, 4);
	assert_string_equal(buf_str(&b), "");
	buf_clear(&b);
	assert_int_equal(buf_append(&b, "0123456789", 10, &err), 0);
	assert_string_equal(buf_str(&b), "0123456789");
	buf_wipe(&b);
	assert_null(b.data);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(appends_stop_at_the_cap),
		cmocka_unit_test(text_is_formatted_and_consumed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
