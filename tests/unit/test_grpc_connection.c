/* Calls over one HTTP/2 connection, and what becomes of a peer that does anything but answer. */
#include "http_fixture.h"

#include "engine/grpc.h"
#include "h2_peer.h"

#define METHOD "/test.v1.Test/Ask"
#define PATIENCE_MS 5000 /* with a peer that answers at once, as far as the machine lets it */

/* --- what the peer says --- */

static void say_head(struct buf *out, uint32_t stream, const char *status)
{
	CLEANUP(buf_free) struct buf block = BUF_INIT(KIB);

	h2_field(&block, ":status", status);
	h2_field(&block, "content-type", "application/grpc");
	h2_say(out, H2_HEADERS, H2_END_HEADERS, stream, block.data, block.len);
}

static void say_end(struct buf *out, uint32_t stream, const char *status)
{
	CLEANUP(buf_free) struct buf block = BUF_INIT(KIB);

	h2_field(&block, status ? "grpc-status" : "other", status ? status : "x");
	h2_say(out, H2_HEADERS, H2_END_HEADERS | H2_END_STREAM, stream, block.data, block.len);
}

static void say_message(struct buf *out, uint32_t stream, const char *text)
{
	size_t len = strlen(text);
	CLEANUP(freep) uint8_t *frame = grpc_frame_new(len);

	memcpy(frame + GRPC_FRAME_HEAD_BYTES, text, len);
	h2_say(out, H2_DATA, 0, stream, frame, GRPC_FRAME_HEAD_BYTES + len);
}

static void say_answer(struct buf *out, uint32_t stream)
{
	say_head(out, stream, "200");
	say_message(out, stream, "hi");
	say_end(out, stream, "0");
}

static void say_bad_status(struct buf *out, uint32_t stream)
{
	say_head(out, stream, "502");
	say_end(out, stream, "0");
}

static void say_no_status(struct buf *out, uint32_t stream)
{
	say_head(out, stream, "200");
	say_message(out, stream, "hi");
	say_end(out, stream, NULL);
}

static void say_not_found(struct buf *out, uint32_t stream)
{
	say_head(out, stream, "200");
	say_end(out, stream, "5");
}

static void say_two(struct buf *out, uint32_t stream)
{
	say_head(out, stream, "200");
	say_message(out, stream, "a");
	say_message(out, stream, "b");
	say_end(out, stream, "0");
}

static void say_early_data(struct buf *out, uint32_t stream)
{
	say_message(out, stream, "hi");
	say_answer(out, stream);
}

static void say_cut_frame(struct buf *out, uint32_t stream)
{
	say_answer(out, stream);
	out->len -= 5;
}

static void say_half(struct buf *out, uint32_t stream)
{
	say_head(out, stream, "200");
	say_message(out, stream, "hi");
}

static void say_many_headers(struct buf *out, uint32_t stream)
{
	CLEANUP(buf_free) struct buf block = BUF_INIT(16 * KIB);

	h2_field(&block, ":status", "200");
	for (int i = 0; i < 300; i++)
		h2_field(&block, "a", "b");
	h2_say(out, H2_HEADERS, H2_END_HEADERS, stream, block.data, block.len);
}

/* 100 KiB in a head of 16 KiB and its continuations. */
static void say_huge_headers(struct buf *out, uint32_t stream)
{
	CLEANUP(freep) char *text = xasprintf("%0120d", 0);

	for (int i = 0; i < 7; i++) {
		CLEANUP(buf_free) struct buf block = BUF_INIT(16 * KIB);
		if (i == 0)
			h2_field(&block, ":status", "200");
		for (int k = 0; k < 120; k++)
			h2_field(&block, "name", text);
		h2_say(out, i ? H2_CONTINUATION : H2_HEADERS, i == 6 ? H2_END_HEADERS : 0, stream, block.data,
		       block.len);
	}
}

static void say_refused(struct buf *out, uint32_t stream)
{
	h2_say_number(out, H2_RST, stream, 7);
}

static void say_reset(struct buf *out, uint32_t stream)
{
	h2_say_number(out, H2_RST, stream, 2);
}

static void say_settings_flood(struct buf *out, uint32_t stream)
{
	(void)stream;
	for (int i = 0; i < 20000; i++)
		h2_say(out, H2_SETTINGS, 0, 0, "", 0);
}

static void say_push(struct buf *out, uint32_t stream)
{
	h2_say(out, H2_PUSH, H2_END_HEADERS, stream, "\0\0\0\2\x82", 5);
	say_answer(out, stream);
}

