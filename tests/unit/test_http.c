/* The HTTP client against a peer that sends exactly what a row says. */
#include "http_fixture.h"

#include <errno.h>
#include <unistd.h>

#include "base/clock.h"
#include "peer.h"

/* Sends *arg, a string, and hangs up. */
static void send_string(void *arg, const struct peer_request *req, struct peer_answer *answer)
{
	(void)req;
	say(answer, "%s", (const char *)arg);
	answer->close = true;
}

static const struct {
	const char *name, *answer;
	enum err_kind kind; /* ERR_NONE: a status */
	const char *text;   /* in the message; or the body */
	long status;
} answers[] = {
	{ "an answer with a length", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", ERR_NONE, "hi", 200 },
	{ "an answer that ends with the connection", "HTTP/1.0 200 OK\r\n\r\nhi", ERR_NONE, "hi", 200 },
	{ "chunks and a trailer",
	  "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nX-Late: 1\r\n\r\n",
	  ERR_NONE, "hi", 200 },
	{ "an error with a body", "HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\nnope", ERR_NONE, "nope", 404 },
	{ "an error with too much body is cut", "HTTP/1.1 500 No\r\nContent-Length: 20\r\n\r\n01234567890123456789",
	  ERR_NONE, "0123456789012345", 500 },
	{ "a redirect is not followed",
	  "HTTP/1.1 302 F\r\nLocation: http://169.254.169.254/\r\nContent-Length: 0\r\n\r\n", ERR_NONE, "", 302 },
	{ "a 103 before", "HTTP/1.1 103 Early\r\nX: 1\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi",
	  ERR_NONE, "hi", 200 },
	{ "too much body", "HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n01234567890123456789", ERR_LIMIT,
	  "16 bytes", 0 },
	{ "a cut body", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhi", ERR_NETWORK, "remaining", 0 },
	{ "a cut chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nhi", ERR_NETWORK, "", 0 },
	{ "nothing", "", ERR_NETWORK, "Empty reply", 0 },
	{ "half a header", "HTTP/1.1 200 OK\r\nContent-Le", ERR_NETWORK, "", 0 },
	{ "gzip that nobody asked for", "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\nhi",
	  ERR_PROTOCOL, "content-encoding \"gzip\"", 0 },
	{ "identity is no coding", "HTTP/1.1 200 OK\r\nContent-Encoding: identity\r\nContent-Length: 2\r\n\r\nhi",
	  ERR_NONE, "hi", 200 },
	{ "a transfer coding that nobody asked for",
	  "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
	  ERR_PROTOCOL, "transfer-encoding", 0 },
	{ "a folded header", "HTTP/1.1 200 OK\r\nA: b\r\n c\r\nContent-Length: 0\r\n\r\n", ERR_PROTOCOL,
	  "header line", 0 },
	{ "a space before the colon", "HTTP/1.1 200 OK\r\nA : b\r\nContent-Length: 0\r\n\r\n", ERR_PROTOCOL,
	  "header line", 0 },
	{ "two lengths", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nhi!", ERR_PROTOCOL,
	  "Content-Length 2 and 3", 0 },
	{ "one length twice", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nhi", ERR_NONE,
	  "hi", 200 },
	{ "no HTTP at all", "SSH-2.0-OpenSSH_9.2\r\n", ERR_PROTOCOL, "", 0 },
	{ "TLS bytes", "\x15\x03\x01", ERR_PROTOCOL, "", 0 },
};

static void test_answers(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(answers); i++) {
		struct peer *peer = peer_new(loop, NULL, send_string, (void *)(uintptr_t)answers[i].answer);
		CLEANUP(freep) char *url = peer_url(peer, "/x?secret");
		const struct http_request req = { .method = "GET", .url = url, .max_body_bytes = 16,
						  .total_timeout_ms = 5000 };
		CLEANUP(http_response_free) struct http_response resp = { 0 };
		struct err err = { 0 };
		int r = http_do(http, &req, &resp, &err);

		print_message("%s: %s\n", answers[i].name, r < 0 ? err.msg : "answered");
		if (answers[i].kind == ERR_NONE) {
			assert_int_equal(r, 0);
			assert_int_equal(resp.status, answers[i].status);
			assert_string_equal(buf_str(&resp.body), answers[i].text);
			assert_int_equal(resp.peer_class, ADDRESS_LOOPBACK);
		} else {
			assert_int_equal(r, -1);
			assert_string_equal(err_kind_name(err.kind), err_kind_name(answers[i].kind));
			assert_non_null(strstr(err.msg, answers[i].text));
			assert_null(strstr(err.msg, "secret"));
		}
		peer_free(peer);
	}
}

/* Headers, or 1xx answers, without end. */
static void send_headers(void *arg, const struct peer_request *req, struct peer_answer *answer)
{
	(void)req;
	if (!arg)
		say(answer, "HTTP/1.1 200 OK\r\n");
	for (int i = 0; i < 10000; i++)
		say(answer, "%sX: y\r\n%s", arg ? "HTTP/1.1 103 Early\r\n" : "", arg ? "\r\n" : "");
}

/* One line that is larger than all of them may be, and than libcurl takes. */
static void send_long_header(void *arg, const struct peer_request *req, struct peer_answer *answer)
{
	(void)arg, (void)req;
	say(answer, "HTTP/1.1 200 OK\r\nX: ");
	for (int i = 0; i < 1 << 14; i++)
		say(answer, "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef");
	say(answer, "\r\n\r\n");
}

static void test_a_header_without_end(void **state)
{
	struct peer *peer = peer_new(loop, NULL, send_long_header, NULL);
	CLEANUP(freep) char *url = peer_url(peer, "/");
	const struct http_request req = { .method = "GET", .url = url, .max_body_bytes = 16, .total_timeout_ms = 5000 };
	CLEANUP(http_response_free) struct http_response resp = { 0 };
	struct err err = { 0 };

	(void)state;
	assert_int_equal(http_do(http, &req, &resp, &err), -1);
	assert_string_equal(err_kind_name(err.kind), "limit");
	peer_free(peer);
}

static void test_headers_without_end(void **state)
{
	static char early[] = "1xx";
	void *const args[] = { NULL, early };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(args); i++) {
		struct peer *peer = peer_new(loop, NULL, send_headers, args[i]);
		CLEANUP(freep) char *url = peer_url(peer, "/");
		const struct http_request req = { .method = "GET", .url = url, .total_timeout_ms = 5000 };
		CLEANUP(http_response_free) struct http_response resp = { 0 };
		struct err err;

		assert_int_equal(http_do(http, &req, &resp, &err), -1);
		print_message("%s\n", err.msg);
		assert_int_equal(err.kind, ERR_LIMIT);
		peer_free(peer);
	}
}

