/* The HTTP client's requests: what they are on the wire, whom they reach, by what way, and how long they wait. */
#include "http_fixture.h"

#include <errno.h>

#include "peer.h"

static void test_request_on_the_wire(void **state)
{
	static const struct {
		const char *method, *body;
		const char *wire;
	} rows[] = {
		{ "GET", NULL, "GET /p HTTP/1.1\r\n" },
		{ "HEAD", NULL, NULL },
		{ "DELETE", NULL, "DELETE /p HTTP/1.1\r\n" },
		{ "PUT", NULL, "PUT /p HTTP/1.1\r\n" },
		{ "PUT", NULL, "\r\nContent-Length: 0\r\n" },
		{ "POST", "{}", "POST /p HTTP/1.1\r\n" },
		{ "POST", "{}", "\r\nContent-Length: 2\r\n\r\n{}" },
		{ "POST", "{}", "\r\nX-Empty:\r\n" },
		{ "POST", "{}", "\r\nX-Mine: yes\r\n" },
		{ "GET", NULL, "\r\nUser-Agent: berth/test\r\n" },
	};
	const struct http_header headers[] = { { "X-Mine", "yes" }, { "X-Empty", "" } };
	struct peer *peer = peer_new(loop, NULL, echo, NULL);
	CLEANUP(freep) char *url = peer_url(peer, "/p#fragment");

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const struct http_request req = { .method = rows[i].method, .url = url, .headers = headers,
						  .n_headers = 2, .body = rows[i].body,
						  .body_len = rows[i].body ? strlen(rows[i].body) : 0,
						  .max_body_bytes = 4096 };
		CLEANUP(http_response_free) struct http_response resp = { 0 };
		CLEANUP(freep) char *first = NULL, *all = NULL;
		struct err err;

		if (http_do(http, &req, &resp, &err) < 0)
			fail_msg("%s", err.msg);
		if (rows[i].wire && !strstr(buf_str(&resp.body), rows[i].wire))
			fail_msg("expected %s in %s", rows[i].wire, buf_str(&resp.body));
		assert_null(strcasestr(buf_str(&resp.body), "\r\nExpect"));
		assert_null(strcasestr(buf_str(&resp.body), "\r\nAccept-Encoding"));
		assert_null(strcasestr(buf_str(&resp.body), "\r\nContent-Type"));
		first = http_header_get(&resp, "x-one");
		all = http_header_all(&resp, "x-one");
		assert_string_equal(first, "1");
		assert_string_equal(all, "1, 2");
		assert_null(http_header_get(&resp, "x-none"));
		assert_true(resp.date_ms == 784111777000);
		assert_int_equal(resp.retry_after_ms, 60000);
	}
	assert_int_equal(peer_connections(peer), 1);
	peer_free(peer);
}

static void test_header_that_would_smuggle(void **state)
{
	const struct http_header headers[] = { { "Authorization", "Bearer a\r\nX-Evil: 1" } };
	const struct http_request req = { .method = "GET", .url = "http://127.0.0.1:1/", .headers = headers,
					  .n_headers = 1 };
	struct http_response resp;
	struct err err;

	(void)state;
	assert_int_equal(http_do(http, &req, &resp, &err), -1);
	assert_int_equal(err.kind, ERR_REFUSED);
	assert_null(strstr(err.msg, "Bearer"));
}

static void test_nobody_listens(void **state)
{
	struct peer *peer = peer_new(loop, NULL, echo, NULL);
	CLEANUP(freep) char *url = peer_url(peer, "/x");
	CLEANUP(freep)
	char *text = xasprintf("GET %s: connect to 127.0.0.1:%u: connection refused", url, peer_port(peer));
	const struct http_request tcp = { .method = "GET", .url = url };
	const struct http_request un = { .method = "GET", .url = "http://docker/v1/info",
					 .unix_socket = "/nonexistent/sock" };
	struct http_response resp;
	struct err err;

	(void)state;
	peer_free(peer);
	assert_int_equal(http_do(http, &tcp, &resp, &err), -1);
	assert_string_equal(err.msg, text);
	assert_int_equal(err.kind, ERR_NETWORK);
	assert_int_equal(err.errnum, ECONNREFUSED);
	assert_true(err.retryable);
	assert_int_equal(http_do(http, &un, &resp, &err), -1);
	assert_string_equal(
		err.msg, "GET /v1/info on /nonexistent/sock: connect to /nonexistent/sock: no such file or directory");
	assert_int_equal(err.errnum, ENOENT);
}

static void test_address_rule(void **state)
{
	struct peer *peer = peer_new(loop, NULL, echo, NULL);
	CLEANUP(freep) char *url = peer_url(peer, "/x");
	struct http_request req = { .method = "GET", .url = url, .max_body_bytes = 4096, .least = ADDRESS_PRIVATE };
	struct http_response resp;
	struct err err;

	(void)state;
	assert_int_equal(http_do(http, &req, &resp, &err), -1);
	print_message("%s\n", err.msg);
	assert_int_equal(err.kind, ERR_REFUSED);
	assert_int_equal(peer_connections(peer), 0);
	/* A connection that another request's rule allowed is not lent to this one. */
	req.least = ADDRESS_LOOPBACK;
	assert_int_equal(http_do(http, &req, &resp, &err), 0);
	http_response_free(&resp);
	req.least = ADDRESS_PRIVATE;
	assert_int_equal(http_do(http, &req, &resp, &err), -1);
	print_message("%s\n", err.msg);
	assert_int_equal(err.kind, ERR_REFUSED);
	assert_int_equal(peer_requests(peer), 1);
	peer_free(peer);
}

