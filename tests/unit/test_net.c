/* Addresses, URLs, dates, proxies, and the loop: what the HTTP client decides without a peer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/mem.h"
#include "net/http_internal.h"

static void test_address_classes(void **state)
{
	static const struct {
		const char *ip;
		enum address_class class;
	} rows[] = {
		{ "8.8.8.8", ADDRESS_PUBLIC },		{ "10.0.0.1", ADDRESS_PRIVATE },
		{ "172.15.255.255", ADDRESS_PUBLIC },	{ "172.16.0.1", ADDRESS_PRIVATE },
		{ "172.31.255.255", ADDRESS_PRIVATE },	{ "172.32.0.0", ADDRESS_PUBLIC },
		{ "192.168.1.1", ADDRESS_PRIVATE },	{ "100.64.0.1", ADDRESS_PRIVATE },
		{ "100.128.0.1", ADDRESS_PUBLIC },	{ "127.0.0.1", ADDRESS_LOOPBACK },
		{ "127.255.0.1", ADDRESS_LOOPBACK },	{ "169.254.169.254", ADDRESS_NEVER },
		{ "169.254.170.2", ADDRESS_NEVER },	{ "0.0.0.0", ADDRESS_NEVER },
		{ "224.0.0.1", ADDRESS_NEVER },		{ "255.255.255.255", ADDRESS_NEVER },
		{ "::1", ADDRESS_LOOPBACK },		{ "[::1]", ADDRESS_LOOPBACK },
		{ "::", ADDRESS_NEVER },		{ "fe80::1", ADDRESS_NEVER },
		{ "fe80::1%eth0", ADDRESS_NEVER },	{ "fd00:ec2::254", ADDRESS_NEVER },
		{ "fd12:3456::1", ADDRESS_PRIVATE },	{ "fc00::1", ADDRESS_PRIVATE },
		{ "ff02::1", ADDRESS_NEVER },		{ "2001:db8::1", ADDRESS_PUBLIC },
		{ "::ffff:10.0.0.1", ADDRESS_PRIVATE }, { "::ffff:169.254.169.254", ADDRESS_NEVER },
		{ "64:ff9b::7f00:1", ADDRESS_LOOPBACK }, { "64:ff9b::808:808", ADDRESS_PUBLIC },
		{ "::127.0.0.1", ADDRESS_NEVER },
	};
	enum address_class class;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		if (!address_class_of_text(rows[i].ip, &class) || class != rows[i].class)
			fail_msg("%s: expected %s, got %s", rows[i].ip, address_class_name(rows[i].class),
				 address_class_name(class));
	}
	assert_false(address_class_of_text("ghcr.io", &class));
	assert_false(address_class_of_text("", &class));
	assert_true(host_is_loopback("localhost"));
	assert_true(host_is_loopback("127.0.0.1"));
	assert_true(host_is_loopback("[::1]"));
	assert_false(host_is_loopback("localhost.example"));
	assert_false(host_is_loopback("10.0.0.1"));
}

static void test_urls(void **state)
{
	static const struct {
		const char *base, *text;
		const char *url; /* NULL: refused, with */
		const char *word;
		const char *host;
		uint16_t port;
	} rows[] = {
		{ NULL, "https://ghcr.io/v2/", "https://ghcr.io/v2/", NULL, "ghcr.io", 443 },
		{ NULL, "http://LOCALHOST:5000/v2/#x", "http://LOCALHOST:5000/v2/", NULL, "localhost", 5000 },
		{ NULL, "https://[::1]:5000/", "https://[::1]:5000/", NULL, "[::1]", 5000 },
		{ NULL, "http://0x7f.1/", "http://127.0.0.1/", NULL, "127.0.0.1", 80 },
		{ NULL, "file:///etc/passwd", NULL, "file", NULL, 0 },
		{ NULL, "gopher://a/", NULL, "gopher", NULL, 0 },
		{ NULL, "ghcr.io/token", NULL, "without a scheme", NULL, 0 },
		{ NULL, "https://user:pw@ghcr.io/", NULL, "user name", NULL, 0 },
		{ NULL, "https://ghcr.io/\r\nX: y", NULL, "control", NULL, 0 },
		{ NULL, "https://ghcr.io/a b", NULL, "space", NULL, 0 },
		{ NULL, "https://", NULL, "", NULL, 0 },
		{ NULL, "https://a:99999/", NULL, "", NULL, 0 },
		{ "https://a.example/v2/x?y=z", "/blob?s=1", "https://a.example/blob?s=1", NULL, "a.example", 443 },
		{ "https://a.example/v2/x", "blob", "https://a.example/v2/blob", NULL, "a.example", 443 },
		{ "https://a.example/v2/x", "//b.example/z", "https://b.example/z", NULL, "b.example", 443 },
		{ "https://a.example/v2/x", "http://c.example:81/", "http://c.example:81/", NULL, "c.example", 81 },
		{ "https://a.example/v2/x", "file:///etc/passwd", NULL, "file", NULL, 0 },
		{ "https://a.example/v2/x", "FTP://x/", NULL, "FTP", NULL, 0 },
		{ "https://a.example/v2/x", "", NULL, "empty", NULL, 0 },
		{ "https://a.example/v2/x", "https://u@b.example/", NULL, "user name", NULL, 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		CLEANUP(http_url_free) struct http_url base = { 0 }, url = { 0 };
		struct err err = { 0 };
		int r;

		if (rows[i].base && http_url_parse(rows[i].base, &base, &err) < 0)
			fail_msg("%s", err.msg);
		r = rows[i].base ? http_url_resolve(&base, rows[i].text, &url, &err) :
				   http_url_parse(rows[i].text, &url, &err);
		if ((r == 0) != (rows[i].url != NULL))
			fail_msg("%s: %s", rows[i].text, r ? err.msg : url.text);
		if (r < 0) {
			assert_int_equal(err.kind, ERR_REFUSED);
			assert_non_null(strstr(err.msg, rows[i].word));
			assert_null(url.text);
			continue;
		}
		assert_string_equal(url.text, rows[i].url);
		assert_string_equal(url.host, rows[i].host);
		assert_int_equal(url.port, rows[i].port);
	}
}

