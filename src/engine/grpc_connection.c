/*
 * One HTTP/2 connection to a Unix socket, on the loop, by nghttp2 (libcurl 7.88 begins HTTP/2 anew in one that it uses
 * again). nghttp2 judges frames, windows and the order of an answer's parts; grpc_call.c judges sizes. No caller is
 * called back before the end of a turn.
 */
#include <errno.h>
#include <nghttp2/nghttp2.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "engine/grpc_internal.h"
#include "net/unix.h"

#define READ_BYTES (64 * KIB)     /* at a time: answers are small */
#define OUT_BYTES (64 * KIB)      /* gathered before they are sent: a third of a Unix socket's buffer */
#define OUT_MAX_BYTES (128 * KIB) /* with the frame that passes it; berth's are 16 KiB at most */
#define COMPLAINT_SIZE 160

struct grpc_connection {
	struct grpc *grpc;
	struct grpc_connection *next;
	nghttp2_session *session;
	int fd;
	struct loop_watch *watch;
	bool waits_for_room; /* in the socket */
	bool leaving;        /* the peer takes no further calls here */
	struct buf out;
	size_t out_sent;
	char complaint[COMPLAINT_SIZE]; /* nghttp2's, about the peer */
};

static int lack_of_memory(int r)
{
	if (r == NGHTTP2_ERR_NOMEM)
		abort();
	return r;
}

static struct grpc_call *call_of(nghttp2_session *session, int32_t stream)
{
	return nghttp2_session_get_stream_user_data(session, stream);
}

/* --- what nghttp2 says --- */

static ssize_t on_body_wanted(nghttp2_session *session, int32_t stream, uint8_t *out, size_t max, uint32_t *flags,
			      nghttp2_data_source *source, void *arg)
{
	struct grpc_call *call = call_of(session, stream);

	(void)source, (void)arg;
	if (!call)
		return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
	size_t n = grpc_call_take(call, out, max);
	if (!n && !call->last) {
		call->deferred = true;
		return NGHTTP2_ERR_DEFERRED;
	}
	if (call->last && call->frame_sent == call->frame_len)
		*flags |= NGHTTP2_DATA_FLAG_EOF;
	return (ssize_t)n;
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name, size_t name_len,
		     const uint8_t *value, size_t value_len, uint8_t flags, void *arg)
{
	struct grpc_call *call = call_of(session, frame->hd.stream_id);

	(void)flags, (void)arg;
	if (!call)
		return 0;
	grpc_call_moved(call);
	/* Both end in a NUL. */
	return grpc_call_header(call, (const char *)name, name_len, (const char *)value, value_len) < 0 ?
		       NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE : 0;
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t stream, const uint8_t *bytes, size_t len, void *arg)
{
	struct grpc_call *call = call_of(session, stream);

	(void)flags, (void)arg;
	if (!call)
		return 0;
	grpc_call_moved(call);
	if (grpc_call_data(call, bytes, len) < 0) {
		struct err err = call->err;
		grpc_call_failed(call, &err);
	}
	return 0;
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
	struct grpc_connection *c = arg;
	struct grpc_call *call = call_of(session, frame->hd.stream_id);
	bool of_answer = frame->hd.type == NGHTTP2_HEADERS || frame->hd.type == NGHTTP2_DATA;

	if (frame->hd.type == NGHTTP2_GOAWAY)
		c->leaving = true;
	if (call && of_answer && frame->hd.flags & NGHTTP2_FLAG_END_STREAM)
		grpc_call_answered(call);
	return 0;
}

/* RFC 9113 §7: those that mean that somebody broke the protocol. */
static enum err_kind kind_of(uint32_t code)
{
	switch (code) {
	case NGHTTP2_PROTOCOL_ERROR:
	case NGHTTP2_FLOW_CONTROL_ERROR:
	case NGHTTP2_STREAM_CLOSED:
	case NGHTTP2_FRAME_SIZE_ERROR:
	case NGHTTP2_COMPRESSION_ERROR:
		return ERR_PROTOCOL;
	default:
		return ERR_NETWORK;
	}
}

static int on_stream_close(nghttp2_session *session, int32_t stream, uint32_t code, void *arg)
{
	struct grpc_call *call = call_of(session, stream);
	struct err err;

	(void)arg;
	if (!call)
		return 0;
	call->connection = NULL;
	if (call->err.kind != ERR_NONE)
		err = call->err;
	else
		(void)err_set(&err, kind_of(code), "the call was cut off (%s)", nghttp2_http2_strerror(code));
	if (code == NGHTTP2_REFUSED_STREAM)
		grpc_call_lost(call, true, &err);
	else
		grpc_call_failed(call, &err);
	return 0;
}

