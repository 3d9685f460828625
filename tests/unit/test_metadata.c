/* What `berth metadata` asks for, and what it never shows. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "agent/metadata.h"
#include "base/mem.h"

static void paths(void **state)
{
	static const struct {
		const char *given, *want; /* NULL: refused */
	} cases[] = {
		{ "", "" },
		{ "/", "" },
		{ "placement/region", "meta-data/placement/region" },
		{ "meta-data/placement/region", "meta-data/placement/region" },
		{ "/latest/meta-data/", "meta-data/" },
		{ "latest//meta-data/./iam//info", "meta-data/iam/info" },
		{ "iam/./security-credentials//web", "meta-data/iam/security-credentials/web" },
		{ "user-data", "user-data" },
		{ "/latest/dynamic/instance-identity/document", "dynamic/instance-identity/document" },
		{ "latest", "" },
		{ "tags/instance/latest", "meta-data/tags/instance/latest" },
		{ "..", NULL },
		{ "meta-data/../user-data", NULL },
		{ "a..b", "meta-data/a..b" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct err err = { 0 };
		CLEANUP(freep) char *got = metadata_path(cases[i].given, &err);

		if (!streq(got, cases[i].want))
			fail_msg("%s: expected %s, got %s", cases[i].given, cases[i].want ? cases[i].want : "refusal",
				 got ? got : err.msg);
		if (!got)
			assert_int_equal(err.kind, ERR_USAGE);
	}
}

static void keys_are_redacted(void **state)
{
	static const char role[] = "meta-data/iam/security-credentials/web";
	static const struct {
		const char *path, *text, *want; /* NULL: as it was */
	} cases[] = {
		{ role, "{\"Code\":\"Success\",\"SecretAccessKey\":\"CANARY\",\"Token\":\"CANARY\"}",
		  "{\n  \"Code\": \"Success\",\n  \"SecretAccessKey\": \"(redacted)\",\n"
		  "  \"Token\": \"(redacted)\"\n}" },
		{ role, "{\"Code\":\"Success\",\"SecretAccessKey\":\"CANA", "(redacted)" },
		{ role, "CANARY", "(redacted)" },
		{ role, "[\"CANARY\"]", "(redacted)" },
		{ "meta-data/identity-credentials/ec2/security-credentials/ec2-instance", "{\"Token\":[\"CANARY\"]}",
		  "{\n  \"Token\": \"(redacted)\"\n}" },
		{ "meta-data/new/branch", "{\"x\":[{\"SecretAccessKey\":\"CANARY\"}]}",
		  "{\n  \"x\": [\n    {\n      \"SecretAccessKey\": \"(redacted)\"\n    }\n  ]\n}" },
		{ "meta-data/new/branch", "SecretAccessKey=CANARY", "(redacted)" },
		{ "meta-data/iam/security-credentials/", "web", NULL },
		{ "meta-data/iam/info", "{\"Code\" : \"Success\"}", NULL },
		{ "meta-data/placement/region", "eu-west-1", NULL },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		CLEANUP(freep) char *got = metadata_redact(cases[i].path, cases[i].text, strlen(cases[i].text));

		assert_string_equal(got, cases[i].want ? cases[i].want : cases[i].text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(paths),
		cmocka_unit_test(keys_are_redacted),
	};

	return cmocka_run_group_tests_name("metadata", tests, NULL, NULL);
}
