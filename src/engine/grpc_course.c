/* The course of a call, as the connection tells it: what came, how it ended, and whether it is sent once more. */
#include "engine/grpc_internal.h"

#include "base/clock.h"

static void tell(struct grpc_call *call)
{
	call->tells = true;
	grpc_kick(call->grpc);
}

static void trace(const struct grpc_call *call)
{
	const char *how = call->err.kind == ERR_NONE ? "done" : call->err.msg;

	http_note(call->grpc->http, "%s on %s: %s, %zu bytes, %lld ms", call->method, call->grpc->socket, how,
		  call->answer.len, (long long)(clock_mono_ms() - call->started_ms));
}

static void end(struct grpc_call *call)
{
	call->ended = true;
	call->again = false;
	loop_timer_cancel(call->timer);
	call->timer = NULL;
	grpc_connection_end(call);
	trace(call);
	tell(call);
}

void grpc_call_failed(struct grpc_call *call, const struct err *err)
{
	if (call->ended)
		return;
	call->err = *err;
	end(call);
}

void grpc_call_answered(struct grpc_call *call)
{
	if (call->ended)
		return;
	call->answered = true;
	call->early = !(call->last && call->frame_sent == call->frame_len);
	if (call->http_status != 200)
		(void)err_set(&call->err, ERR_PROTOCOL, "the answer was HTTP status %ld", call->http_status);
	else if (grpc_status(call->status, call->message, &call->err) == 0)
		err_clear(&call->err);
	end(call);
}

void grpc_call_lost(struct grpc_call *call, bool refused, const struct err *err)
{
	/* The frame is the call's only one, or the first: all of what was sent can be sent again. */
	bool whole = call->last;

	if (call->ended)
		return;
	if (call->retried || !whole || (call->once && call->left && !refused)) {
		grpc_call_failed(call, err);
		return;
	}
	call->again = true;
	grpc_kick(call->grpc);
}

void grpc_call_moved(struct grpc_call *call)
{
	call->moved_ms = clock_mono_ms();
}

size_t grpc_call_take(struct grpc_call *call, uint8_t *out, size_t max)
{
	size_t left = call->frame_len - call->frame_sent, n = left < max ? left : max;

	if (!n)
		return 0;
	memcpy(out, call->frame + call->frame_sent, n);
	call->frame_sent += n;
	grpc_call_moved(call);
	if (n == left && !call->last)
		tell(call);
	return n;
}

static void keep(char *out, size_t size, const char *value, size_t len)
{
	out[0] = '\0';
	if (len >= size)
		return;
	memcpy(out, value, len);
	out[len] = '\0';
}

/* A call that fails at once has its status in the head ("Trailers-Only"); what comes last counts. */
int grpc_call_header(struct grpc_call *call, const char *name, size_t name_len, const char *value, size_t value_len)
{
	call->header_bytes += name_len + value_len;
	call->header_lines++;
	if (call->header_bytes > HTTP_HEADERS_MAX_BYTES || call->header_lines > HTTP_HEADERS_MAX)
		return err_set(&call->err, ERR_LIMIT, "an answer with more than %zu bytes or %u lines of headers",
			       (size_t)HTTP_HEADERS_MAX_BYTES, (unsigned int)HTTP_HEADERS_MAX);
	if (streq(name, ":status")) {
		call->http_status = strtol(value, NULL, 10);
	} else if (streq(name, "grpc-status")) {
		keep(call->status, sizeof call->status, value, value_len);
	} else if (streq(name, "grpc-message")) {
		free(call->message);
		call->message = xstrndup(value, value_len);
	}
	return 0;
}

/* Of a method that streams, the last message is of interest. */
static void forget_earlier(struct grpc_call *call)
{
	const uint8_t *message;
	struct err ignored;
	size_t len;

	while (grpc_frame_parse(buf_str(&call->answer), call->answer.len, &message, &len, &ignored) == 0 &&
	       call->answer.len > GRPC_FRAME_HEAD_BYTES + len)
		buf_consume(&call->answer, GRPC_FRAME_HEAD_BYTES + len);
}

int grpc_call_data(struct grpc_call *call, const uint8_t *bytes, size_t len)
{
	if (buf_append(&call->answer, bytes, len, &call->err) < 0)
		return err_wrap(&call->err, "answer");
	if (call->answers)
		forget_earlier(call);
	return 0;
}
