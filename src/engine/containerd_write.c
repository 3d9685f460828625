#include "engine/containerd_write.h"

#include "engine/containerd_internal.h"
#include "engine/grpc.h"

/*
 * Of the blob in one message, which is answered before the next one is sent, and fits into what the peer's flow control has room
 * for then (64 KiB at first, less a quarter: grpc-go gives room back by quarters). libcurl 7.88 neither stands a socket that is full
 * while it has a PING to answer, nor comes back to bytes that had to wait for room once the upload pauses.
 */
#define PIECE_BYTES (32 * KIB)
/* No byte either way while there are bytes to send: containerd syncs a blob to disk before it answers. */
#define STALL_MS (10 * 60 * 1000)

struct containerd_writer {
	struct containerd *c;
	struct http_transfer *transfer; /* NULL: not started, or ended */
	containerd_event_fn *event;
	void *arg;
	char *ref, *digest;
	int64_t total, offset;     /* of the blob; offset: where the next message begins */
	struct buf small;          /* of a blob that goes as one message: what came so far */
	uint8_t *frame;            /* the message being sent, with its head */
	size_t frame_len, sent;
	bool answered;             /* it was, or there was none yet */
	bool waits;                /* the upload, for the next message */
	bool ended;
	struct err error;          /* ERR_NONE: ended well */
};

static bool frame_sent(const struct containerd_writer *w)
{
	return w->sent == w->frame_len;
}

static bool is_whole(const struct containerd_writer *w)
{
	return w->offset == w->total;
}

static void fill_frame(struct containerd_writer *w, const void *bytes, size_t len)
{
	Ctd__WriteContentRequest req = CTD__WRITE_CONTENT_REQUEST__INIT;
	bool last = w->offset + (int64_t)len == w->total;

	req.action = last ? CTD__WRITE_ACTION__COMMIT : CTD__WRITE_ACTION__WRITE;
	req.ref = w->ref;
	req.total = w->total;
	req.expected = w->digest;
	req.offset = w->offset;
	req.data.data = (uint8_t *)bytes;
	req.data.len = len;
	free(w->frame);
	size_t message_len = protobuf_c_message_get_packed_size(&req.base);
	w->frame = xmalloc(GRPC_FRAME_HEAD_BYTES + message_len);
	grpc_frame_head(message_len, w->frame);
	w->frame_len = GRPC_FRAME_HEAD_BYTES + protobuf_c_message_pack(&req.base, w->frame + GRPC_FRAME_HEAD_BYTES);
	w->sent = 0;
	w->answered = false;
	w->offset += (int64_t)len;
}

static enum http_flow upload(void *arg, void *out, size_t max, size_t *len, struct err *err)
{
	struct containerd_writer *w = arg;

	(void)err;
	*len = 0;
	if (frame_sent(w) && !is_whole(w)) {
		w->waits = true;
		return HTTP_PAUSE;
	}
	size_t left = w->frame_len - w->sent;
	*len = left < max ? left : max;
	if (*len)
		memcpy(out, w->frame + w->sent, *len);
	w->sent += *len;
	return HTTP_CONTINUE;
}

/* Each message is answered with how far it is, in one frame of a hundred bytes. What it says shows at the end. */
static enum http_flow on_answer(void *arg, const struct http_response *head, const void *bytes, size_t len,
				struct err *err)
{
	struct containerd_writer *w = arg;

	(void)head;
	(void)bytes;
	(void)len;
	(void)err;
	w->answered = true;
	if (frame_sent(w) && !is_whole(w))
		w->event(w->arg);
	return HTTP_CONTINUE;
}

static void on_done(void *arg, struct http_response *resp, const struct err *failure)
{
	struct containerd_writer *w = arg;

	w->transfer = NULL;
	w->ended = true;
	free(w->frame);
	w->frame = NULL;
	if (failure)
		w->error = *failure;
	else if (grpc_check(resp, &w->error) == 0 && !(is_whole(w) && frame_sent(w)))
		(void)err_set(&w->error, ERR_PROTOCOL, "an answer before all was sent");
	if (w->error.kind == ERR_CONFLICT) /* somebody else brought it; it is under our lease too */
		err_clear(&w->error);
	if (w->error.kind != ERR_NONE)
		(void)err_wrap(&w->error, "containerd: Write");
	w->event(w->arg);
}

