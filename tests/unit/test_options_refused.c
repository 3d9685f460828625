/* Options that are refused: what messages name, and what hints know. */
#include "options_fixture.h"

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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(refusals_name_the_place),
		cmocka_unit_test(hints_know_the_command_and_the_flag),
	};

	return cmocka_run_group_tests_name("options refused", tests, setup, teardown);
}
