/* Calls: what their owner does with them, what he is told, and how long they may take. */
#include "engine/grpc_internal.h"

#include <assert.h>

#include "base/clock.h"

struct grpc *grpc_new(struct http *http, const char *socket)
{
	struct grpc *g = xcalloc(1, sizeof *g);

	*g = (struct grpc){ .http = http, .loop = http_loop(http), .socket = xstrdup(socket) };
	return g;
}

static void unlink_out(struct grpc_call *call)
{
	if (call->prev)
		call->prev->next = call->next;
	else
		call->grpc->calls = call->next;
	if (call->next)
		call->next->prev = call->prev;
}

static void drop(struct grpc_call *call)
{
	unlink_out(call);
	loop_timer_cancel(call->timer);
	for (size_t i = 0; i < call->n_metadata; i++) {
		free((char *)call->metadata[i].name);
		free((char *)call->metadata[i].value);
	}
	buf_free(&call->answer);
	free(call->message);
	free(call->method);
	free(call->frame);
	free(call);
}

void grpc_free(struct grpc *g)
{
	if (!g)
		return;
	assert(!g->telling);
	grpc_connections_free(g);
	while (g->calls)
		drop(g->calls);
	loop_timer_cancel(g->kick);
	free(g->socket);
	free(g);
}

/* --- events --- */

/* What lost its connection gets another one, before anybody hears of anything. */
static void send_again(struct grpc *g)
{
	for (struct grpc_call *call = g->calls; call; call = call->next) {
		struct err err;
		if (!call->again)
			continue;
		call->again = false;
		call->retried = true;
		call->left = call->deferred = false;
		call->frame_sent = call->header_bytes = call->header_lines = 0;
		call->status[0] = '\0';
		buf_clear(&call->answer);
		if (grpc_connection_begin(call, &err) < 0)
			grpc_call_failed(call, &err);
		else
			grpc_connection_flush(call->connection);
	}
}

static struct grpc_call *next_due(struct grpc *g)
{
	struct grpc_call *call;

	for (call = g->calls; call && !call->again && !call->tells; call = call->next)
		;
	return call;
}

void grpc_tell(struct grpc *g)
{
	struct grpc_call *call;

	g->telling = true;
	while ((call = next_due(g))) {
		if (call->again) {
			send_again(g);
			continue;
		}
		call->tells = false;
		if (call->event)
			call->event(call->event_arg); /* may free it */
	}
	g->telling = false;
}

static void on_kick(void *arg)
{
	struct grpc *g = arg;

	g->kick = NULL;
	grpc_tell(g);
}

void grpc_kick(struct grpc *g)
{
	if (!g->telling && !g->kick)
		g->kick = loop_timer_start(g->loop, 0, on_kick, g);
}

/* --- time --- */

static void watch_time(struct grpc_call *call);

static void on_timer(void *arg)
{
	struct grpc_call *call = arg;
	struct grpc *g = call->grpc;
	int64_t now_ms = clock_mono_ms();
	struct err err;

	call->timer = NULL;
	if (grpc_ready(call))
		call->moved_ms = now_ms;
	if (call->timeout_ms > 0 && now_ms - call->started_ms >= call->timeout_ms)
		(void)err_set(&err, ERR_TIMEOUT, "no answer in %lld ms", (long long)call->timeout_ms);
	else if (call->stall_timeout_ms > 0 && now_ms - call->moved_ms >= call->stall_timeout_ms)
		(void)err_set(&err, ERR_TIMEOUT, "no byte in %lld ms", (long long)call->stall_timeout_ms);
	else {
		watch_time(call);
		return;
	}
	struct grpc_connection *c = call->connection;
	grpc_call_failed(call, &err);
	if (c)
		grpc_connection_flush(c);
	grpc_tell(g);
}

static void watch_time(struct grpc_call *call)
{
	int64_t total_ms = call->started_ms + call->timeout_ms, stall_ms = call->moved_ms + call->stall_timeout_ms;
	int64_t due_ms = total_ms;

	if (call->timeout_ms <= 0 && call->stall_timeout_ms <= 0)
		return;
	if (call->timeout_ms <= 0 || (call->stall_timeout_ms > 0 && stall_ms < total_ms))
		due_ms = stall_ms;
	call->timer = loop_timer_start(call->grpc->loop, due_ms - clock_mono_ms(), on_timer, call);
}

/* --- for the caller --- */

