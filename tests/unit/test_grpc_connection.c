/* Calls over one HTTP/2 connection: many of them, their streams, and what ends them or it. */
#include "grpc_fixture.h"

static void test_one_connection_for_all(void **state)
{
	struct script s = { .say = say_answer };
	struct h2_peer *peer = h2_peer_new(loop, script, &s);
	struct grpc *g = grpc_new(http, h2_peer_socket(peer));
	struct err err;

	(void)state;
	for (int i = 0; i < 3; i++)
		assert_int_equal(ask(g, (struct grpc_request){ 0 }, NULL, &err), 0);
	assert_int_equal(h2_peer_connections(peer), 1);
	/* Closed while nobody calls: even what must not be done twice is done. */
	h2_peer_hang_up(peer);
	assert_int_equal(ask(g, (struct grpc_request){ .once = true }, NULL, &err), 0);
	assert_int_equal(h2_peer_connections(peer), 2);
	grpc_free(g);
	h2_peer_free(peer);
}

static void test_a_peer_that_leaves(void **state)
{
	struct script s = { .say = say_answer, .leaves = true };
	struct h2_peer *peer = h2_peer_new(loop, script, &s);
	struct grpc *g = grpc_new(http, h2_peer_socket(peer));
	struct err err;

	(void)state;
	assert_int_equal(ask(g, (struct grpc_request){ .once = true }, NULL, &err), 0);
	assert_int_equal(s.requests, 2);
	assert_int_equal(h2_peer_connections(peer), 2);
	grpc_free(g);
	h2_peer_free(peer);
}

static void test_calls_at_once(void **state)
{
	struct script s = { .answer_at = 150 };
	struct h2_peer *peer = h2_peer_new(loop, script, &s);
	struct grpc *g = grpc_new(http, h2_peer_socket(peer));
	const struct grpc_request req = { .method = METHOD, .timeout_ms = PATIENCE_MS };
	struct grpc_call *calls[150];
	struct err err;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(calls); i++)
		assert_int_equal(grpc_start(g, &req, message(i), &calls[i], &err), 0);
	for (size_t i = 0; i < ARRAY_LEN(calls); i++)
		assert_int_equal(grpc_finish(calls[i], NULL, &err), 0);
	assert_int_equal(h2_peer_connections(peer), 1);
	grpc_free(g);
	h2_peer_free(peer);
}

static void test_a_call_that_is_dropped(void **state)
{
	struct script s = { .answer_at = 2 };
	struct h2_peer *peer = h2_peer_new(loop, script, &s);
	struct grpc *g = grpc_new(http, h2_peer_socket(peer));
	const struct grpc_request req = { .method = METHOD, .timeout_ms = PATIENCE_MS };
	struct grpc_call *call;
	struct err err;

	(void)state;
	assert_int_equal(grpc_start(g, &req, message(1), &call, &err), 0);
	assert_int_equal(loop_sleep(loop, 20, &err), 0);
	grpc_cancel(call);
	assert_int_equal(ask(g, (struct grpc_request){ 0 }, NULL, &err), 0);
	assert_int_equal(s.resets, 1);
	assert_int_equal(h2_peer_connections(peer), 1);
	grpc_free(g);
	h2_peer_free(peer);
}

struct sender {
	struct grpc_call *call;
	unsigned int left;
};

static void send_next(void *arg)
{
	struct sender *s = arg;

	while (s->left && grpc_ready(s->call)) {
		s->left--;
		grpc_send(s->call, message(300 * KIB), s->left == 0);
	}
}

static int stream(const struct script *how, struct script *out, int64_t total_ms, unsigned int *connections,
		  struct err *err)
{
	*out = *how;
	struct h2_peer *peer = h2_peer_new(loop, script, out);
	struct grpc *g = grpc_new(http, h2_peer_socket(peer));
	struct sender s = { .left = 4 };
	const struct grpc_request req = { .method = METHOD, .more = true, .answers = true, .event = send_next,
					  .event_arg = &s, .timeout_ms = total_ms, .stall_timeout_ms = 200 };

	assert_int_equal(grpc_start(g, &req, message(300 * KIB), &s.call, err), 0);
	int result = grpc_finish(s.call, NULL, err);
	*connections = h2_peer_connections(peer);
	grpc_free(g);
	h2_peer_free(peer);
	return result;
}

static void test_streams(void **state)
{
	static const struct script cut = { .say = say_half, .close = true, .opens = true };
	const size_t all = 5 * (300 * KIB + GRPC_FRAME_HEAD_BYTES);
	unsigned int connections;
	struct script s;
	struct err err;

	(void)state;
	assert_int_equal(stream(&(struct script){ .say = say_two, .opens = true }, &s, 0, &connections, &err), 0);
	assert_int_equal(s.uploaded, all);
	assert_int_equal(stream(&cut, &s, 0, &connections, &err), -1);
	assert_int_equal(err.kind, ERR_NETWORK);
	/* Windows that nobody opens: after the first 64 KiB, or from the beginning. */
	assert_int_equal(stream(&(struct script){ .say = say_two }, &s, 0, &connections, &err), -1);
	assert_int_equal(err.kind, ERR_TIMEOUT);
	assert_int_equal(s.uploaded, 65535);
	assert_int_equal(stream(&(struct script){ .say = say_two, .shut = true }, &s, 150, &connections, &err), -1);
	assert_int_equal(err.kind, ERR_TIMEOUT);
	assert_int_equal(connections, 1);
}

static void test_what_is_not_sent(void **state)
{
	const struct http_header bad = { "name", "a\nb" };
	struct grpc *g = grpc_new(http, "/nowhere/socket");
	struct script s = { .say = say_answer };
	struct h2_peer *peer = h2_peer_new(loop, script, &s);
	struct grpc *good = grpc_new(http, h2_peer_socket(peer));
	struct grpc_call *call;
	struct err err;

	(void)state;
	assert_int_equal(ask(g, (struct grpc_request){ 0 }, NULL, &err), -1);
	assert_int_equal(err.kind, ERR_NETWORK);
	assert_int_equal(ask(good, (struct grpc_request){ .metadata = &bad, .n_metadata = 1 }, NULL, &err), -1);
	assert_int_equal(err.kind, ERR_REFUSED);
	assert_int_equal(grpc_start(good, &(struct grpc_request){ .method = METHOD },
				    message(GRPC_MESSAGE_MAX_BYTES + 1), &call, &err),
			 -1);
	assert_int_equal(err.kind, ERR_LIMIT);
	grpc_free(good);
	grpc_free(g);
	h2_peer_free(peer);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_one_connection_for_all),
		cmocka_unit_test(test_a_peer_that_leaves),
		cmocka_unit_test(test_calls_at_once),
		cmocka_unit_test(test_a_call_that_is_dropped),
		cmocka_unit_test(test_streams),
		cmocka_unit_test(test_what_is_not_sent),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
