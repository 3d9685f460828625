/* Options: what of the command line, the variables and the file wins, and how flags are written. */
#include "options_fixture.h"

static void a_flag_wins_over_the_variable_over_the_file_over_the_default(void **state)
{
	static const struct {
		const char *name;
		struct given given;
		enum option_id id;
		const char *value, *source;
		bool is_given;
	} rows[] = {
		{ "default", { .file = NULL }, OPT_PULL, "newer", "default", false },
		{ "file", { .file = "BERTH_PULL=never\n" }, OPT_PULL, "never", ":1: BERTH_PULL", true },
		{ "variable over file", { .env = { "BERTH_PULL=always" }, .file = "BERTH_PULL=never\n" }, OPT_PULL,
		  "always", "BERTH_PULL", true },
		{ "flag over both",
		  { .argv = { "--pull", "missing" }, .env = { "BERTH_PULL=always" }, .file = "BERTH_PULL=never\n" },
		  OPT_PULL, "missing", "--pull", true },
		{ "the last flag", { .argv = { "--pull", "missing", "--pull=never" } }, OPT_PULL, "never",
		  "--pull", true },
		{ "the last line", { .file = "BERTH_PULL=never\n\n#\nBERTH_PULL=always\n" }, OPT_PULL, "always",
		  ":4: BERTH_PULL", true },
		{ "an empty line takes back", { .file = "BERTH_PULL=never\nBERTH_PULL=\n" }, OPT_PULL, "newer",
		  "default", false },
		{ "an empty variable is none", { .env = { "BERTH_PULL=" }, .file = "BERTH_PULL=never\n" }, OPT_PULL,
		  "never", ":1: BERTH_PULL", true },
		{ "a list is replaced, not joined",
		  { .argv = { "-e", "A=1" }, .env = { "BERTH_ENV=B=2" }, .file = "BERTH_ENV=C=3" },
		  OPT_ENV, "A=1", "--env", true },
		{ "nobody", { .file = NULL }, OPT_NAME, NULL, NULL, false },
		{ "the argument", { .argv = { "a/b:c" }, .env = { "BERTH_IMAGE=d" } }, OPT_IMAGE, "a/b:c",
		  "--image", true },
		{ "the flag without BERTH_", { .env = { "DOCKER_HOST=unix:///x" } }, OPT_DOCKER_HOST, "unix:///x",
		  "DOCKER_HOST", true },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct got got;
		parse(&rows[i].given, &got);
		if (row_ok(rows[i].name, got.result, &got.err)) {
			const char *source = got.o.v[rows[i].id].source;
			row_str(rows[i].name, "value", rows[i].value, opt_str(&got.o, rows[i].id));
			if (source && skip_prefix(source, path))
				source += strlen(path);
			row_str(rows[i].name, "source", rows[i].source, source);
			row_int(rows[i].name, "given", rows[i].is_given, opt_given(&got.o, rows[i].id));
		}
		done(&got);
	}
	table_end();
}