static void test_long_url(void **state)
{
	CLEANUP(freep) char *text = xasprintf("https://a.example/%065536d", 0);
	CLEANUP(http_url_free) struct http_url url = { 0 };
	struct err err;

	(void)state;
	assert_int_equal(http_url_parse(text, &url, &err), -1);
	assert_int_equal(err.kind, ERR_REFUSED);
}

static void test_url_display(void **state)
{
	static const struct {
		const char *url, *shown;
	} rows[] = {
		{ "https://s3.example/blob?X-Amz-Signature=secret#f", "https://s3.example/blob" },
		{ "https://user:pw@host:8443/a/b", "https://host:8443/a/b" },
		{ "https://host", "https://host/" },
		{ "not a url", "(unreadable URL)" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		CLEANUP(freep) char *shown = http_url_display(rows[i].url);
		assert_string_equal(shown, rows[i].shown);
	}
}

static void test_retry_after(void **state)
{
	static const struct {
		const char *text;
		int64_t ms;
	} rows[] = {
		{ "0", 0 },
		{ "2", 2000 },
		{ "60", 60000 },
		{ "61", 60000 },
		{ "1000000000", 60000 },
		{ "99999999999999999999999999", 60000 },
		{ "-1", -1 },
		{ "1.5", -1 },
		{ "soon", -1 },
		{ "", -1 },
		{ "Sun, 06 Nov 1994 08:49:40 GMT", 3000 },
		{ "Sunday, 06-Nov-94 08:49:40 GMT", 3000 },
		{ "Sun Nov  6 08:49:40 1994", 3000 },
		{ "Sun, 06 Nov 1994 08:00:00 GMT", 0 },
		{ "Sun, 06 Nov 2094 08:00:00 GMT", 60000 },
		{ "Sun, 06 Nov 1994 08:49:40 GMT; x", -1 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		int64_t ms = http_retry_after_parse(rows[i].text, 784111777000);
		if (ms != rows[i].ms)
			fail_msg("%s: expected %lld, got %lld", rows[i].text, (long long)rows[i].ms, (long long)ms);
	}
}

static void test_no_proxy(void **state)
{
	static const struct {
		const char *no_proxy, *url;
		bool direct;
	} rows[] = {
		{ "", "https://ghcr.io/", false },
		{ "*", "https://ghcr.io/", true },
		{ "ghcr.io", "https://ghcr.io/", true },
		{ "a.example, ghcr.io", "https://ghcr.io/", true },
		{ "ghcr.io", "https://pkg.ghcr.io/", true },
		{ ".ghcr.io", "https://ghcr.io/", true },
		{ "ghcr.io", "https://notghcr.io/", false },
		{ "GHCR.IO", "https://ghcr.io/", true },
		{ "ghcr.io:443", "https://ghcr.io/", true },
		{ "ghcr.io:444", "https://ghcr.io/", false },
		{ "10.0.0.0/8", "https://10.1.2.3/", true },
		{ "10.0.0.0/8", "https://11.1.2.3/", false },
		{ "10.0.0.0/33", "https://10.1.2.3/", false },
		{ "10.0.0.0/8", "https://ten.example/", false },
		{ "fd00::/8", "https://[fd12::1]/", true },
		{ "[fd12::1]:443", "https://[fd12::1]/", true },
		{ "fd12::1", "https://[fd12::1]/", true },
		{ "", "https://localhost/", true },
		{ "", "https://127.0.0.1:5000/", true },
		{ "", "http://ghcr.io/", true },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		CLEANUP(http_proxies_free) struct http_proxies p = { .https = xstrdup("http://proxy:3128") };
		CLEANUP(http_url_free) struct http_url url = { 0 };
		struct err err;

		http_proxies_set_no_proxy(&p, rows[i].no_proxy);
		assert_int_equal(http_url_parse(rows[i].url, &url, &err), 0);
		if ((http_proxy_for(&p, &url) == NULL) != rows[i].direct)
			fail_msg("%s with NO_PROXY=%s", rows[i].url, rows[i].no_proxy);
	}
}

static void test_status_errors(void **state)
{
	static const struct {
		long status;
		enum err_kind kind;
		bool retryable;
	} rows[] = {
		{ 401, ERR_DENIED, false },   { 403, ERR_DENIED, false }, { 404, ERR_NOT_FOUND, false },
		{ 429, ERR_NETWORK, true },   { 500, ERR_NETWORK, true }, { 503, ERR_NETWORK, true },
		{ 599, ERR_NETWORK, true },   { 400, ERR_FAILED, false }, { 302, ERR_FAILED, false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const struct http_response r = { .status = rows[i].status, .retry_after_ms = 7000 };
		struct err err;

		assert_int_equal(http_status_error(&r, "manifest", &err), -1);
		assert_int_equal(err.kind, rows[i].kind);
		assert_int_equal(err.retryable, rows[i].retryable);
		assert_int_equal(err.retry_after_ms, rows[i].retryable ? 7000 : 0);
	}
}

struct ticks {
	struct loop *loop;
	char order[8];
	size_t n;
	struct loop_timer *victim;
};

static void tick(struct ticks *t, char c)
{
	t->order[t->n++] = c;
}

static void on_a(void *arg)
{
	tick(arg, 'a');
}

static void on_b(void *arg)
{
	struct ticks *t = arg;

	tick(t, 'b');
	loop_timer_cancel(t->victim);
	(void)loop_timer_start(t->loop, 0, on_a, t);
}

static void on_c(void *arg)
{
	tick(arg, 'c');
}

static void test_timers(void **state)
{
	struct ticks t = { 0 };
	struct err err;

	(void)state;
	assert_int_equal(loop_new(&t.loop, &err), 0);
	/* The last ones far behind: what a busy machine makes late must not be as late as they are. */
	t.victim = loop_timer_start(t.loop, 300, on_c, &t);
	(void)loop_timer_start(t.loop, 20, on_b, &t);
	(void)loop_timer_start(t.loop, 10, on_a, &t);
	(void)loop_timer_start(t.loop, 400, on_c, &t);
	assert_int_equal(loop_sleep(t.loop, 450, &err), 0);
	assert_string_equal(t.order, "abac");
	loop_cancel(t.loop, "SIGTERM");
	assert_int_equal(loop_sleep(t.loop, 1000, &err), -1);
	assert_int_equal(err.kind, ERR_CANCELLED);
	loop_free(t.loop);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_address_classes), cmocka_unit_test(test_urls),
		cmocka_unit_test(test_long_url),	cmocka_unit_test(test_url_display),
		cmocka_unit_test(test_retry_after),	cmocka_unit_test(test_no_proxy),
		cmocka_unit_test(test_status_errors),	cmocka_unit_test(test_timers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