static int on_complaint(nghttp2_session *session, int code, const char *text, size_t len, void *arg)
{
	struct grpc_connection *c = arg;

	(void)session, (void)code;
	(void)snprintf(c->complaint, sizeof c->complaint, "%.*s", (int)len, text); /* cut is fine */
	return 0;
}

static void start_session(struct grpc_connection *c)
{
	static const nghttp2_settings_entry settings[] = {
		{ NGHTTP2_SETTINGS_ENABLE_PUSH, 0 },
		{ NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, HTTP_HEADERS_MAX_BYTES },
	};
	nghttp2_session_callbacks *callbacks;

	if (nghttp2_session_callbacks_new(&callbacks) < 0)
		abort(); /* out of memory, as below */
	nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
	nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
	nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
	nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_stream_close);
	nghttp2_session_callbacks_set_error_callback2(callbacks, on_complaint);
	if (nghttp2_session_client_new(&c->session, callbacks, c) < 0 ||
	    nghttp2_submit_settings(c->session, NGHTTP2_FLAG_NONE, settings, ARRAY_LEN(settings)) < 0)
		abort();
	nghttp2_session_callbacks_del(callbacks);
}

/* --- the socket --- */

static void connection_free(struct grpc_connection *c)
{
	struct grpc_connection **at = &c->grpc->connections;

	while (*at != c)
		at = &(*at)->next;
	*at = c->next;
	loop_unwatch(c->watch);
	closep(&c->fd);
	nghttp2_session_del(c->session); /* no callbacks */
	buf_free(&c->out);
	free(c);
}

static void connection_lost(struct grpc_connection *c, struct err *err)
{
	struct grpc *g = c->grpc;

	(void)err_wrap(err, "%s", g->socket);
	for (struct grpc_call *call = g->calls; call; call = call->next) {
		if (call->connection != c)
			continue;
		call->connection = NULL;
		if (err->kind == ERR_NETWORK)
			grpc_call_lost(call, false, err);
		else
			grpc_call_failed(call, err);
	}
	connection_free(c);
}

static int broken(const struct grpc_connection *c, int r, struct err *err)
{
	const char *why = lack_of_memory(r) < 0 ? nghttp2_strerror(r) : "against the rules";

	return err_set(err, ERR_PROTOCOL, "no HTTP/2 as it should be (%s)", *c->complaint ? c->complaint : why);
}

static int closed(struct err *err)
{
	return err_set(err, ERR_NETWORK, "the connection was closed");
}

static int gather(struct grpc_connection *c, struct err *err)
{
	while (c->out.len < OUT_BYTES) {
		const uint8_t *bytes;
		ssize_t n = nghttp2_session_mem_send(c->session, &bytes);
		if (n < 0)
			return broken(c, (int)n, err);
		if (n == 0)
			break;
		if (buf_append(&c->out, bytes, (size_t)n, err) < 0)
			return -1;
	}
	return 0;
}

static void note_sent(struct grpc_connection *c, size_t n)
{
	c->out_sent += n;
	if (c->out_sent == c->out.len) {
		buf_clear(&c->out);
		c->out_sent = 0;
	}
	for (struct grpc_call *call = c->grpc->calls; call; call = call->next)
		if (call->connection == c)
			call->left = true;
}

static void wait_for_room(struct grpc_connection *c, bool wanted)
{
	if (c->waits_for_room == wanted)
		return;
	c->waits_for_room = wanted;
	loop_watch_change(c->watch, EPOLLIN | (wanted ? EPOLLOUT : 0));
}

/* -1: it is no longer good for anything. */
static int push(struct grpc_connection *c, struct err *err)
{
	for (;;) {
		if (!c->out_sent && gather(c, err) < 0)
			return -1;
		if (!c->out.len)
			break;
		ssize_t n = send(c->fd, c->out.data + c->out_sent, c->out.len - c->out_sent, MSG_NOSIGNAL);
		if (n < 0 && errno != EAGAIN && errno != EINTR)
			return closed(err);
		if (n < 0 && errno == EAGAIN) {
			wait_for_room(c, true);
			return 0;
		}
		if (n > 0)
			note_sent(c, (size_t)n);
	}
	wait_for_room(c, false);
	if (nghttp2_session_want_read(c->session) || nghttp2_session_want_write(c->session))
		return 0;
	/* Over: it went away when its last call had ended, or we had to end it. */
	return c->leaving ? closed(err) : broken(c, 0, err);
}