static size_t message_len(const uint8_t *frame)
{
	return (size_t)frame[1] << 24 | (size_t)frame[2] << 16 | (size_t)frame[3] << 8 | frame[4];
}

static void take_frame(struct grpc_call *call, uint8_t *frame, bool last)
{
	free(call->frame);
	call->frame = frame;
	call->frame_len = GRPC_FRAME_HEAD_BYTES + message_len(frame);
	call->frame_sent = 0;
	call->last = last;
}

static struct grpc_call *new_call(struct grpc *g, const struct grpc_request *req, uint8_t *frame)
{
	struct grpc_call *call = xcalloc(1, sizeof *call);

	*call = (struct grpc_call){
		.grpc = g,
		.next = g->calls,
		.method = xstrdup(req->method),
		.n_metadata = req->n_metadata,
		.answers = req->answers,
		.once = req->once,
		.event = req->event,
		.event_arg = req->event_arg,
		.answer = BUF_INIT(GRPC_FRAME_HEAD_BYTES + GRPC_MESSAGE_MAX_BYTES),
		.timeout_ms = req->timeout_ms,
		.stall_timeout_ms = req->stall_timeout_ms,
		.started_ms = clock_mono_ms(),
		.moved_ms = clock_mono_ms(),
	};
	for (size_t i = 0; i < req->n_metadata; i++) {
		call->metadata[i].name = xstrdup(req->metadata[i].name);
		call->metadata[i].value = xstrdup(req->metadata[i].value);
	}
	take_frame(call, frame, !req->more);
	if (g->calls)
		g->calls->prev = call;
	g->calls = call;
	return call;
}

int grpc_start(struct grpc *g, const struct grpc_request *req, uint8_t *frame, struct grpc_call **out, struct err *err)
{
	assert(req->n_metadata <= GRPC_METADATA_MAX);
	struct grpc_call *call = new_call(g, req, frame);
	int result = message_len(frame) > GRPC_MESSAGE_MAX_BYTES
			     ? err_set(err, ERR_LIMIT, "a gRPC message of %zu bytes", message_len(frame))
			     : grpc_connection_begin(call, err);

	if (result < 0) {
		drop(call);
		return -1;
	}
	watch_time(call);
	grpc_connection_flush(call->connection);
	call->tells = call->tells && !grpc_ready(call); /* that is seen without being told */
	*out = call;
	return 0;
}

bool grpc_ready(const struct grpc_call *call)
{
	return !call->ended && !call->last && call->frame_sent == call->frame_len;
}

void grpc_send(struct grpc_call *call, uint8_t *frame, bool last)
{
	assert(grpc_ready(call) && message_len(frame) <= GRPC_MESSAGE_MAX_BYTES);
	take_frame(call, frame, last);
	grpc_connection_resume(call);
	grpc_connection_flush(call->connection);
	call->tells = call->tells && !grpc_ready(call);
}

bool grpc_ended(const struct grpc_call *call)
{
	return call->ended;
}

const char *grpc_method(const struct grpc_call *call)
{
	return strrchr(call->method, '/') + 1;
}

bool grpc_ended_early(const struct grpc_call *call)
{
	return call->early;
}

void grpc_cancel(struct grpc_call *call)
{
	if (!call)
		return;
	struct grpc_connection *c = call->connection;
	grpc_connection_end(call);
	if (c)
		grpc_connection_flush(c);
	drop(call);
}

static bool has_ended(void *arg)
{
	return grpc_ended(arg);
}

static int read_answer(const struct grpc_call *call, struct buf *answer, struct err *err)
{
	const uint8_t *message;
	size_t len;

	if (call->err.kind != ERR_NONE) {
		*err = call->err;
		return -1;
	}
	if (grpc_frame_parse(buf_str(&call->answer), call->answer.len, &message, &len, err) < 0)
		return -1;
	if (GRPC_FRAME_HEAD_BYTES + len < call->answer.len)
		return err_set(err, ERR_PROTOCOL, "%zu bytes behind the answer",
			       call->answer.len - GRPC_FRAME_HEAD_BYTES - len);
	if (!answer)
		return 0;
	buf_clear(answer);
	return buf_append(answer, message, len, err);
}

int grpc_finish(struct grpc_call *call, struct buf *answer, struct err *err)
{
	int result = call->ended ? 0 : loop_wait(call->grpc->loop, has_ended, call, -1, err);

	if (result == 0)
		result = read_answer(call, answer, err);
	grpc_cancel(call);
	return result;
}