static int start(struct containerd_writer *w, struct err *err)
{
	const struct containerd *c = w->c;
	const struct http_header headers[] = {
		{ "Content-Type", "application/grpc" },
		{ "TE", "trailers" },
		{ "containerd-namespace", c->namespace },
		{ "containerd-lease", c->lease },
	};
	struct http_request req = {
		.method = "POST",
		.url = "http://localhost/containerd.services.content.v1.Content/Write",
		.unix_socket = c->socket,
		.headers = headers,
		.n_headers = c->lease ? ARRAY_LEN(headers) : ARRAY_LEN(headers) - 1,
		.on_body = on_answer,
		.on_body_arg = w,
		.max_body_bytes = GRPC_MESSAGE_MAX_BYTES,
		.stall_timeout_ms = STALL_MS,
		.no_proxy = true,
		.http2_prior_knowledge = true,
		.fresh_connection = true,
	};

	if (is_whole(w)) {
		req.body = w->frame;
		req.body_len = w->sent = w->frame_len;
	} else {
		req.upload = upload;
		req.upload_arg = w;
	}
	return http_start(c->http, &req, on_done, w, &w->transfer, err) < 0 ? err_wrap(err, "containerd: Write") : 0;
}

int containerd_write_start(struct containerd *c, const char *ref, const char *digest, int64_t total_bytes,
			   containerd_event_fn *event, void *arg, struct containerd_writer **out, struct err *err)
{
	struct containerd_writer *w = xcalloc(1, sizeof *w);

	*w = (struct containerd_writer){
		.c = c,
		.event = event,
		.arg = arg,
		.ref = xstrdup(ref),
		.digest = xstrdup(digest),
		.total = total_bytes,
		.small = BUF_INIT(PIECE_BYTES),
		.answered = true,
	};
	if (total_bytes > (int64_t)PIECE_BYTES && start(w, err) < 0) {
		containerd_write_free(w);
		return -1;
	}
	*out = w;
	return 0;
}

/* An upload that ends at once can end libcurl 7.88's interest in the answer. */
static ssize_t feed_small(struct containerd_writer *w, const void *bytes, size_t len, struct err *err)
{
	if (buf_append(&w->small, bytes, len, err) < 0)
		return -1;
	if ((int64_t)w->small.len < w->total)
		return (ssize_t)len;
	fill_frame(w, w->small.data, w->small.len);
	return start(w, err) < 0 ? -1 : (ssize_t)len;
}

ssize_t containerd_write_feed(struct containerd_writer *w, const void *bytes, size_t len, struct err *err)
{
	if (w->ended)
		return containerd_write_result(w, err) < 0 ? -1 : (ssize_t)len;
	if (!frame_sent(w) || !w->answered)
		return 0;
	if ((int64_t)len > w->total - w->offset - (int64_t)w->small.len)
		return err_set(err, ERR_PROTOCOL, "containerd: Write: more bytes than the blob has");
	if (!w->transfer)
		return feed_small(w, bytes, len, err);
	len = len < PIECE_BYTES ? len : PIECE_BYTES;
	fill_frame(w, bytes, len);
	if (w->waits) {
		w->waits = false;
		http_resume(w->transfer);
	}
	return (ssize_t)len;
}

bool containerd_write_ended(const struct containerd_writer *w)
{
	return w->ended;
}

int containerd_write_result(const struct containerd_writer *w, struct err *err)
{
	if (w->error.kind == ERR_NONE)
		return 0;
	*err = w->error;
	return -1;
}

void containerd_write_free(struct containerd_writer *w)
{
	if (!w)
		return;
	if (w->transfer)
		http_cancel(w->transfer);
	buf_free(&w->small);
	free(w->frame);
	free(w->ref);
	free(w->digest);
	free(w);
}