static void say_more(struct buf *out, uint32_t stream)
{
	CLEANUP(freep) char *bytes = xcalloc(1, 16 * KIB);

	h2_say(out, H2_DATA, 0, stream, bytes, 16 * KIB);
	h2_say(out, H2_DATA, 0, stream, bytes, 16 * KIB);
}

/* And more whenever there is room. */
static void say_much(struct buf *out, uint32_t stream)
{
	say_head(out, stream, "200");
	say_more(out, stream);
	say_more(out, stream);
}

static void say_http1(struct buf *out, uint32_t stream)
{
	static const char answer[] = "HTTP/1.1 400 Bad Request\r\n\r\n";

	(void)stream;
	buf_clear(out);
	h2_say_bytes(out, answer, sizeof answer - 1);
}

static void say_nothing(struct buf *out, uint32_t stream)
{
	(void)out, (void)stream;
}

static const struct row {
	const char *name;
	void (*say)(struct buf *out, uint32_t stream);
	bool close; /* behind it */
	enum err_kind kind;
	const char *text;         /* of the answer, or of the error */
	unsigned int connections; /* 0: one */
	unsigned int requests;    /* 0: one */
} rows[] = {
	{ "an answer", say_answer, false, ERR_NONE, "hi", 0, 0 },
	{ "an answer, and closed", say_answer, true, ERR_NONE, "hi", 0, 0 },
	{ "a status in the head", say_not_found, false, ERR_NOT_FOUND, "not found", 0, 0 },
	{ "another HTTP status", say_bad_status, false, ERR_PROTOCOL, "HTTP status 502", 0, 0 },
	{ "no status", say_no_status, false, ERR_PROTOCOL, "gRPC status \"\"", 0, 0 },
	{ "two messages of a single call", say_two, false, ERR_PROTOCOL, "behind the answer", 0, 0 },
	{ "data before headers", say_early_data, false, ERR_PROTOCOL, "HTTP/2", 0, 0 },
	{ "a cut frame", say_cut_frame, true, ERR_NETWORK, "closed", 2, 2 },
	{ "half an answer", say_half, true, ERR_NETWORK, "closed", 2, 2 },
	{ "closed without a word", say_nothing, true, ERR_NETWORK, "closed", 2, 2 },
	{ "too many headers", say_many_headers, false, ERR_LIMIT, "headers", 0, 0 },
	{ "too large headers", say_huge_headers, false, ERR_LIMIT, "headers", 0, 0 },
	{ "refused, twice", say_refused, false, ERR_NETWORK, "REFUSED_STREAM", 0, 2 },
	{ "reset", say_reset, false, ERR_NETWORK, "INTERNAL_ERROR", 0, 0 },
	{ "a flood of settings", say_settings_flood, false, ERR_PROTOCOL, "HTTP/2", 0, 0 },
	{ "a push besides", say_push, false, ERR_NONE, "hi", 0, 0 },
	{ "an answer without end", say_much, false, ERR_LIMIT, "4194309 bytes", 0, 0 },
	{ "no HTTP/2 at all", say_http1, false, ERR_PROTOCOL, "HTTP/2", 0, 0 },
	{ "silence", say_nothing, false, ERR_TIMEOUT, "no answer in 200 ms", 0, 0 },
};

struct script {
	const struct row *row;
	unsigned int requests, resets;
	size_t uploaded;
	bool shut;              /* windows are closed from the beginning */
	bool opens;             /* what was received may come again */
	unsigned int answer_at; /* requests to wait for before the answers, last one first; 0: say the row */
	bool leaves;            /* the first connection sends GOAWAY instead of an answer */
};

static void greet(const struct script *s, struct buf *out)
{
	h2_say(out, H2_SETTINGS, 0, 0, s->shut ? "\0\4\0\0\0\0" : "", s->shut ? 6 : 0);
}

static void answer(struct script *s, const struct h2_frame *frame, struct buf *out, bool *close)
{
	s->requests++;
	if (s->leaves && frame->connection == 0) {
		h2_say(out, H2_GOAWAY, 0, 0, "\0\0\0\0\0\0\0\0", 8);
	} else if (!s->answer_at) {
		s->row->say(out, frame->stream);
		*close = s->row->close;
	} else if (s->requests == s->answer_at) {
		for (unsigned int i = s->answer_at; i > 0; i--)
			say_answer(out, 2 * i - 1);
	}
}