static void be_proxy(void *arg, const struct peer_request *req, struct peer_answer *answer)
{
	(void)arg;
	if (strncmp(req->head, "CONNECT ", 8) == 0) {
		say(answer, "HTTP/1.1 200 Go\r\nX-Proxy: 1\r\n\r\nno TLS");
		answer->close = true;
		return;
	}
	say_whole(answer, "200 OK", "", req->head, strlen(req->head));
}

static void test_proxy(void **state)
{
	static const struct {
		const char *url;
		enum err_kind kind;
		const char *sent; /* to the proxy; NULL: nothing */
	} rows[] = {
		{ "http://registry.example/x", ERR_NONE, "GET http://registry.example/x HTTP/1.1" },
		{ "https://registry.example/x", ERR_PROTOCOL, "CONNECT registry.example:443 HTTP/1.1" },
		{ "http://127.0.0.1:1/x", ERR_REFUSED, NULL },
		{ "https://10.0.0.1/x", ERR_REFUSED, NULL },
		{ "https://169.254.169.254/x", ERR_REFUSED, NULL },
	};
	const struct http_header headers[] = { { "Authorization", "Basic c2VjcmV0" } };
	const struct http_config config = { .user_agent = "berth/test",
					    .ca_bundle = "/etc/ssl/certs/ca-certificates.crt" };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct peer *proxy = peer_new(loop, NULL, be_proxy, NULL);
		CLEANUP(freep) char *proxy_url = peer_url(proxy, "/");
		const struct http_request req = { .method = "GET", .url = rows[i].url, .headers = headers,
						  .n_headers = 1, .max_body_bytes = 4096, .least = ADDRESS_PUBLIC,
						  .total_timeout_ms = 3000 };
		CLEANUP(http_response_free) struct http_response resp = { 0 };
		struct err err = { 0 };
		struct http *proxied;
		const char *received;

		assert_int_equal(setenv("http_proxy", proxy_url, 1) | setenv("https_proxy", proxy_url, 1), 0);
		assert_int_equal(http_new(loop, &config, &proxied, &err), 0);
		assert_int_equal(http_do(proxied, &req, &resp, &err), rows[i].kind ? -1 : 0);
		http_free(proxied);
		received = buf_str(peer_received(proxy));
		print_message("%s: %s\n", rows[i].url, err.kind ? err.msg : "answered");
		assert_int_equal(err.kind, rows[i].kind);
		if (rows[i].sent)
			assert_non_null(strstr(received, rows[i].sent));
		else
			assert_string_equal(received, "");
		if (rows[i].kind == ERR_PROTOCOL) /* credentials are for the other end of the tunnel */
			assert_null(strstr(received, "Authorization"));
		else if (!rows[i].kind)
			assert_int_equal(resp.peer_class, ADDRESS_PUBLIC);
		peer_free(proxy);
	}
	assert_int_equal(unsetenv("http_proxy") | unsetenv("https_proxy"), 0);
}

static void test_deadlines(void **state)
{
	static char begun[] = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab";
	static const struct {
		bool begun;
		int64_t total_ms, stall_ms;
		const char *text;
	} rows[] = {
		{ false, 100, 0, "no whole answer in 100 ms" },
		{ true, 100, 0, "no whole answer in 100 ms" },
		{ false, 0, 100, "no byte in 100 ms" },
		{ true, 0, 100, "no byte in 100 ms" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct peer *peer = peer_new(loop, NULL, silence, rows[i].begun ? begun : NULL);
		CLEANUP(freep) char *url = peer_url(peer, "/x");
		const struct http_request req = { .method = "GET", .url = url, .max_body_bytes = 10,
						  .total_timeout_ms = rows[i].total_ms,
						  .stall_timeout_ms = rows[i].stall_ms };
		struct http_response resp;
		struct err err;

		assert_int_equal(http_do(http, &req, &resp, &err), -1);
		assert_int_equal(err.kind, ERR_TIMEOUT);
		if (!strstr(err.msg, rows[i].text))
			fail_msg("expected %s, got %s", rows[i].text, err.msg);
		peer_free(peer);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_request_on_the_wire, setup, teardown),
		cmocka_unit_test_setup_teardown(test_header_that_would_smuggle, setup, teardown),
		cmocka_unit_test_setup_teardown(test_nobody_listens, setup, teardown),
		cmocka_unit_test_setup_teardown(test_address_rule, setup, teardown),
		cmocka_unit_test_setup_teardown(test_proxy, setup, teardown),
		cmocka_unit_test_setup_teardown(test_deadlines, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
