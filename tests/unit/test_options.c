/* Options: flags, variables and the file, by the one table; what wins, and what messages name. */
#include "table.h"

#include <errno.h>
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

static void clear_environment(void)
{
	static const char *const others[] = { "AWS_REGION", "HTTPS_PROXY", "AWS_EMPTY" };

	for (size_t i = 0; i < OPT__COUNT; i++)
		if (option_table[i].variable)
			unsetenv(option_table[i].variable);
	for (size_t i = 0; i < ARRAY_LEN(others); i++)
		unsetenv(others[i]);
}

static void write_file(const char *text, size_t len)
{
	struct err err;

	if (fs_write_atomic(path, text, len, 0600, &err) < 0)
		fail_msg("%s", err.msg);
}

static void setup_environment(const struct given *g)
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

static void parse(const struct given *g, struct got *got)
{
	char *argv[WORDS_MAX + 1] = { (char *)(uintptr_t) "command" };
	int argc = 1;

	*got = (struct got){ 0 };
	setup_environment(g);
	for (size_t i = 0; i < WORDS_MAX - 1 && g->argv[i]; i++)
		argv[argc++] = (char *)(uintptr_t)g->argv[i];
	got->result = options_parse(&got->o, g->command ? g->command : CMD_UP, argc, argv, &got->positional, &got->err);
}

static void done(struct got *got)
{
	options_free(&got->o);
	strv_free(&got->positional);
}

/* "a|b|c" */
static char *joined(const struct strv *list)
{
	CLEANUP(freep) char *all = xstrdup("");

	for (size_t i = 0; i < list->n; i++) {
		char *more = xasprintf("%s%s%s", all, i ? "|" : "", list->v[i]);
		free(all);
		all = more;
	}
	return STEAL(all);
}

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

struct value_row {
	const char *name;
	struct given given;
	enum option_id id;
	const char *values;
	int64_t number;
};

static void try_value(const struct value_row *row)
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

