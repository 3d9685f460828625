/* Tar headers, read back field by field. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/tar.h"

#define NAME100 "0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789"

static const struct {
	int64_t size_bytes;
	const char *field; /* 12 bytes at offset 124 */
	size_t padding;
} sizes[] = {
	{ 0, "00000000000\0", 0 },
	{ 1, "00000000001\0", 511 },
	{ 511, "00000000777\0", 1 },
	{ 512, "00000001000\0", 0 },
	{ 1234567, "00004553207\0", 377 },
	{ TAR_OCTAL_SIZE_MAX, "77777777777\0", 1 },
	{ TAR_OCTAL_SIZE_MAX + 1, "\x80\0\0\0\0\0\0\2\0\0\0\0", 0 },
	{ INT64_MAX, "\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff", 1 },
};

static void test_sizes(void **state)
{
	uint8_t h[TAR_BLOCK_BYTES];
	struct err err = { 0 };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		assert_int_equal(tar_header("x", sizes[i].size_bytes, h, &err), 0);
		assert_memory_equal(h + 124, sizes[i].field, 12);
		assert_int_equal(tar_padding(sizes[i].size_bytes), sizes[i].padding);
	}
}

static void test_fixed_fields(void **state)
{
	uint8_t h[TAR_BLOCK_BYTES];
	struct err err = { 0 };
	unsigned int sum = 0, told;

	(void)state;
	assert_int_equal(tar_header(NAME100, 7, h, &err), 0);
	assert_memory_equal(h, NAME100, 100);
	assert_memory_equal(h + 100, "0000644\0" "0000000\0" "0000000\0", 24);
	assert_memory_equal(h + 136, "00000000000\0", 12);
	assert_memory_equal(h + 156, "0\0", 2);
	assert_memory_equal(h + 257, "ustar\0" "00", 8);
	assert_int_equal(sscanf((char *)h + 148, "%o", &told), 1);
	assert_memory_equal(h + 154, "\0 ", 2);
	for (size_t i = 0; i < sizeof h; i++)
		sum += i >= 148 && i < 156 ? ' ' : h[i];
	assert_int_equal(told, sum);
}

static void test_fifo(void **state)
{
	uint8_t file[TAR_BLOCK_BYTES], h[TAR_BLOCK_BYTES];
	struct err err = { 0 };

	(void)state;
	assert_int_equal(tar_header("x", 0, file, &err), 0);
	assert_int_equal(tar_fifo_header("x", h, &err), 0);
	assert_memory_equal(h + 100, "0000600\0", 8);
	assert_memory_equal(h + 156, "6\0", 2);
	assert_memory_equal(h + 108, file + 108, 148 - 108);
	assert_int_equal(tar_fifo_header("", h, &err), -1);
}

static void test_refusals(void **state)
{
	uint8_t h[TAR_BLOCK_BYTES] = { 1 };
	struct err err = { 0 };

	(void)state;
	assert_int_equal(tar_header("", 0, h, &err), -1);
	assert_int_equal(err.kind, ERR_LIMIT);
	assert_int_equal(tar_header(NAME100 "x", 0, h, &err), -1);
	assert_int_equal(err.kind, ERR_LIMIT);
	assert_int_equal(tar_header("x", -1, h, &err), -1);
	assert_int_equal(err.kind, ERR_LIMIT);
	assert_int_equal(h[0], 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sizes),
		cmocka_unit_test(test_fixed_fields),
		cmocka_unit_test(test_fifo),
		cmocka_unit_test(test_refusals),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