static void shapes_of_flags(void **state)
{
	static const struct value_row rows[] = {
		{ "separate", { .argv = { "--name", "web" } }, OPT_NAME, "web", 0 },
		{ "joined", { .argv = { "--name=web" } }, OPT_NAME, "web", 0 },
		{ "value with =", { .argv = { "--env=A=b=c" } }, OPT_ENV, "A=b=c", 0 },
		{ "value that looks like a flag", { .argv = { "--env", "-v" } }, OPT_ENV, "-v", 0 },
		{ "value that is --", { .argv = { "--hostname", "--" } }, OPT_HOSTNAME, "--", 0 },
		{ "letter", { .argv = { "-p", "80:80" } }, OPT_PUBLISH, "80:80", 0 },
		{ "letter, attached", { .argv = { "-p80:80" } }, OPT_PUBLISH, "80:80", 0 },
		{ "letter, = as docker has it", { .argv = { "-p=80:80" } }, OPT_PUBLISH, "80:80", 0 },
		{ "letters together", { .argv = { "-qp80:80" } }, OPT_PUBLISH, "80:80", 0 },
		{ "letters together: the first", { .argv = { "-qp80:80" } }, OPT_QUIET, "true", 1 },
		{ "repeated", { .argv = { "-p", "80:80", "--publish", "81:81", "-p82:82" } }, OPT_PUBLISH,
		  "80:80|81:81|82:82", 0 },
		{ "a flag's commas are its own", { .argv = { "-e", "A=1,2" } }, OPT_ENV, "A=1,2", 0 },
		{ "switch", { .argv = { "--read-only" } }, OPT_READ_ONLY, "true", 1 },
		{ "switch, =true", { .argv = { "--init=true" } }, OPT_INIT, "true", 1 },
		{ "switch, =false over a variable", { .argv = { "--init=false" }, .env = { "BERTH_INIT=true" } },
		  OPT_INIT, "false", 0 },
		{ "letter of a switch, =false", { .argv = { "-q=false" } }, OPT_QUIET, "false", 0 },
		{ "an entry point of nothing", { .argv = { "--entrypoint", "" } }, OPT_ENTRYPOINT, "", 0 },
		{ "an entry point of nothing, joined", { .argv = { "--entrypoint=" } }, OPT_ENTRYPOINT, "", 0 },
		{ "flags behind the image", { .argv = { "img", "--name", "web" } }, OPT_NAME, "web", 0 },
		{ "command", { .argv = { "img", "--", "sh", "-c", "", "--name", "x" } }, OPT_COMMAND,
		  "sh|-c||--name|x", 0 },
		{ "the command alone", { .argv = { "--", "serve" } }, OPT_COMMAND, "serve", 0 },
		{ "-- in the command", { .argv = { "--", "a", "--", "b" } }, OPT_COMMAND, "a|--|b", 0 },
		{ "no command", { .argv = { "img", "--" } }, OPT_COMMAND, "", 0 },
		{ "-v is a volume of up", { .argv = { "-v", "/a:/b" } }, OPT_VOLUME, "/a:/b", 0 },
		{ "-v is verbose elsewhere", { .command = CMD_PULL, .argv = { "-v", "img" } }, OPT_VERBOSE, "true", 1 },
		{ "-v is verbose for status", { .command = CMD_STATUS, .argv = { "-v" } }, OPT_VERBOSE, "true", 1 },
		{ "-v is verbose for version", { .command = CMD_VERSION, .argv = { "-v" } }, OPT_VERBOSE, "true", 1 },
		{ "milliseconds", { .argv = { "--probe-interval", "200ms" } }, OPT_PROBE_INTERVAL, "200ms", 200 },
		{ "seconds", { .argv = { "--drain-timeout", "0s" } }, OPT_DRAIN_TIMEOUT, "0s", 0 },
		{ "default in ms", { .argv = { NULL } }, OPT_READY_TIMEOUT, "120s", 120000 },
		{ "count", { .argv = { "--probe-rise", "1000" } }, OPT_PROBE_RISE, "1000", 1000 },
		{ "choice", { .argv = { "--on-failure=stay" } }, OPT_ON_FAILURE, "stay", 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		try_value(&rows[i]);
	table_end();
}

static void arguments_that_are_no_flags(void **state)
{
	static const struct {
		const char *name;
		struct given given;
		const char *positional;
	} rows[] = {
		{ "image", { .argv = { "img" } }, "img" },
		{ "image between flags", { .argv = { "-q", "img", "--init" } }, "img" },
		{ "two, for main() to refuse", { .argv = { "img", "serve" } }, "img|serve" },
		{ "a dash", { .command = CMD_STATUS, .argv = { "-" } }, "-" },
		{ "behind -- of another command", { .command = CMD_METADATA, .argv = { "--", "-q" } }, "-q" },
		{ "none", { .argv = { NULL } }, "" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct got got;
		parse(&rows[i].given, &got);
		if (row_ok(rows[i].name, got.result, &got.err)) {
			CLEANUP(freep) char *positional = joined(&got.positional);
			row_str(rows[i].name, "positional", rows[i].positional, positional);
		}
		done(&got);
	}
	table_end();
}

/* The table itself: what help, the manual and the completion take for granted. */
static void the_table_is_sound(void **state)
{
	(void)state;
	for (size_t i = 0; i < OPT__COUNT; i++) {
		const struct option_row *r = &option_table[i];
		const char *name = r->flag ?: r->variable;

		assert_non_null(name);
		assert_non_null(r->help);
		assert_int_not_equal(r->commands, 0);
		row_int(name, "has a metavariable", r->type != OPTION_FLAG, r->arg != NULL);
		row_int(name, "has choices", r->type == OPTION_CHOICE, r->choices != NULL);
		if (r->flag && r->variable && skip_prefix(r->variable, OPTIONS_PREFIX)) {
			CLEANUP(freep) char *made = xasprintf(OPTIONS_PREFIX "%s", r->flag);
			for (char *p = made; *p; p++)
				*p = *p == '-' ? '_' : *p >= 'a' && *p <= 'z' ? (char)(*p - 'a' + 'A') : *p;
			row_str(name, "variable", made, r->variable);
		}
		for (size_t k = 0; k < i; k++) {
			row_int(name, "flag is another's", 0, r->flag && streq(r->flag, option_table[k].flag));
			row_int(name, "variable is another's", 0,
				r->variable && streq(r->variable, option_table[k].variable));
		}
	}
	table_end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_flag_wins_over_the_variable_over_the_file_over_the_default),
		cmocka_unit_test(shapes_of_flags),
		cmocka_unit_test(arguments_that_are_no_flags),
		cmocka_unit_test(the_table_is_sound),
	};

	return cmocka_run_group_tests_name("options", tests, setup, teardown);
}
