/* WWW-Authenticate: which of a registry's challenges is answered, and with what. */
#include "table.h"

#include "oci/challenge.h"

static void the_best_challenge_is_chosen(void **state)
{
	static const struct {
		const char *value;
		enum challenge_scheme scheme;
		const char *realm, *service, *scope, *error;
	} rows[] = {
		{ "Bearer realm=\"https://auth.docker.io/token\",service=\"registry.docker.io\","
		  "scope=\"repository:library/debian:pull\"",
		  CHALLENGE_BEARER, "https://auth.docker.io/token", "registry.docker.io",
		  "repository:library/debian:pull", NULL },
		{ "Bearer realm=\"https://ghcr.io/token\",service=\"ghcr.io\","
		  "scope=\"repository:o/n:pull\",error=\"invalid_token\"",
		  CHALLENGE_BEARER, "https://ghcr.io/token", "ghcr.io", "repository:o/n:pull",
		  "invalid_token" },
		{ "Basic "
		  "realm=\"https://1.dkr.ecr.eu-west-1.amazonaws.com/"
		  "\",service=\"ecr.amazonaws.com\"",
		  CHALLENGE_BASIC, "https://1.dkr.ecr.eu-west-1.amazonaws.com/",
		  "ecr.amazonaws.com", NULL, NULL },
		{ "", CHALLENGE_NONE, NULL, NULL, NULL, NULL },
		{ " \t , ,", CHALLENGE_NONE, NULL, NULL, NULL, NULL },
		{ "Basic", CHALLENGE_BASIC, NULL, NULL, NULL, NULL },
		{ "basic", CHALLENGE_BASIC, NULL, NULL, NULL, NULL },
		{ "Basic ,", CHALLENGE_BASIC, NULL, NULL, NULL, NULL },
		{ "BEARER Realm=\"r\"", CHALLENGE_BEARER, "r", NULL, NULL, NULL },
		/* Several, in any order; Bearer wins. */
		{ "Basic realm=\"b\", Bearer realm=\"r\",service=\"s\"", CHALLENGE_BEARER, "r", "s",
		  NULL, NULL },
		{ "Bearer realm=\"r\",service=\"s\", Basic realm=\"b\"", CHALLENGE_BEARER, "r", "s",
		  NULL, NULL },
		{ "Bearer realm=\"1\", Bearer realm=\"2\"", CHALLENGE_BEARER, "1", NULL, NULL,
		  NULL },
		{ "Negotiate, Basic realm=\"b\"", CHALLENGE_BASIC, "b", NULL, NULL, NULL },
		{ "Negotiate oYGeMIGb/+==, Basic realm=\"b\"", CHALLENGE_BASIC, "b", NULL, NULL,
		  NULL },
		{ "Basic dGVzdA==", CHALLENGE_BASIC, NULL, NULL, NULL, NULL },
		{ "Digest realm=\"d\", nonce=\"n, Bearer realm=x\"", CHALLENGE_NONE, NULL, NULL,
		  NULL, NULL },
		{ "Newauth realm=\"apps\", type=1, title=\"Login to \\\"apps\\\"\", Basic "
		  "realm=\"simple\"",
		  CHALLENGE_BASIC, "simple", NULL, NULL, NULL },
		/* A Bearer challenge without a token URL cannot be answered. */
		{ "Bearer", CHALLENGE_NONE, NULL, NULL, NULL, NULL },
		{ "Bearer realm=\"\"", CHALLENGE_NONE, NULL, NULL, NULL, NULL },
		{ "Bearer service=\"s\", Basic realm=\"b\"", CHALLENGE_BASIC, "b", NULL, NULL,
		  NULL },
		/* Spelling. */
		{ "Bearer  realm = \"r\" , service = s", CHALLENGE_BEARER, "r", "s", NULL, NULL },
		{ "Bearer realm=\"r\",,service=\"s\",", CHALLENGE_BEARER, "r", "s", NULL, NULL },
		{ "Bearer realm=https://x:1/y?z=1&a,service=s.t", CHALLENGE_BEARER,
		  "https://x:1/y?z=1&a", "s.t", NULL, NULL },
		{ "Bearer realm=\"a\\\"b\\\\c\"", CHALLENGE_BEARER, "a\"b\\c", NULL, NULL, NULL },
		{ "Bearer realm=\"r\",scope=\"repository:a:pull,push repository:b:pull\"",
		  CHALLENGE_BEARER, "r", NULL, "repository:a:pull,push repository:b:pull", NULL },
		{ "Bearer realm=\"r\",realms=\"x\",xrealm=\"y\"", CHALLENGE_BEARER, "r", NULL, NULL,
		  NULL },
		{ "Bearer realm=\"r\",service=", CHALLENGE_BEARER, "r", "", NULL, NULL },
		{ "Bearer realm=\"caf\xc3\xa9\"", CHALLENGE_BEARER, "caf\xc3\xa9", NULL, NULL,
		  NULL },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		CLEANUP(challenge_free) struct challenge c = { 0 };
		struct err err = { 0 };
		const char *value = rows[i].value;

		if (!row_ok(value, challenge_parse(value, strlen(value), &c, &err), &err))
			continue;
		row_int(value, "scheme", rows[i].scheme, c.scheme);
		row_str(value, "realm", rows[i].realm, c.realm);
		row_str(value, "service", rows[i].service, c.service);
		row_str(value, "scope", rows[i].scope, c.scope);
		row_str(value, "error", rows[i].error, c.error);
	}
	table_end();
}

