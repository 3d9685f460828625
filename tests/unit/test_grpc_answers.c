/* What becomes of a call whose peer answers, or does anything but answer. */
#include "grpc_fixture.h"

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
	say_fn *say;
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

static void try_row(const struct row *row, bool once)
{
	struct script s = { .say = row->say, .close = row->close, .more = row->say == say_much ? say_more : NULL };
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_answers),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