static void script(void *arg, const struct h2_frame *frame, struct buf *out, bool *close)
{
	struct script *s = arg;

	if (frame->type == H2_SETTINGS && !(frame->flags & 1))
		greet(s, out);
	s->resets += frame->type == H2_RST;
	if (frame->type == H2_DATA) {
		s->uploaded += frame->len;
		if (s->opens && frame->len) {
			h2_say_number(out, H2_WINDOW, 0, (uint32_t)frame->len);
			h2_say_number(out, H2_WINDOW, frame->stream, (uint32_t)frame->len);
		}
	}
	if (frame->type == H2_WINDOW && frame->stream && s->row && s->row->say == say_much)
		say_more(out, frame->stream);
	if (frame->type == H2_DATA && frame->flags & H2_END_STREAM)
		answer(s, frame, out, close);
}

/* --- calls --- */

static uint8_t *message(size_t len)
{
	uint8_t *frame = grpc_frame_new(len);

	memset(frame + GRPC_FRAME_HEAD_BYTES, 'x', len);
	return frame;
}

static int ask(struct grpc *g, struct grpc_request req, struct buf *out, struct err *err)
{
	struct grpc_call *call;

	req.method = METHOD;
	if (!req.timeout_ms)
		req.timeout_ms = PATIENCE_MS;
	return grpc_start(g, &req, message(3), &call, err) < 0 ? -1 : grpc_finish(call, out, err);
}

static void try_row(const struct row *row, bool once)
{
	struct script s = { .row = row };
	struct h2_peer *peer = h2_peer_new(loop, script, &s);
	struct grpc *g = grpc_new(http, h2_peer_socket(peer));
	CLEANUP(buf_free) struct buf out = BUF_INIT(KIB);
	CLEANUP(freep) char *name = xasprintf("%s%s", row->name, once ? ", once" : "");
	bool repeats = row->say == say_refused || !once;
	struct err err = { 0 };
	int r = ask(g, (struct grpc_request){ .once = once, .timeout_ms = row->kind == ERR_TIMEOUT ? 200 : 0 }, &out,
		    &err);

	if (row->kind != ERR_NONE)
		row_refused(name, r, row->kind, row->text, &err);
	else if (row_ok(name, r, &err))
		row_str(name, "answer", row->text, buf_str(&out));
	row_int(name, "connections", row->connections && repeats ? row->connections : 1, h2_peer_connections(peer));
	row_int(name, "requests", row->requests && repeats ? row->requests : 1, s.requests);
	grpc_free(g);
	h2_peer_free(peer);
}

static void test_answers(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		try_row(&rows[i], false);
		try_row(&rows[i], true);
	}
	table_end();
}

static void test_one_connection_for_all(void **state)
{
	struct script s = { .row = &rows[0] };
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
	struct script s = { .row = &rows[0], .leaves = true };
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

/* --- streams --- */

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
	static const struct row two = { .say = say_two }, cut = { .say = say_half, .close = true };
	const size_t all = 5 * (300 * KIB + GRPC_FRAME_HEAD_BYTES);
	unsigned int connections;
	struct script s;
	struct err err;

	(void)state;
	assert_int_equal(stream(&(struct script){ .row = &two, .opens = true }, &s, 0, &connections, &err), 0);
	assert_int_equal(s.uploaded, all);
	assert_int_equal(stream(&(struct script){ .row = &cut, .opens = true }, &s, 0, &connections, &err), -1);
	assert_int_equal(err.kind, ERR_NETWORK);
	/* Windows that nobody opens: after the first 64 KiB, or from the beginning. */
	assert_int_equal(stream(&(struct script){ .row = &two }, &s, 0, &connections, &err), -1);
	assert_int_equal(err.kind, ERR_TIMEOUT);
	assert_int_equal(s.uploaded, 65535);
	assert_int_equal(stream(&(struct script){ .row = &two, .shut = true }, &s, 150, &connections, &err), -1);
	assert_int_equal(err.kind, ERR_TIMEOUT);
	assert_int_equal(connections, 1);
}

static void test_what_is_not_sent(void **state)
{
	const struct http_header bad = { "name", "a\nb" };
	struct grpc *g = grpc_new(http, "/nowhere/socket");
	struct script s = { .row = &rows[0] };
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
		cmocka_unit_test(test_answers),
		cmocka_unit_test(test_one_connection_for_all),
		cmocka_unit_test(test_a_peer_that_leaves),
		cmocka_unit_test(test_calls_at_once),
		cmocka_unit_test(test_a_call_that_is_dropped),
		cmocka_unit_test(test_streams),
		cmocka_unit_test(test_what_is_not_sent),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