static void echo(void *arg, const struct peer_request *req, struct peer_answer *answer)
{
	CLEANUP(freep) char *whole = xasprintf("%s%.*s", req->head, (int)req->body_len, req->body);

	(void)arg;
	say_whole(answer, "200 OK",
		  "X-One: 1\r\nX-ONE: 2\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nRetry-After: 1000000000\r\n",
		  whole, strlen(whole));
}

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

static void silence(void *arg, const struct peer_request *req, struct peer_answer *answer)
{
	(void)req;
	say(answer, "%s", arg ? (const char *)arg : "");
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

struct flaky {
	unsigned int calls, fails;
	bool retryable;
};

static int flaky_call(void *arg, struct err *err)
{
	struct flaky *f = arg;

	if (f->calls++ >= f->fails)
		return 0;
	return err_set(err, f->retryable ? ERR_NETWORK : ERR_DENIED, "call %u", f->calls);
}

static void test_retries(void **state)
{
	struct flaky f = { .fails = 2, .retryable = true };
	struct err err;

	(void)state;
	assert_int_equal(net_retry(loop, 3, flaky_call, &f, &err), 0);
	assert_int_equal(f.calls, 3);
	f = (struct flaky){ .fails = 9, .retryable = true };
	assert_int_equal(net_retry(loop, 2, flaky_call, &f, &err), -1);
	assert_int_equal(f.calls, 2);
	f = (struct flaky){ .fails = 9 };
	assert_int_equal(net_retry(loop, 5, flaky_call, &f, &err), -1);
	assert_int_equal(f.calls, 1);
	err = (struct err){ .retry_after_ms = 20000 };
	assert_int_equal(net_retry_delay_ms(1, &err), 20000);
	err = (struct err){ 0 };
	assert_in_range(net_retry_delay_ms(1, &err), 125, 250);
	assert_in_range(net_retry_delay_ms(50, &err), 4000, 8000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_answers, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_header_without_end, setup, teardown),
		cmocka_unit_test_setup_teardown(test_headers_without_end, setup, teardown),
		cmocka_unit_test_setup_teardown(test_request_on_the_wire, setup, teardown),
		cmocka_unit_test_setup_teardown(test_header_that_would_smuggle, setup, teardown),
		cmocka_unit_test_setup_teardown(test_nobody_listens, setup, teardown),
		cmocka_unit_test_setup_teardown(test_address_rule, setup, teardown),
		cmocka_unit_test_setup_teardown(test_proxy, setup, teardown),
		cmocka_unit_test_setup_teardown(test_deadlines, setup, teardown),
		cmocka_unit_test_setup_teardown(test_retries, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
