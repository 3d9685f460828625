/* Credentials from strangers: documents, times, URLs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "aws/credentials_document.h"
#include "aws/endpoint.h"
#include "base/mem.h"

static int parse(const char *text, struct aws_credentials *out, struct err *err)
{
	*err = (struct err){ 0 };
	return credentials_document_parse(text, strlen(text), out, err);
}

static void documents_of_imds_and_agents(void **state)
{
	static const char text[] =
		"{\"Code\":\"Success\",\"LastUpdated\":\"2026-10-05T10:00:00Z\",\"Type\":\"AWS-HMAC\","
		"\"AccessKeyId\":\"ASIAEXAMPLE\",\"SecretAccessKey\":\"se/cr+et\",\"Token\":\"tok==\","
		"\"Expiration\":\"2026-10-05T16:30:00Z\"}";
	CLEANUP(aws_credentials_clear) struct aws_credentials c = { .source = "kept" };
	struct err err;

	(void)state;
	assert_int_equal(parse(text, &c, &err), 0);
	assert_string_equal(c.access_key_id, "ASIAEXAMPLE");
	assert_string_equal(secret_str(&c.secret_access_key), "se/cr+et");
	assert_string_equal(secret_str(&c.session_token), "tok==");
	assert_int_equal(c.expires_ms, 1791217800000);
	assert_string_equal(c.source, "kept");
	/* An agent sends no Code; long-lived keys have neither Token nor Expiration. */
	assert_int_equal(parse("{\"AccessKeyId\":\"A\",\"SecretAccessKey\":\"B\"}", &c, &err), 0);
	assert_false(secret_is_set(&c.session_token));
	assert_int_equal(c.expires_ms, 0);
}

