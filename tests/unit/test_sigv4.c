/* AWS's own vectors for Signature Version 4, and what they leave out. */
#include <dirent.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "aws/sigv4.h"
#include "base/fs.h"
#include "base/mem.h"

#define VECTORS 28
#define HEADERS_MAX 16
#define VECTOR_TIME_MS 1440938160000 /* 20150830T123600Z */

/* Where the published files contradict themselves: see the README beside them. */
static const struct quirk {
	const char *name;
	const char *unsigned_header; /* in the request, not in what was signed */
	const char *wrong, *right;   /* a header's value, as written and as signed */
	bool skip_creq;
	bool signature_only; /* of the Authorization header */
} quirks[] = {
	{ "post-x-www-form-urlencoded", "Content-Length", NULL, NULL, true, false },
	{ "post-x-www-form-urlencoded-parameters", "Content-Length",
	  "application/x-www-form-urlencoded; charset=utf-8",
	  "application/x-www-form-urlencoded; charset=utf8", true, true },
};

static const struct quirk *quirk_of(const char *name)
{
	static const struct quirk none;

	for (size_t i = 0; i < ARRAY_LEN(quirks); i++)
		if (streq(name, quirks[i].name))
			return &quirks[i];
	return &none;
}

static char *vector_path(const char *name, const char *suffix)
{
	const char *srcdir = getenv("srcdir");
	const char *file = suffix ? name : "";

	return xasprintf("%s/tests/unit/sigv4-vectors/%s%s%s%s", srcdir ? srcdir : ".", name,
			 suffix ? "/" : "", file, suffix ? suffix : "");
}

static char *read_vector(const char *name, const char *suffix)
{
	CLEANUP(freep) char *path = vector_path(name, suffix);
	CLEANUP(buf_free) struct buf bytes = BUF_INIT(64 * KIB);
	struct err err = { 0 };

	if (fs_read(path, &bytes, &err) < 0)
		fail_msg("%s: %s", path, err.msg);
	return xstrdup(buf_str(&bytes));
}

static struct aws_credentials example_credentials(const char *token)
{
	static const char key[] = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
	struct aws_credentials c = { .access_key_id = xstrdup("AKIDEXAMPLE") };

	secret_set(&c.secret_access_key, key, strlen(key));
	if (token)
		secret_set(&c.session_token, token, strlen(token));
	return c;
}

/* Cuts the text of a vector's request into its parts, in place. */
struct parsed {
	struct sigv4_request req;
	struct sigv4_header headers[HEADERS_MAX];
	const char *token;
};

static void parse_header(struct parsed *p, char *line, const struct quirk *quirk)
{
	char *colon = strchr(line, ':');

	assert_non_null(colon);
	*colon = '\0';
	const char *value = colon + 1;
	if (streq(line, "X-Amz-Date") || (quirk->unsigned_header && streq(line, quirk->unsigned_header)))
		return; /* the signer adds the date itself */
	if (streq(line, "X-Amz-Security-Token")) {
		p->token = value;
		return;
	}
	if (quirk->wrong && streq(value, quirk->wrong))
		value = quirk->right;
	assert_true(p->req.n_headers < HEADERS_MAX);
	p->headers[p->req.n_headers++] = (struct sigv4_header){ line, value };
}

static void parse_request(struct parsed *p, char *text, const struct quirk *quirk)
{
	char *body = strstr(text, "\n\n"), *line = strsep(&text, "\n");
	char *version = strrchr(line, ' ');

	if (body) {
		body[1] = '\0';
		p->req.body = body + 2;
		p->req.body_len = strlen(body + 2);
	}
	assert_non_null(version);
	*version = '\0';
	p->req.method = strsep(&line, " ");
	p->req.path = strsep(&line, "?");
	p->req.query = line ? line : "";
	p->req.headers = p->headers;
	p->req.region = "us-east-1";
	p->req.service = "service";
	p->req.normalize_path = true;
	while (text && *text)
		parse_header(p, strsep(&text, "\n"), quirk);
}

static void compare(const char *name, const char *what, const char *want, const char *got)
{
	if (!streq(want, got))
		fail_msg("%s: %s\n--- expected\n%s\n--- got\n%s\n---", name, what, want, got);
}

static void run_vector(const char *name)
{
	CLEANUP(freep) char *text = read_vector(name, ".req"), *creq = read_vector(name, ".creq"),
			    *sts = read_vector(name, ".sts"), *authz = read_vector(name, ".authz");
	CLEANUP(sigv4_result_clear) struct sigv4_result result = { 0 };
	CLEANUP(aws_credentials_clear) struct aws_credentials creds = { 0 };
	const struct quirk *quirk = quirk_of(name);
	struct parsed p = { 0 };
	struct err err = { 0 };

	parse_request(&p, text, quirk);
	creds = example_credentials(p.token);
	if (sigv4_sign(&p.req, &creds, VECTOR_TIME_MS, &result, &err) < 0)
		fail_msg("%s: %s", name, err.msg);
	if (!quirk->skip_creq)
		compare(name, "canonical request", creq, result.canonical_request);
	compare(name, "string to sign", sts, result.string_to_sign);
	size_t from = quirk->signature_only ? strlen(authz) - 64 : 0;
	size_t got_from = quirk->signature_only ? strlen(result.authorization) - 64 : 0;
	compare(name, "Authorization", authz + from, result.authorization + got_from);
	compare(name, "token to send", p.token ? p.token : "", secret_str(&result.token));
}

