/*
 * Tests as tables: a row that fails says which one it is, what was expected and
 * what came, and the next row still runs. table_end() fails the test.
 */
#ifndef BERTH_TESTS_UNIT_TABLE_H
#define BERTH_TESTS_UNIT_TABLE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/mem.h"

static unsigned int table_failures;

static inline void row_str(const char *row, const char *what, const char *expected, const char *got)
{
	if (streq(expected, got))
		return;
	print_error("%s: %s: expected \"%s\", got \"%s\"\n", row, what,
		    expected ? expected : "(null)", got ? got : "(null)");
	table_failures++;
}

static inline void row_int(const char *row, const char *what, int64_t expected, int64_t got)
{
	if (expected == got)
		return;
	print_error("%s: %s: expected %lld, got %lld\n", row, what, (long long)expected,
		    (long long)got);
	table_failures++;
}

static inline bool row_ok(const char *row, int result, const struct err *err)
{
	if (result == 0)
		return true;
	print_error("%s: expected success, got %s: %s\n", row, err_kind_name(err->kind), err->msg);
	table_failures++;
	return false;
}

/* It failed, with that kind, and its message has that part. */
static inline void row_refused(const char *row, int result, enum err_kind kind, const char *part,
			       const struct err *err)
{
	if (result == 0) {
		print_error("%s: expected %s: …%s…, got success\n", row, err_kind_name(kind), part);
		table_failures++;
	} else if (err->kind != kind || !strstr(err->msg, part)) {
		print_error("%s: expected %s: …%s…, got %s: %s\n", row, err_kind_name(kind), part,
			    err_kind_name(err->kind), err->msg);
		table_failures++;
	}
}

static inline void table_end(void)
{
	unsigned int n = table_failures;

	table_failures = 0;
	if (n)
		fail_msg("%u checks failed", n);
}

/* A string literal with its length, for rows that hold NUL bytes. */
#define BYTES(literal) (literal), sizeof(literal) - 1

#endif
