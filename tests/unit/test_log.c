/* Log lines: text, JSON, with journald's priorities; one line each, whatever a stranger wrote. */
#include "capture.h"

#include "base/json.h"
#include "base/log.h"

struct said {
	enum log_format format;
	enum log_level max, level;
	const char *msg;
	enum err_kind kind; /* ERR_NONE: a line, else an error with */
	const char *hint;   /* "": none */
	bool journal;       /* stderr is what JOURNAL_STREAM names */
};

static void say(void *arg)
{
	const struct said *s = arg;
	struct err err;
	struct stat st;

	unsetenv("JOURNAL_STREAM");
	if (s->journal) {
		assert_int_equal(fstat(STDERR_FILENO, &st), 0);
		CLEANUP(freep) char *stream = xasprintf("%llu:%llu", (unsigned long long)st.st_dev,
							(unsigned long long)st.st_ino);
		setenv("JOURNAL_STREAM", stream, 1);
	}
	log_setup(s->format, s->max);
	if (s->kind == ERR_NONE) {
		log_line(s->level, "%s", s->msg);
		return;
	}
	err_set(&err, s->kind, "%s", s->msg);
	if (s->hint)
		err_hint(&err, "%s", s->hint);
	log_err(s->level, &err);
}

static void lines_of_text(void **state)
{
	static const struct {
		const char *name;
		struct said said;
		const char *out;
	} rows[] = {
		{ "notice", { LOG_TEXT, LOG_LEVEL_INFO, LOG_LEVEL_NOTICE, "web is ready", ERR_NONE, NULL, false },
		  "berth: web is ready\n" },
		{ "warning", { LOG_TEXT, LOG_LEVEL_INFO, LOG_LEVEL_WARNING, "slow", ERR_NONE, NULL, false },
		  "berth: warning: slow\n" },
		{ "error with a hint",
		  { LOG_TEXT, LOG_LEVEL_INFO, LOG_LEVEL_ERROR, "no", ERR_CONFIG, "do this", false },
		  "berth: no; do this\n" },
		{ "error", { LOG_TEXT, LOG_LEVEL_INFO, LOG_LEVEL_ERROR, "no", ERR_CONFIG, NULL, false },
		  "berth: no\n" },
		{ "above the maximum", { LOG_TEXT, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG, "x", ERR_NONE, NULL, false }, "" },
		{ "at the maximum", { LOG_TEXT, LOG_LEVEL_DEBUG, LOG_LEVEL_DEBUG, "x", ERR_NONE, NULL, false },
		  "berth: x\n" },
		{ "error above the maximum",
		  { LOG_TEXT, LOG_LEVEL_ERROR, LOG_LEVEL_WARNING, "x", ERR_FAILED, NULL, false }, "" },
		{ "journal", { LOG_TEXT, LOG_LEVEL_INFO, LOG_LEVEL_INFO, "x", ERR_NONE, NULL, true }, "<6>berth: x\n" },
		{ "journal, warning", { LOG_TEXT, LOG_LEVEL_INFO, LOG_LEVEL_WARNING, "x", ERR_NONE, NULL, true },
		  "<4>berth: warning: x\n" },
		{ "journal, error", { LOG_TEXT, LOG_LEVEL_INFO, LOG_LEVEL_ERROR, "x", ERR_FAILED, "y", true },
		  "<3>berth: x; y\n" },
		{ "one line stays one",
		  { LOG_TEXT, LOG_LEVEL_INFO, LOG_LEVEL_INFO, "web | a\n<3>berth: forged\r\x1b[2J", ERR_NONE, NULL,
		    true },
		  "<6>berth: web | a?<3>berth: forged??[2J\n" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct said said = rows[i].said;
		CLEANUP(freep) char *out = stderr_of(say, &said);
		row_str(rows[i].name, "line", rows[i].out, out);
	}
	table_end();
}

static void lines_of_json(void **state)
{
	static const struct {
		const char *name;
		struct said said;
		const char *level, *msg, *kind, *hint;
		int64_t exit_code;
	} rows[] = {
		{ "line", { LOG_JSON, LOG_LEVEL_INFO, LOG_LEVEL_NOTICE, "web is ready", ERR_NONE, NULL, false },
		  "notice", "web is ready", NULL, NULL, -1 },
		{ "quotes", { LOG_JSON, LOG_LEVEL_INFO, LOG_LEVEL_INFO, "\"a\\b\"", ERR_NONE, NULL, false }, "info",
		  "\"a\\b\"", NULL, NULL, -1 },
		{ "bytes",
		  { LOG_JSON, LOG_LEVEL_INFO, LOG_LEVEL_INFO, "\xff\n caf\xc3\xa9 \xe2\x82", ERR_NONE, NULL, false },
		  "info", "?? caf\xc3\xa9 ??", NULL, NULL, -1 },
		{ "error", { LOG_JSON, LOG_LEVEL_INFO, LOG_LEVEL_ERROR, "no", ERR_CONFIG, NULL, false }, "error", "no",
		  "configuration", NULL, 78 },
		{ "error with a hint",
		  { LOG_JSON, LOG_LEVEL_INFO, LOG_LEVEL_ERROR, "no", ERR_TIMEOUT, "say \"please\"", false },
		  "error", "no", "timeout", "say \"please\"", 75 },
		{ "no priorities on the journal",
		  { LOG_JSON, LOG_LEVEL_INFO, LOG_LEVEL_INFO, "x", ERR_NONE, NULL, true },
		  "info", "x", NULL, NULL, -1 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct said said = rows[i].said;
		CLEANUP(freep) char *out = stderr_of(say, &said);
		struct json *doc = NULL;
		struct err err;
		int64_t code = -1;
		size_t len = strlen(out);

		assert_true(len && out[len - 1] == '\n' && strchr(out, '\n') == out + len - 1);
		if (!row_ok(rows[i].name, json_parse(out, len, &json_default_limits, &doc, &err), &err))
			continue;
		row_str(rows[i].name, "level", rows[i].level, json_string(json_get(doc, "level")));
		row_str(rows[i].name, "msg", rows[i].msg, json_string(json_get(doc, "msg")));
		row_str(rows[i].name, "kind", rows[i].kind, json_string(json_get(doc, "kind")));
		row_str(rows[i].name, "hint", rows[i].hint, json_string(json_get(doc, "hint")));
		if (json_get(doc, "exit") && json_opt_int(doc, "exit", 0, 255, &code, &err) < 0)
			fail_msg("%s", err.msg);
		row_int(rows[i].name, "exit", rows[i].exit_code, code);
		assert_int_equal(strlen(json_string(json_get(doc, "time"))), strlen("2006-01-02T15:04:05Z"));
		json_free(doc);
	}
	table_end();
}

static void before(void *arg)
{
	(void)arg;
	(void)!write(STDERR_FILENO, "[", 1);
}

static void after(void *arg)
{
	(void)arg;
	(void)!write(STDERR_FILENO, "]", 1);
}

static void say_around(void *arg)
{
	(void)arg;
	log_setup(LOG_TEXT, LOG_LEVEL_INFO);
	log_around(before, after, NULL);
	log_info("a");
	log_debug("not said");
	log_around(NULL, NULL, NULL);
	log_info("b");
}

static void what_is_around_makes_room(void **state)
{
	CLEANUP(freep) char *out = stderr_of(say_around, NULL);

	(void)state;
	assert_string_equal(out, "[berth: a\n]berth: b\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lines_of_text),
		cmocka_unit_test(lines_of_json),
		cmocka_unit_test(what_is_around_makes_room),
	};

	return cmocka_run_group_tests_name("log", tests, NULL, NULL);
}
