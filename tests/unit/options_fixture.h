/*
 * Options as they are given: a command line, variables, and the text of a file of the test's own. setup and teardown
 * are for a group.
 */
#ifndef BERTH_TESTS_UNIT_OPTIONS_FIXTURE_H
#define BERTH_TESTS_UNIT_OPTIONS_FIXTURE_H

#include "table.h"

#include <unistd.h>

#include "agent/options.h"
#include "base/buf.h"
#include "base/fs.h"

#define WORDS_MAX 12

/* One reading of options: a command line, variables ("K=V") and the text of a file, if there is one. */
struct given {
	unsigned int command;
	const char *argv[WORDS_MAX];
	const char *env[4];
	const char *file;
};

struct got {
	struct options o;
	struct strv positional;
	struct err err;
	int result;
};

static char path[] = "/tmp/berth-test-options.XXXXXX";

static inline void clear_environment(void)
{
	static const char *const others[] = { "AWS_REGION", "HTTPS_PROXY", "AWS_EMPTY" };

	for (size_t i = 0; i < OPT__COUNT; i++)
		if (option_table[i].variable)
			unsetenv(option_table[i].variable);
	for (size_t i = 0; i < ARRAY_LEN(others); i++)
		unsetenv(others[i]);
}

static inline void write_file(const char *text, size_t len)
{
	struct err err;

	if (fs_write_atomic(path, text, len, 0600, &err) < 0)
		fail_msg("%s", err.msg);
}

static inline void setup_environment(const struct given *g)
{
	clear_environment();
	for (size_t i = 0; i < ARRAY_LEN(g->env) && g->env[i]; i++) {
		CLEANUP(freep) char *key = xstrdup(g->env[i]);
		char *value = strchr(key, '=');
		*value++ = '\0';
		setenv(key, value, 1);
	}
	/* Always named: the machine's own /etc/berth/berth.conf is not read. */
	write_file(g->file ?: "", g->file ? strlen(g->file) : 0);
	setenv("BERTH_CONFIG", path, 1);
}

static inline void parse(const struct given *g, struct got *got)
{
	char *argv[WORDS_MAX + 1] = { (char *)(uintptr_t) "command" };
	int argc = 1;

	*got = (struct got){ 0 };
	setup_environment(g);
	for (size_t i = 0; i < WORDS_MAX - 1 && g->argv[i]; i++)
		argv[argc++] = (char *)(uintptr_t)g->argv[i];
	got->result = options_parse(&got->o, g->command ? g->command : CMD_UP, argc, argv, &got->positional, &got->err);
}

static inline void done(struct got *got)
{
	options_free(&got->o);
	strv_free(&got->positional);
}

/* "a|b|c" */
static inline char *joined(const struct strv *list)
{
	CLEANUP(freep) char *all = xstrdup("");

	for (size_t i = 0; i < list->n; i++) {
		char *more = xasprintf("%s%s%s", all, i ? "|" : "", list->v[i]);
		free(all);
		all = more;
	}
	return STEAL(all);
}

struct value_row {
	const char *name;
	struct given given;
	enum option_id id;
	const char *values;
	int64_t number;
};

static inline void try_value(const struct value_row *row)
{
	struct got got;

	parse(&row->given, &got);
	if (row_ok(row->name, got.result, &got.err)) {
		CLEANUP(freep) char *values = joined(opt_list(&got.o, row->id));
		row_str(row->name, "values", row->values, values);
		row_int(row->name, "number", row->number, opt_number(&got.o, row->id));
	}
	done(&got);
}

static inline int setup(void **state)
{
	int fd = mkstemp(path);

	(void)state;
	return fd < 0 ? -1 : close(fd);
}

static inline int teardown(void **state)
{
	(void)state;
	return unlink(path);
}

#endif