static void documents_that_are_refused(void **state)
{
	static const struct {
		const char *text;
		enum err_kind kind;
		const char *says;
	} cases[] = {
		{ "", ERR_PROTOCOL, "" },
		{ "[]", ERR_PROTOCOL, "not a JSON object" },
		{ "{\"Code\":\"Success\",\"AccessKeyId\":\"ASIA", ERR_PROTOCOL, "" },
		{ "{\"Code\":\"AssumeRoleUnauthorizedAccess\",\"Message\":\"EC2 cannot assume\\u000athe role\"}",
		  ERR_DENIED, "AssumeRoleUnauthorizedAccess: EC2 cannot assume?the role" },
		{ "{\"Code\":\"Failed\"}", ERR_DENIED, "Failed" },
		{ "{\"Code\":7}", ERR_PROTOCOL, "Code: not a string" },
		{ "{\"SecretAccessKey\":\"B\"}", ERR_PROTOCOL, "AccessKeyId: missing" },
		{ "{\"AccessKeyId\":\"A\",\"SecretAccessKey\":\"\"}", ERR_PROTOCOL, "secret access key is empty" },
		{ "{\"AccessKeyId\":\"A\\r\\nX: y\",\"SecretAccessKey\":\"B\"}", ERR_PROTOCOL, "control bytes" },
		{ "{\"AccessKeyId\":\"A\",\"SecretAccessKey\":\"B\",\"Token\":\"t\\n\"}", ERR_PROTOCOL,
		  "control bytes" },
		{ "{\"AccessKeyId\":\"A\",\"SecretAccessKey\":\"B\",\"Expiration\":\"soon\"}", ERR_PROTOCOL,
		  "Expiration" },
		{ "{\"AccessKeyId\":\"A\",\"SecretAccessKey\":\"B\",\"Expiration\":5}", ERR_PROTOCOL, "Expiration" },
		{ "{\"AccessKeyId\":\"A\",\"AccessKeyId\":\"A\",\"SecretAccessKey\":\"B\"}", ERR_PROTOCOL, "" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct aws_credentials c = { .source = "as before" };
		struct err err;

		if (parse(cases[i].text, &c, &err) == 0)
			fail_msg("accepted: %s", cases[i].text);
		if (err.kind != cases[i].kind || !strstr(err.msg, cases[i].says))
			fail_msg("%s: %s: %s", cases[i].text, err_kind_name(err.kind), err.msg);
		assert_null(c.access_key_id);
		assert_string_equal(c.source, "as before");
	}
}

static void secrets_are_not_in_messages(void **state)
{
	static const char text[] =
		"{\"AccessKeyId\":\"A\",\"SecretAccessKey\":\"CANARY1\\n\",\"Token\":\"CANARY2\\n\"}";
	struct aws_credentials c = { 0 };
	struct err err;

	(void)state;
	assert_int_equal(parse(text, &c, &err), -1);
	assert_null(strstr(err.msg, "CANARY"));
}

static void times(void **state)
{
	static const struct {
		const char *text;
		int64_t ms; /* -1: refused */
	} cases[] = {
		{ "1970-01-01T00:00:00Z", 0 },
		{ "2015-08-30T12:36:00Z", 1440938160000 },
		{ "2015-08-30T12:36:00.123456Z", 1440938160000 },
		{ "2015-08-30T14:36:00+02:00", 1440938160000 },
		{ "2015-08-30T07:06:00-05:30", 1440938160000 },
		{ "2024-02-29T00:00:00Z", 1709164800000 },
		{ "2023-02-29T00:00:00Z", -1 },
		{ "2015-08-30T12:36:00", -1 },
		{ "2015-08-30 12:36:00Z", -1 },
		{ "2015-13-30T12:36:00Z", -1 },
		{ "2015-08-30T24:36:00Z", -1 },
		{ "2015-08-30T12:36:00.Z", -1 },
		{ "2015-08-30T12:36:00Zx", -1 },
		{ "2015-08-30T12:36:00+2:00", -1 },
		{ "2015-08-30T12:36:00+02:60", -1 },
		{ "+015-08-30T12:36:00Z", -1 },
		{ "", -1 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		int64_t ms = -1;

		if (rfc3339_parse(cases[i].text, &ms) != (cases[i].ms >= 0) || ms != cases[i].ms)
			fail_msg("%s: expected %lld, got %lld", cases[i].text, (long long)cases[i].ms, (long long)ms);
	}
}

static void where_an_agent_may_be(void **state)
{
	static const struct {
		const char *uri;
		bool allowed, link_local;
	} cases[] = {
		{ "http://169.254.170.2/v2/credentials/x", true, true },
		{ "http://169.254.170.23/v1/credentials", true, true },
		{ "http://[fd00:ec2::23]/v1/credentials", true, true },
		{ "http://127.0.0.1:8080/creds?x=y", true, false },
		{ "http://[::1]:8080/creds", true, false },
		{ "http://localhost/creds", true, false },
		{ "https://agent.example/creds", true, false },
		{ "http://agent.example/creds", false, false },
		{ "http://169.254.169.254/latest/meta-data/", false, false },
		{ "http://169.254.170.2.evil.example/", false, false },
		{ "http://169.254.170.2@evil.example/", false, false },
		{ "http://127.0.0.1:80@evil.example/", false, false },
		{ "http://evil.example#@127.0.0.1/", false, false },
		{ "http://10.0.0.1/", false, false },
		{ "file:///etc/passwd", false, false },
		{ "", false, false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		bool link_local = false;
		struct err err = { 0 };

		if ((container_uri_check(cases[i].uri, &link_local, &err) == 0) != cases[i].allowed ||
		    link_local != cases[i].link_local)
			fail_msg("%s: %s", cases[i].uri, err.msg);
	}
}

static void endpoints(void **state)
{
	static const struct {
		const char *url, *authority, *host, *rest; /* authority NULL: refused */
		bool https;
	} cases[] = {
		{ "http://169.254.169.254", "169.254.169.254", "169.254.169.254", "", false },
		{ "http://[fd00:EC2::254]:81/x", "[fd00:ec2::254]:81", "fd00:ec2::254", "/x", false },
		{ "https://Api.Example:443/a?b", "api.example", "api.example", "/a?b", true },
		{ "https://api.example:80?b", "api.example:80", "api.example", "?b", true },
		{ "http://h:80", "h", "h", "", false },
		{ "http://", NULL, NULL, NULL, false },
		{ "http://:80", NULL, NULL, NULL, false },
		{ "http://h:0", NULL, NULL, NULL, false },
		{ "http://h:65536", NULL, NULL, NULL, false },
		{ "http://h:", NULL, NULL, NULL, false },
		{ "http://h:8x", NULL, NULL, NULL, false },
		{ "http://u@h", NULL, NULL, NULL, false },
		{ "http://u:80@h", NULL, NULL, NULL, false },
		{ "http://[::1", NULL, NULL, NULL, false },
		{ "http://[::1]x", NULL, NULL, NULL, false },
		{ "http://[v1.x]", NULL, NULL, NULL, false },
		{ "http://h\\@x", NULL, NULL, NULL, false },
		{ "http://h x", NULL, NULL, NULL, false },
		{ "http://h/\r\nX: y", NULL, NULL, NULL, false },
		{ "http://h/#f", NULL, NULL, NULL, false },
		{ "http://%68", NULL, NULL, NULL, false },
		{ "HTTP://h", NULL, NULL, NULL, false },
		{ "ftp://h", NULL, NULL, NULL, false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct endpoint e = { 0 };
		struct err err = { 0 };
		bool ok = endpoint_parse(cases[i].url, &e, &err) == 0;

		if (ok != (cases[i].authority != NULL))
			fail_msg("%s: %s", cases[i].url, ok ? "accepted" : err.msg);
		if (!ok)
			continue;
		assert_string_equal(e.authority, cases[i].authority);
		assert_string_equal(e.host, cases[i].host);
		assert_string_equal(e.rest, cases[i].rest);
		assert_int_equal(e.https, cases[i].https);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(documents_of_imds_and_agents),
		cmocka_unit_test(documents_that_are_refused),
		cmocka_unit_test(secrets_are_not_in_messages),
		cmocka_unit_test(times),
		cmocka_unit_test(where_an_agent_may_be),
		cmocka_unit_test(endpoints),
	};

	return cmocka_run_group_tests_name("credentials_document", tests, NULL, NULL);
}
