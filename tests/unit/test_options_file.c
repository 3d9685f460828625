/* Options: variables and the file, by the same table as the flags. */
#include "options_fixture.h"

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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(values_of_variables_and_the_file),
		cmocka_unit_test(other_keys_of_the_file_go_into_the_environment),
		cmocka_unit_test(a_file_with_a_nul_or_too_long_is_refused),
	};

	return cmocka_run_group_tests_name("options file", tests, setup, teardown);
}