static void aws_vectors_all_agree(void **state)
{
	CLEANUP(freep) char *path = vector_path("", NULL);
	DIR *dir = opendir(path);
	unsigned int ran = 0;

	(void)state;
	if (!dir)
		fail_msg("%s: %s", path, strerror(errno));
	for (struct dirent *entry; (entry = readdir(dir));) {
		/* The README, the licence and its notice are the files there. */
		if (entry->d_name[0] == '.' || entry->d_type == DT_REG)
			continue;
		run_vector(entry->d_name);
		ran++;
	}
	closedir(dir);
	assert_int_equal(ran, VECTORS);
}

/* What the vectors do not have. Parameters are decoded before they are encoded, as the service does. */
static void canonical_path_and_query_in_odd_cases(void **state)
{
	static const struct {
		const char *path, *query;
		bool normalize;
		const char *want; /* the canonical request's second and third line */
	} cases[] = {
		{ "", "", true, "/\n\n" },
		{ "", "", false, "/\n\n" },
		{ "/../../x", "", true, "/x\n\n" },
		{ "/a//b/../c/.", "", true, "/a/c\n\n" },
		{ "/a//b/../c/.", "", false, "/a//b/../c/.\n\n" },
		{ "/a b/\xe1\x88\xb4", "", true, "/a%20b/%E1%88%B4\n\n" },
		{ "/a%20b", "", true, "/a%2520b\n\n" }, /* encoded twice: once for the wire */
		{ "/", "b=2&a=%2f&a", true, "/\na=&a=%2F&b=2\n" },
		{ "/", "a=b=c&&d=%zz", true, "/\na=b%3Dc&d=%25zz\n" },
		{ "/", "a=%7e%41", true, "/\na=~A\n" },
		{ "/", "a=%", true, "/\na=%25\n" },
	};
	CLEANUP(aws_credentials_clear) struct aws_credentials creds = example_credentials(NULL);
	const struct sigv4_header host = { "Host", "example.com" };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct sigv4_request req = { .method = "GET", .path = cases[i].path,
					     .query = cases[i].query, .headers = &host,
					     .n_headers = 1, .region = "r", .service = "s",
					     .normalize_path = cases[i].normalize };
		CLEANUP(sigv4_result_clear) struct sigv4_result result = { 0 };
		CLEANUP(freep) char *head = NULL;
		struct err err = { 0 };

		assert_int_equal(sigv4_sign(&req, &creds, VECTOR_TIME_MS, &result, &err), 0);
		head = xstrndup(result.canonical_request,
				strstr(result.canonical_request, "host:") - result.canonical_request);
		compare(cases[i].path, "path and query", cases[i].want, head + strlen("GET\n"));
	}
}

static void body_hash_and_token_are_signed_headers(void **state)
{
	CLEANUP(aws_credentials_clear) struct aws_credentials creds = example_credentials("TOKEN");
	CLEANUP(sigv4_result_clear) struct sigv4_result result = { 0 };
	const struct sigv4_header host = { "Host", "example.com" };
	struct sigv4_request req = { .method = "POST", .path = "/", .query = "", .headers = &host,
				     .n_headers = 1, .body = "{}", .body_len = 2, .region = "r",
				     .service = "s", .normalize_path = true,
				     .sign_body_header = true };
	struct err err = { 0 };

	(void)state;
	assert_int_equal(sigv4_sign(&req, &creds, VECTOR_TIME_MS, &result, &err), 0);
	assert_non_null(strstr(result.authorization,
			       "=host;x-amz-content-sha256;x-amz-date;x-amz-security-token,"));
	assert_string_equal(result.content_sha256,
			    "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a");
	assert_string_equal(secret_str(&result.token), "TOKEN");
}

static void control_bytes_are_refused(void **state)
{
	static const struct {
		const char *id, *key, *token, *name, *value;
	} cases[] = {
		{ "AK\r\nX: y", "k", "t", "Host", "h" }, { "AK ID", "k", "t", "Host", "h" },
		{ "AK", "k\n", "t", "Host", "h" },       { "AK", "k", "t\r", "Host", "h" },
		{ "AK", "k", "t", "Ho\nst", "h" },       { "AK", "k", "t", "Host", "h\r\nX: y" },
		{ "AK", "k", "t", "", "h" },             { "", "k", "t", "Host", "h" },
		{ "AK", "", "t", "Host", "h" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		CLEANUP(aws_credentials_clear) struct aws_credentials creds =
			example_credentials(cases[i].token);
		CLEANUP(sigv4_result_clear) struct sigv4_result result = { 0 };
		const struct sigv4_header header = { cases[i].name, cases[i].value };
		struct sigv4_request req = { .method = "GET", .path = "/", .query = "",
					     .headers = &header, .n_headers = 1, .region = "r",
					     .service = "s" };
		struct err err = { 0 };

		free(creds.access_key_id);
		creds.access_key_id = xstrdup(cases[i].id);
		secret_set(&creds.secret_access_key, cases[i].key, strlen(cases[i].key));
		assert_int_equal(sigv4_sign(&req, &creds, VECTOR_TIME_MS, &result, &err), -1);
		assert_int_equal(err.kind, ERR_CONFIG);
		assert_null(result.authorization);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(aws_vectors_all_agree),
		cmocka_unit_test(canonical_path_and_query_in_odd_cases),
		cmocka_unit_test(body_hash_and_token_are_signed_headers),
		cmocka_unit_test(control_bytes_are_refused),
	};

	return cmocka_run_group_tests_name("sigv4", tests, NULL, NULL);
}