static void broken_headers_are_refused(void **state)
{
	static const struct {
		const char *value;
		size_t len;
		const char *why;
	} rows[] = {
		{ BYTES("Bearer realm=\""), "a quoted value does not end" },
		{ BYTES("Bearer realm=\"r"), "a quoted value does not end" },
		{ BYTES("Bearer realm=\"r\\"), "a quoted value does not end" },
		{ BYTES("Bearer realm=\"r\\\""), "a quoted value does not end" },
		{ BYTES("Bearer realm=\"r\"service=\"s\""), "a comma was expected" },
		{ BYTES("Bearer realm=\"r\" service=\"s\""), "a comma was expected" },
		{ BYTES("Bearer realm=a\"b\""), "a comma was expected" },
		{ BYTES("Bearer realm=\"r\", realm=\"q\""), "realm twice" },
		{ BYTES("Basic realm=\"r\", Realm=\"q\""), "realm twice" },
		{ BYTES("\"Bearer\" realm=\"r\""), "a scheme was expected" },
		{ BYTES("=x"), "a scheme was expected" },
		{ BYTES("Bearer \"x\""), "a scheme was expected" },
		{ BYTES("Bearer=x"), "a space was expected behind the scheme" },
		{ BYTES("Bearer\"x\""), "a space was expected behind the scheme" },
		{ BYTES("Bearer realm=\"a\r\nb\""), "control byte at position 15" },
		{ BYTES("Bearer realm=\"a\0b\""), "control byte" },
		{ BYTES("Bearer realm=\"a\x1b[2J\""), "control byte" },
		{ BYTES("Bearer realm=\"a\x7f\""), "control byte" },
		{ BYTES("Bearer realm=\"a\tb\""), "a tab in a quoted value" },
		{ BYTES("\0"), "control byte at position 0" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		CLEANUP(freep)
		char *exact = xmalloc(rows[i].len); /* a sanitizer sees reads beyond */
		struct challenge c = { .realm = (char *)"untouched" };
		struct err err = { 0 };

		memcpy(exact, rows[i].value, rows[i].len);
		row_refused(rows[i].value, challenge_parse(exact, rows[i].len, &c, &err),
			    ERR_PROTOCOL, rows[i].why, &err);
		row_str(rows[i].value, "out", "untouched", c.realm);
	}
	table_end();
}

static void long_headers_are_refused(void **state)
{
	CLEANUP(freep) char *value = xmalloc(64 * KIB);
	struct challenge c = { 0 };
	struct err err = { 0 };

	(void)state;
	memset(value, ',', 64 * KIB);
	row_refused("64 KiB", challenge_parse(value, 64 * KIB, &c, &err), ERR_LIMIT,
		    "at most 16384 are read", &err);
	(void)row_ok("16 KiB", challenge_parse(value, 16 * KIB, &c, &err), &err);
	table_end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_best_challenge_is_chosen),
		cmocka_unit_test(broken_headers_are_refused),
		cmocka_unit_test(long_headers_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
