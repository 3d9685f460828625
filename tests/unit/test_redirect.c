/* Where a registry may send us: who is asked, from where, to where. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/mem.h"
#include "oci/redirect.h"

typedef int target_fn(const struct redirect_source *source, const char *text, struct http_url *out,
		      enum address_class *least, struct err *err);

struct row {
	const char *registry, *from;
	enum address_class from_class;
	const char *text;
	const char *url;       /* NULL: refused, and */
	const char *word;      /* says this */
	enum address_class least;
};

static void check(target_fn *target, const struct row *row)
{
	CLEANUP(http_url_free) struct http_url registry = { 0 }, from = { 0 }, out = { 0 };
	enum address_class least = ADDRESS_NEVER;
	struct err err = { 0 };
	int r;

	assert_int_equal(http_url_parse(row->registry, &registry, &err), 0);
	assert_int_equal(http_url_parse(row->from, &from, &err), 0);
	const struct redirect_source source = { .registry = &registry, .from = &from,
						.from_class = row->from_class };
	r = target(&source, row->text, &out, &least, &err);
	if ((r == 0) != (row->url != NULL))
		fail_msg("%s to %s: %s", row->from, row->text, r ? err.msg : "allowed");
	if (r < 0) {
		assert_int_equal(err.kind, ERR_REFUSED);
		if (!strstr(err.msg, row->word))
			fail_msg("%s: expected %s in %s", row->text, row->word, err.msg);
		assert_null(out.text);
		return;
	}
	assert_string_equal(out.text, row->url);
	if (least != row->least)
		fail_msg("%s: expected %s, got %s", row->text, address_class_name(row->least),
			 address_class_name(least));
}

#define GHCR  "https://ghcr.io/v2/o/n/blobs/x", "https://ghcr.io/v2/o/n/blobs/x", ADDRESS_PUBLIC
#define INNER "https://registry.corp/v2/", "https://registry.corp/v2/", ADDRESS_PRIVATE
#define LOCAL "http://127.0.0.1:5000/v2/", "http://127.0.0.1:5000/v2/", ADDRESS_LOOPBACK
#define S3    "https://ghcr.io/v2/", "https://s3.example/x", ADDRESS_PUBLIC

static void test_redirects(void **state)
{
	static const struct row rows[] = {
		{ GHCR, "https://blobs.example/x?sig=1", "https://blobs.example/x?sig=1", NULL, ADDRESS_PUBLIC },
		{ GHCR, "/elsewhere", "https://ghcr.io/elsewhere", NULL, ADDRESS_LOOPBACK },
		{ GHCR, "http://blobs.example/x", NULL, "plain http", 0 },
		{ GHCR, "http://127.0.0.1/x", NULL, "plain http", 0 },
		{ GHCR, "https://127.0.0.1/x", NULL, "loopback", 0 },
		{ GHCR, "https://localhost/x", NULL, "loopback", 0 },
		{ GHCR, "https://10.0.0.1/x", NULL, "private", 0 },
		{ GHCR, "https://[fd12::1]/x", NULL, "private", 0 },
		{ GHCR, "https://169.254.169.254/x", NULL, "link-local", 0 },
		{ GHCR, "https://[::ffff:10.0.0.1]/x", NULL, "private", 0 },
		{ GHCR, "https://167772161/x", NULL, "10.0.0.1", 0 },
		{ GHCR, "file:///etc/shadow", NULL, "file", 0 },
		{ GHCR, "https://u:p@blobs.example/x", NULL, "user name", 0 },
		{ S3, "https://ghcr.io/x", "https://ghcr.io/x", NULL, ADDRESS_LOOPBACK },
		{ S3, "https://ghcr.io:444/x", "https://ghcr.io:444/x", NULL, ADDRESS_PUBLIC },
		{ INNER, "https://10.1.2.3/x", "https://10.1.2.3/x", NULL, ADDRESS_PRIVATE },
		{ INNER, "https://s3.example/x", "https://s3.example/x", NULL, ADDRESS_PRIVATE },
		{ INNER, "https://127.0.0.1/x", NULL, "loopback", 0 },
		{ INNER, "http://registry.corp/x", NULL, "plain http", 0 },
		{ LOCAL, "http://127.0.0.1:6000/x", "http://127.0.0.1:6000/x", NULL, ADDRESS_LOOPBACK },
		{ LOCAL, "http://localhost:6000/x", "http://localhost:6000/x", NULL, ADDRESS_LOOPBACK },
		{ LOCAL, "https://s3.example/x", "https://s3.example/x", NULL, ADDRESS_LOOPBACK },
		{ LOCAL, "http://s3.example/x", NULL, "plain http", 0 },
		{ LOCAL, "http://169.254.169.254/x", NULL, "plain http", 0 },
		{ LOCAL, "https://169.254.169.254/x", NULL, "link-local", 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		check(redirect_target, &rows[i]);
}

static void test_realms(void **state)
{
	static const struct row rows[] = {
		{ GHCR, "https://ghcr.io/token", "https://ghcr.io/token", NULL, ADDRESS_LOOPBACK },
		{ GHCR, "https://ghcr.io:8443/token", "https://ghcr.io:8443/token", NULL, ADDRESS_LOOPBACK },
		{ GHCR, "https://auth.example/token", "https://auth.example/token", NULL, ADDRESS_PUBLIC },
		{ GHCR, "http://ghcr.io/token", NULL, "plain http", 0 },
		{ GHCR, "https://192.168.0.1/token", NULL, "private", 0 },
		{ GHCR, "/token", NULL, "without a scheme", 0 },
		{ INNER, "https://auth.corp/token", "https://auth.corp/token", NULL, ADDRESS_PRIVATE },
		{ LOCAL, "http://127.0.0.1:5001/token", "http://127.0.0.1:5001/token", NULL, ADDRESS_LOOPBACK },
		{ LOCAL, "http://10.0.0.1/token", NULL, "plain http", 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		check(realm_target, &rows[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_redirects),
		cmocka_unit_test(test_realms),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
