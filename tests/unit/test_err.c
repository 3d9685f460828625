/* Errors: kinds and exit codes, context, hints, and bytes that must not reach a terminal. */
#include "table.h"

#include <errno.h>

static void kinds_have_names_and_exit_codes(void **state)
{
	static const struct {
		enum err_kind kind;
		const char *name;
		int exit_code;
		bool retryable;
	} rows[] = {
		{ ERR_FAILED, "failed", 1, false },	    { ERR_USAGE, "usage", 2, false },
		{ ERR_CONFIG, "configuration", 78, false }, { ERR_SYSTEM, "system", 1, false },
		{ ERR_NETWORK, "network", 75, true },	    { ERR_TIMEOUT, "timeout", 75, true },
		{ ERR_PROTOCOL, "protocol", 1, false },	    { ERR_REFUSED, "refused", 1, false },
		{ ERR_LIMIT, "limit", 1, false },	    { ERR_DENIED, "denied", 1, false },
		{ ERR_NOT_FOUND, "not-found", 1, false },   { ERR_CONFLICT, "conflict", 1, false },
		{ ERR_CANCELLED, "cancelled", 1, false },
	};
	struct err none = { 0 };

	(void)state;
	row_int("none", "exit code", 0, err_exit_code(&none));
	row_int("rows", "all kinds but none", ERR_KINDS - 1, ARRAY_LEN(rows));
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct err err = { 0 };

		row_int(rows[i].name, "err_set", -1, err_set(&err, rows[i].kind, "x"));
		row_str(rows[i].name, "name", rows[i].name, err_kind_name(rows[i].kind));
		row_int(rows[i].name, "exit code", rows[i].exit_code, err_exit_code(&err));
		row_int(rows[i].name, "retryable", rows[i].retryable, err.retryable);
		row_int(rows[i].name, "kind", rows[i].kind, err.kind);
	}
	table_end();
}

static void context_comes_in_front(void **state)
{
	struct err err = { .hint = "an old hint", .errnum = 7, .retry_after_ms = 9 };
	char line[ERR_LINE_MAX];

	(void)state;
	err_set(&err, ERR_PROTOCOL, "size %d", 3);
	assert_string_equal(err.msg, "size 3");
	assert_string_equal(err.hint, "");
	assert_int_equal(err.errnum, 0);
	assert_int_equal(err.retry_after_ms, 0);
	assert_int_equal(err_wrap(&err, "layer %d", 2), -1);
	err_wrap(&err, "%s", "image");
	assert_string_equal(err.msg, "image: layer 2: size 3");
	assert_int_equal(err.kind, ERR_PROTOCOL);
	assert_string_equal(err_line(&err, line, sizeof line), "image: layer 2: size 3");
	assert_int_equal(err_hint(&err, "try %s", "again"), -1);
	err_hint(&err, "the deeper hint stays");
	assert_string_equal(err_line(&err, line, sizeof line), "image: layer 2: size 3; try again");
	/* An argument may be the message itself. */
	err_set(&err, ERR_FAILED, "wrapped: %s", err.msg);
	assert_string_equal(err.msg, "wrapped: image: layer 2: size 3");
}

static void a_system_error_keeps_its_number(void **state)
{
	struct err err;

	(void)state;
	assert_int_equal(err_sys(&err, ENOENT, "open %s", "/x"), -1);
	assert_string_equal(err.msg, "open /x: No such file or directory");
	assert_int_equal(err.errnum, ENOENT);
	assert_int_equal(err.kind, ERR_SYSTEM);
	err_sys(&err, 99999, "x");
	assert_string_equal(err.msg, "x: unknown error");
}

static void retrying_is_what_the_error_says(void **state)
{
	struct err err;

	(void)state;
	err_set(&err, ERR_DENIED, "x");
	assert_int_equal(err_exit_code(&err), 1);
	assert_int_equal(err_retry(&err, 2000), -1);
	assert_true(err.retryable);
	assert_int_equal(err.retry_after_ms, 2000);
	assert_int_equal(err_exit_code(&err), 75);
	err_clear(&err);
	assert_int_equal(err.kind, ERR_NONE);
	assert_int_equal(err_exit_code(&err), 0);
}

static void control_bytes_are_replaced(void **state)
{
	struct err err;

	(void)state;
	err_set(&err, ERR_REFUSED, "a\x1b[2J\r\n\t\x7f z");
	assert_string_equal(err.msg, "a?[2J?? ? z");
	err_wrap(&err, "in\n%s", "x\ay");
	assert_string_equal(err.msg, "in?x?y: a?[2J?? ? z");
	err_hint(&err, "h\bi");
	assert_string_equal(err.hint, "h?i");
}

static void long_messages_are_cut(void **state)
{
	CLEANUP(freep) char *text = xmalloc(2000);
	struct err err;
	char line[ERR_LINE_MAX], small[8];

	(void)state;
	memset(text, 'x', 1999);
	text[1999] = '\0';
	err_set(&err, ERR_FAILED, "%s", text);
	assert_int_equal(strlen(err.msg), sizeof err.msg - 1);
	err_wrap(&err, "%s", text);
	assert_int_equal(strlen(err.msg), sizeof err.msg - 1);
	err_wrap(&err, "first");
	assert_int_equal(strlen(err.msg), sizeof err.msg - 1);
	assert_memory_equal(err.msg, "first: xxx", 10);
	err_hint(&err, "%s", text);
	assert_int_equal(strlen(err.hint), sizeof err.hint - 1);
	assert_int_equal(strlen(err_line(&err, line, sizeof line)),
			 strlen(err.msg) + 2 + strlen(err.hint));
	assert_string_equal(err_line(&err, small, sizeof small), "first: ");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(kinds_have_names_and_exit_codes),
		cmocka_unit_test(context_comes_in_front),
		cmocka_unit_test(a_system_error_keeps_its_number),
		cmocka_unit_test(retrying_is_what_the_error_says),
		cmocka_unit_test(control_bytes_are_replaced),
		cmocka_unit_test(long_messages_are_cut),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