static void values_of_variables_and_the_file(void **state)
{
	static const struct value_row rows[] = {
		{ "list", { .env = { "BERTH_PUBLISH=80:80,443:443" } }, OPT_PUBLISH, "80:80|443:443", 0 },
		{ "escaped comma", { .env = { "BERTH_ENV=A=1\\,2,B=3" } }, OPT_ENV, "A=1,2|B=3", 0 },
		{ "other backslashes stay", { .env = { "BERTH_ENV=A=\\n,B=\\\\" } }, OPT_ENV, "A=\\n|B=\\\\", 0 },
		{ "empty pieces are none", { .env = { "BERTH_ENV=,A=1,,B=2," } }, OPT_ENV, "A=1|B=2", 0 },
		{ "command", { .file = "BERTH_COMMAND=serve,--port,3000" }, OPT_COMMAND, "serve|--port|3000", 0 },
		{ "a string keeps its commas", { .env = { "BERTH_GPUS=\"device=0,1\"" } }, OPT_GPUS,
		  "\"device=0,1\"", 0 },
		{ "switch true", { .env = { "BERTH_INIT=true" } }, OPT_INIT, "true", 1 },
		{ "switch 1", { .env = { "BERTH_INIT=1" } }, OPT_INIT, "1", 1 },
		{ "switch no", { .env = { "BERTH_INIT=no" } }, OPT_INIT, "no", 0 },
		{ "file, CRLF", { .file = "BERTH_NAME=web\r\nBERTH_PULL=never\r\n" }, OPT_NAME, "web", 0 },
		{ "file, CRLF and blank lines", { .file = "\r\n \r\nBERTH_NAME=web\r\n" }, OPT_NAME, "web", 0 },
		{ "file, no newline at the end", { .file = "BERTH_NAME=web" }, OPT_NAME, "web", 0 },
		{ "file, comments and blanks", { .file = "# a\n  # b\n\n\t BERTH_NAME=web  \t\n" }, OPT_NAME,
		  "web", 0 },
		{ "file, # in a value", { .file = "BERTH_HOSTNAME=a#b\n" }, OPT_HOSTNAME, "a#b", 0 },
		{ "file, double quotes", { .file = "BERTH_ENV=\"A=x y\"\r\n" }, OPT_ENV, "A=x y", 0 },
		{ "file, single quotes keep blanks", { .file = "BERTH_ENV='A= '\n" }, OPT_ENV, "A= ", 0 },
		{ "file, a lone quote", { .file = "BERTH_HOSTNAME=\"\n" }, OPT_HOSTNAME, "\"", 0 },
		{ "file, quotes that do not match", { .file = "BERTH_HOSTNAME='a\"\n" }, OPT_HOSTNAME, "'a\"", 0 },
		{ "file, = in a value", { .file = "BERTH_LABEL=a=b=c\n" }, OPT_LABEL, "a=b=c", 0 },
		{ "file, a later list replaces", { .file = "BERTH_ENV=A=1,B=2\nBERTH_ENV=C=3\n" }, OPT_ENV, "C=3", 0 },
		{ "file, time", { .file = "BERTH_READY_TIMEOUT=5m\n" }, OPT_READY_TIMEOUT, "5m", 300000 },
		{ "file, -v of no command", { .file = "BERTH_VERBOSE=yes\n" }, OPT_VERBOSE, "yes", 1 },
		{ "status knows the image", { .command = CMD_STATUS, .file = "BERTH_IMAGE=a/b\n" }, OPT_IMAGE,
		  "a/b", 0 },
		{ "version reads neither",
		  { .command = CMD_VERSION, .env = { "BERTH_PROBE_RISE=x" }, .file = "nonsense" },
		  OPT_PROBE_RISE, "1", 1 },
		{ "help works with a bad file", { .argv = { "--help" }, .env = { "BERTH_PULL=x" }, .file = "nonsense" },
		  OPT_HELP, "true", 1 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		try_value(&rows[i]);
	table_end();
}

static void refusals_name_the_place(void **state)
{
	static const struct {
		const char *name;
		struct given given;
		enum err_kind kind;
		const char *part;
	} rows[] = {
		{ "unknown flag", { .argv = { "--nonsense=1" } }, ERR_USAGE, "unknown option --nonsense" },
		{ "unknown letter", { .argv = { "-qz" } }, ERR_USAGE, "unknown option -z" },
		{ "docker's -d", { .argv = { "-d", "img" } }, ERR_USAGE, "unknown option -d" },
		{ "an abbreviation", { .argv = { "--pub", "80:80" } }, ERR_USAGE, "unknown option --pub" },
		{ "an abbreviation with a value", { .argv = { "--health=:80" } }, ERR_USAGE,
		  "unknown option --health" },
		{ "another command's flag", { .command = CMD_PULL, .argv = { "--publish", "80:80" } }, ERR_USAGE,
		  "--publish" },
		{ "another command's letter", { .command = CMD_PULL, .argv = { "-p", "80:80" } }, ERR_USAGE, "-p" },
		{ "no value", { .argv = { "--name" } }, ERR_USAGE, "--name needs a value" },
		{ "no value, letter", { .argv = { "img", "-p" } }, ERR_USAGE, "--publish needs a value" },
		{ "empty value", { .argv = { "--name", "" } }, ERR_USAGE, "--name: the value is empty" },
		{ "empty value, joined", { .argv = { "--name=" } }, ERR_USAGE, "--name: the value is empty" },
		{ "empty value, letter", { .argv = { "-e=" } }, ERR_USAGE, "--env: the value is empty" },
		{ "empty image", { .argv = { "" } }, ERR_USAGE, "empty" },
		{ "two images", { .argv = { "a", "--image", "b" } }, ERR_USAGE, "two images: a and --image b" },
		{ "three dashes", { .argv = { "---name", "x" } }, ERR_USAGE, "unknown option ---name" },
		{ "only =", { .argv = { "--=x" } }, ERR_USAGE, "unknown option --" },
		{ "switch with nonsense", { .argv = { "--init=maybe" } }, ERR_USAGE,
		  "--init: 'maybe' is neither true nor false" },
		{ "time without a unit", { .argv = { "--probe-timeout", "1500" } }, ERR_USAGE,
		  "--probe-timeout: '1500' is not a time" },
		{ "time of nothing", { .argv = { "--probe-interval", "0s" } }, ERR_USAGE,
		  "--probe-interval: '0s' is less than 100ms" },
		{ "time too short", { .argv = { "--probe-interval", "1ms" } }, ERR_USAGE, "'1ms' is less than 100ms" },
		{ "no time to get ready", { .argv = { "--ready-timeout", "0s" } }, ERR_USAGE, "--ready-timeout" },
		{ "choice", { .argv = { "--pull", "new" } }, ERR_USAGE,
		  "--pull: 'new' is not one of newer|missing|always|never" },
		{ "choice, two", { .argv = { "--pull", "newer|missing" } }, ERR_USAGE, "--pull" },
		{ "count 0", { .argv = { "--probe-rise", "0" } }, ERR_USAGE,
		  "--probe-rise: '0' is not a number from 1 to 1000" },
		{ "count 1001", { .argv = { "--probe-fall", "1001" } }, ERR_USAGE, "--probe-fall" },
		{ "count with a sign", { .argv = { "--probe-fall", "+3" } }, ERR_USAGE, "--probe-fall" },
		{ "count with a blank", { .argv = { "--probe-fall", " 3" } }, ERR_USAGE, "--probe-fall" },
		{ "count, long", { .argv = { "--probe-fall", "99999999999999999999999" } }, ERR_USAGE, "--probe-fall" },
		{ "name of a path", { .argv = { "--name", "../../x" } }, ERR_USAGE,
		  "--name: '../../x' is not a container name" },
		{ "name with a blank", { .argv = { "--name", "a b" } }, ERR_USAGE, "--name" },
		{ "name of one letter", { .argv = { "--name", "a" } }, ERR_USAGE, "--name" },
		{ "hidden name", { .argv = { "--name", ".web" } }, ERR_USAGE, "--name" },
		{ "name with a dash", { .argv = { "--name", "-web" } }, ERR_USAGE, "--name" },
		{ "name with a line", { .env = { "BERTH_NAME=web\nb" } }, ERR_CONFIG, "BERTH_NAME" },
		{ "name beyond ASCII", { .file = "BERTH_NAME=caf\xc3\xa9\n" }, ERR_CONFIG, ":1: BERTH_NAME" },
		{ "variable", { .env = { "BERTH_PROBE_RISE=x" } }, ERR_CONFIG,
		  "BERTH_PROBE_RISE: 'x' is not a number" },
		{ "variable, switch", { .env = { "BERTH_INIT=on" } }, ERR_CONFIG, "BERTH_INIT: 'on' is neither" },
		{ "file", { .file = "\n# x\nBERTH_PULL=sometimes\n" }, ERR_CONFIG,
		  ":3: BERTH_PULL: 'sometimes' is not one of" },
		{ "file, CRLF", { .file = "#\r\nBERTH_PROBE_TIMEOUT=5\r\n" }, ERR_CONFIG,
		  ":2: BERTH_PROBE_TIMEOUT: '5' is not" },
		{ "file, a wrong line that a later one replaces", { .file = "BERTH_PULL=x\nBERTH_PULL=never\n" },
		  ERR_CONFIG, ":1:" },
		{ "file, unknown key", { .file = "BERTH_IMAGES=x\n" }, ERR_CONFIG, ":1: unknown key BERTH_IMAGES" },
		{ "file, no =", { .file = "BERTH_IMAGE\n" }, ERR_CONFIG, ":1: not a KEY=value line" },
		{ "file, export", { .file = "export BERTH_IMAGE=x\n" }, ERR_CONFIG, ":1: not a KEY=value line" },
		{ "file, blank before =", { .file = "BERTH_IMAGE =x\n" }, ERR_CONFIG, ":1: not a KEY=value line" },
		{ "file, no key", { .file = "=x\n" }, ERR_CONFIG, ":1: not a KEY=value line" },
		{ "file, digit", { .file = "1A=x\n" }, ERR_CONFIG, ":1: not a KEY=value line" },
		{ "file, a section", { .file = "[berth]\n" }, ERR_CONFIG, ":1: not a KEY=value line" },
		{ "file names a file", { .file = "BERTH_CONFIG=/etc/other\n" }, ERR_CONFIG,
		  "a file cannot name the file" },
		{ "file that is not there", { .argv = { "--config", "/nonexistent/berth.conf" } }, ERR_CONFIG,
		  "/nonexistent" },
		{ "file that is a directory", { .argv = { "--config", "/tmp" } }, ERR_CONFIG, "/tmp" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct got got;
		parse(&rows[i].given, &got);
		row_refused(rows[i].name, got.result, rows[i].kind, rows[i].part, &got.err);
		done(&got);
	}
	table_end();
}

static void hints_know_the_command_and_the_flag(void **state)
{
	static const struct {
		const char *name;
		struct given given;
		const char *hint;
	} rows[] = {
		{ "up", { .argv = { "--nonsense" } }, "see `berth help up`" },
		{ "pull", { .command = CMD_PULL, .argv = { "-z" } }, "see `berth help pull`" },
		{ "metadata", { .command = CMD_METADATA, .argv = { "-z" } }, "see `berth help metadata`" },
		{ "a beginning", { .argv = { "--pub=1" } }, "is --publish meant?" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct got got;
		parse(&rows[i].given, &got);
		row_str(rows[i].name, "hint", rows[i].hint, got.err.hint);
		done(&got);
	}
	table_end();
}

static void other_keys_of_the_file_go_into_the_environment(void **state)
{
	static const struct {
		const char *name;
		struct given given;
		const char *region;
	} rows[] = {
		{ "set", { .file = "AWS_REGION=eu-west-1\n" }, "eu-west-1" },
		{ "quoted, CRLF", { .file = "AWS_REGION=\"eu-west-1\"\r\n" }, "eu-west-1" },
		{ "the environment wins", { .env = { "AWS_REGION=us-east-1" }, .file = "AWS_REGION=eu-west-1\n" },
		  "us-east-1" },
		{ "an empty one does not", { .env = { "AWS_REGION=" }, .file = "AWS_REGION=eu-west-1\n" },
		  "eu-west-1" },
		{ "the last line wins", { .file = "AWS_REGION=a\nAWS_REGION=b\n" }, "b" },
		{ "an empty line takes back", { .file = "AWS_REGION=a\nAWS_REGION=\n" }, NULL },
		{ "none", { .file = "HTTPS_PROXY=http://proxy:3128\n" }, NULL },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct got got;
		parse(&rows[i].given, &got);
		if (row_ok(rows[i].name, got.result, &got.err))
			row_str(rows[i].name, "AWS_REGION", rows[i].region, getenv("AWS_REGION"));
		done(&got);
	}
	table_end();
}

static void a_file_with_a_nul_or_too_long_is_refused(void **state)
{
	static const char nul[] = "BERTH_NAME=web\0x\n";
	CLEANUP(freep) char *huge = xmalloc(OPTIONS_FILE_MAX_BYTES + 1);
	char *argv[] = { (char *)(uintptr_t) "up", (char *)(uintptr_t) "--config", path };
	struct got got = { 0 };

	(void)state;
	clear_environment();
	write_file(nul, sizeof nul - 1);
	assert_int_equal(options_parse(&got.o, CMD_UP, 3, argv, &got.positional, &got.err), -1);
	assert_int_equal(got.err.kind, ERR_CONFIG);
	assert_non_null(strstr(got.err.msg, "NUL"));
	done(&got);

	memset(huge, '#', OPTIONS_FILE_MAX_BYTES + 1);
	write_file(huge, OPTIONS_FILE_MAX_BYTES + 1);
	assert_int_equal(options_parse(&got.o, CMD_UP, 3, argv, &got.positional, &got.err), -1);
	assert_int_equal(got.err.kind, ERR_CONFIG);
	assert_non_null(strstr(got.err.msg, path));
	done(&got);
}

static void times(void **state)
{
	static const struct {
		const char *text;
		int64_t ms; /* -1: refused */
	} rows[] = {
		{ "0ms", 0 }, { "500ms", 500 }, { "2s", 2000 }, { "5m", 300000 }, { "1h", 3600000 },
		{ "8760h", 31536000000 },
		{ "8761h", -1 }, { "", -1 }, { "s", -1 }, { "5", -1 }, { "1.5s", -1 }, { "-1s", -1 }, { "+1s", -1 },
		{ " 1s", -1 }, { "1s ", -1 }, { "1 s", -1 }, { "1S", -1 }, { "1d", -1 }, { "1m30s", -1 },
		{ "0x1s", -1 },
		{ "9223372036854775807h", -1 }, { "9223372036854775808ms", -1 }, { "99999999999999999999s", -1 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		int64_t ms = -2;
		struct err err;
		int result = duration_parse(rows[i].text, &ms, &err);
		row_int(rows[i].text, "result", rows[i].ms < 0 ? -1 : 0, result);
		row_int(rows[i].text, "ms", rows[i].ms < 0 ? -2 : rows[i].ms, ms); /* untouched on failure */
	}
	table_end();
}

static void names_of_containers(void **state)
{
	CLEANUP(freep) char *longest = xasprintf("%0*d", CONTAINER_NAME_MAX, 1);
	CLEANUP(freep) char *longer = xasprintf("%0*d", CONTAINER_NAME_MAX + 1, 1);
	const struct {
		const char *name;
		bool right;
	} rows[] = {
		{ "web", true }, { "my_App.v1-2", true }, { "0a", true }, { "a.", true }, { longest, true },
		{ "", false }, { "a", false }, { "..", false }, { "a/b", false }, { "/web", false }, { longer, false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct err err;
		row_int(rows[i].name, "right", rows[i].right, container_name_check(rows[i].name, &err) == 0);
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

static int setup(void **state)
{
	int fd = mkstemp(path);

	(void)state;
	return fd < 0 ? -1 : close(fd);
}

static int teardown(void **state)
{
	(void)state;
	return unlink(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_flag_wins_over_the_variable_over_the_file_over_the_default),
		cmocka_unit_test(shapes_of_flags),
		cmocka_unit_test(arguments_that_are_no_flags),
		cmocka_unit_test(values_of_variables_and_the_file),
		cmocka_unit_test(refusals_name_the_place),
		cmocka_unit_test(hints_know_the_command_and_the_flag),
		cmocka_unit_test(other_keys_of_the_file_go_into_the_environment),
		cmocka_unit_test(a_file_with_a_nul_or_too_long_is_refused),
		cmocka_unit_test(times),
		cmocka_unit_test(names_of_containers),
		cmocka_unit_test(the_table_is_sound),
	};

	return cmocka_run_group_tests_name("options", tests, setup, teardown);
}
