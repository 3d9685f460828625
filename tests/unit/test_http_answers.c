/* The HTTP client's answers, from a peer that sends exactly what a row says. */
#include "http_fixture.h"

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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_answers, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_header_without_end, setup, teardown),
		cmocka_unit_test_setup_teardown(test_headers_without_end, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