void grpc_connection_flush(struct grpc_connection *c)
{
	struct err err;

	if (c && push(c, &err) < 0)
		connection_lost(c, &err);
}

static int pull(struct grpc_connection *c, struct err *err)
{
	uint8_t bytes[READ_BYTES];
	ssize_t n = recv(c->fd, bytes, sizeof bytes, 0);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (n <= 0)
		return closed(err);
	ssize_t r = nghttp2_session_mem_recv(c->session, bytes, (size_t)n);
	return r < 0 ? broken(c, (int)r, err) : 0;
}

static void on_event(void *arg, uint32_t events)
{
	struct grpc_connection *c = arg;
	struct grpc *g = c->grpc;
	struct err err;

	g->telling = true; /* once for all that happens here */
	if ((events & ~(uint32_t)EPOLLOUT && pull(c, &err) < 0) || push(c, &err) < 0)
		connection_lost(c, &err);
	grpc_tell(g);
}

static int open_connection(struct grpc *g, struct grpc_connection **out, struct err *err)
{
	CLEANUP(closep) int fd = -1;
	struct grpc_connection *c = xcalloc(1, sizeof *c);

	*c = (struct grpc_connection){ .grpc = g, .next = g->connections, .fd = -1, .out = BUF_INIT(OUT_MAX_BYTES) };
	if (unix_connect(g->socket, &fd, err) < 0 ||
	    loop_watch_fd(g->loop, fd, EPOLLIN, on_event, c, &c->watch, err) < 0) {
		free(c);
		return -1;
	}
	c->fd = fd;
	fd = -1;
	start_session(c);
	g->connections = c;
	*out = c;
	return 0;
}

/* --- streams --- */

static nghttp2_nv field(const char *name, const char *value)
{
	return (nghttp2_nv){ (uint8_t *)name, (uint8_t *)value, strlen(name), strlen(value), NGHTTP2_NV_FLAG_NONE };
}

/* The one place that says what a call's head holds. */
static int submit(struct grpc_connection *c, struct grpc_call *call, struct err *err)
{
	const nghttp2_data_provider body = { .read_callback = on_body_wanted };
	nghttp2_nv head[6 + GRPC_METADATA_MAX] = {
		field(":method", "POST"), field(":scheme", "http"), field(":authority", "localhost"),
		field(":path", call->method), field("content-type", "application/grpc"), field("te", "trailers"),
	};

	for (size_t i = 0; i < call->n_metadata; i++) {
		const struct http_header *h = &call->metadata[i];
		if (!nghttp2_check_header_value((const uint8_t *)h->value, strlen(h->value)))
			return err_set(err, ERR_REFUSED, "control byte in the header %s", h->name);
		head[6 + i] = field(h->name, h->value);
	}
	int32_t stream = nghttp2_submit_request(c->session, NULL, head, 6 + call->n_metadata, &body, call);
	if (stream < 0)
		return err_set(err, ERR_NETWORK, "%s: no further call (%s)", c->grpc->socket,
			       nghttp2_strerror(lack_of_memory(stream)));
	call->connection = c;
	call->stream = stream;
	return 0;
}

int grpc_connection_begin(struct grpc_call *call, struct err *err)
{
	struct grpc_connection *c = call->grpc->connections;

	if ((!c || c->leaving || !nghttp2_session_check_request_allowed(c->session)) &&
	    open_connection(call->grpc, &c, err) < 0)
		return -1;
	return submit(c, call, err);
}

void grpc_connection_resume(struct grpc_call *call)
{
	if (!call->deferred)
		return;
	call->deferred = false;
	/* Fails only for a stream that is gone, and then so is the call's. */
	(void)lack_of_memory(nghttp2_session_resume_data(call->connection->session, call->stream));
}

void grpc_connection_end(struct grpc_call *call)
{
	if (!call->connection)
		return;
	nghttp2_session *session = call->connection->session;
	int sent = nghttp2_session_get_stream_local_close(session, call->stream);
	call->connection = NULL;
	(void)nghttp2_session_set_stream_user_data(session, call->stream, NULL);
	if (!call->answered || sent == 0)
		(void)lack_of_memory(nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, call->stream,
							       NGHTTP2_CANCEL));
}

void grpc_connections_free(struct grpc *g)
{
	while (g->connections)
		connection_free(g->connections);
}
