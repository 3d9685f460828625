/* Calls to a scripted HTTP/2 peer, and what it says. */
#ifndef BERTH_TESTS_UNIT_GRPC_FIXTURE_H
#define BERTH_TESTS_UNIT_GRPC_FIXTURE_H

#include "http_fixture.h"

#include "engine/grpc.h"
#include "h2_peer.h"

#define METHOD "/test.v1.Test/Ask"
#define PATIENCE_MS 5000 /* with a peer that answers at once, as far as the machine lets it */

/* --- what the peer says --- */

typedef void say_fn(struct buf *out, uint32_t stream);

static inline void say_head(struct buf *out, uint32_t stream, const char *status)
{
	CLEANUP(buf_free) struct buf block = BUF_INIT(KIB);

	h2_field(&block, ":status", status);
	h2_field(&block, "content-type", "application/grpc");
	h2_say(out, H2_HEADERS, H2_END_HEADERS, stream, block.data, block.len);
}

static inline void say_end(struct buf *out, uint32_t stream, const char *status)
{
	CLEANUP(buf_free) struct buf block = BUF_INIT(KIB);

	h2_field(&block, status ? "grpc-status" : "other", status ? status : "x");
	h2_say(out, H2_HEADERS, H2_END_HEADERS | H2_END_STREAM, stream, block.data, block.len);
}

static inline void say_message(struct buf *out, uint32_t stream, const char *text)
{
	size_t len = strlen(text);
	CLEANUP(freep) uint8_t *frame = grpc_frame_new(len);

	memcpy(frame + GRPC_FRAME_HEAD_BYTES, text, len);
	h2_say(out, H2_DATA, 0, stream, frame, GRPC_FRAME_HEAD_BYTES + len);
}

static inline void say_answer(struct buf *out, uint32_t stream)
{
	say_head(out, stream, "200");
	say_message(out, stream, "hi");
	say_end(out, stream, "0");
}

static inline void say_two(struct buf *out, uint32_t stream)
{
	say_head(out, stream, "200");
	say_message(out, stream, "a");
	say_message(out, stream, "b");
	say_end(out, stream, "0");
}

static inline void say_half(struct buf *out, uint32_t stream)
{
	say_head(out, stream, "200");
	say_message(out, stream, "hi");
}

struct script {
	say_fn *say;
	bool close;   /* behind what was said */
	say_fn *more; /* said when there is room again, or NULL */
	unsigned int requests, resets;
	size_t uploaded;
	bool shut;              /* windows are closed from the beginning */
	bool opens;             /* what was received may come again */
	unsigned int answer_at; /* requests to wait for before the answers, last one first; 0: say() */
	bool leaves;            /* the first connection sends GOAWAY instead of an answer */
};

static inline void greet(const struct script *s, struct buf *out)
{
	h2_say(out, H2_SETTINGS, 0, 0, s->shut ? "\0\4\0\0\0\0" : "", s->shut ? 6 : 0);
}

static inline void answer(struct script *s, const struct h2_frame *frame, struct buf *out, bool *close)
{
	s->requests++;
	if (s->leaves && frame->connection == 0) {
		h2_say(out, H2_GOAWAY, 0, 0, "\0\0\0\0\0\0\0\0", 8);
	} else if (!s->answer_at) {
		s->say(out, frame->stream);
		*close = s->close;
	} else if (s->requests == s->answer_at) {
		for (unsigned int i = s->answer_at; i > 0; i--)
			say_answer(out, 2 * i - 1);
	}
}

static inline void script(void *arg, const struct h2_frame *frame, struct buf *out, bool *close)
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
	if (frame->type == H2_WINDOW && frame->stream && s->more)
		s->more(out, frame->stream);
	if (frame->type == H2_DATA && frame->flags & H2_END_STREAM)
		answer(s, frame, out, close);
}

/* --- calls --- */

static inline uint8_t *message(size_t len)
{
	uint8_t *frame = grpc_frame_new(len);

	memset(frame + GRPC_FRAME_HEAD_BYTES, 'x', len);
	return frame;
}

static inline int ask(struct grpc *g, struct grpc_request req, struct buf *out, struct err *err)
{
	struct grpc_call *call;

	req.method = METHOD;
	if (!req.timeout_ms)
		req.timeout_ms = PATIENCE_MS;
	return grpc_start(g, &req, message(3), &call, err) < 0 ? -1 : grpc_finish(call, out, err);
}

#endif
