#include "engine/containerd_write.h"

#include "engine/containerd_internal.h"

/*
 * Of the blob in one message: large enough for few messages, small beside the 96 MiB of a whole pull, for each layer.
 */
#define PIECE_BYTES (256 * KIB)
/* No byte either way while there are bytes to send: containerd syncs a blob to disk before it answers. */
#define STALL_MS (10 * 60 * 1000)

struct containerd_writer {
	struct containerd *c;
	struct grpc_call *call; /* NULL: not started, or ended */
	containerd_event_fn *event;
	void *arg;
	char *ref, *digest;
	int64_t total, offset; /* of the blob; offset: where the next message begins */
	bool ended;
	struct err error;      /* ERR_NONE: ended well */
};

static void finish(struct containerd_writer *w)
{
	bool early = grpc_ended_early(w->call);
	struct grpc_call *call = w->call;

	w->call = NULL;
	w->ended = true;
	/* Somebody else may have brought it, which ends the call early; it is under our lease too. */
	if (containerd_hear(call, NULL, NULL, &w->error) < 0) {
		if (w->error.kind == ERR_CONFLICT)
			err_clear(&w->error);
	} else if (early) {
		(void)err_set(&w->error, ERR_PROTOCOL, "containerd: Write: an answer before all was sent");
	} else {
		err_clear(&w->error);
	}
}

static void on_event(void *arg)
{
	struct containerd_writer *w = arg;

	if (grpc_ended(w->call))
		finish(w);
	w->event(w->arg);
}

static int send_piece(struct containerd_writer *w, const void *bytes, size_t len, struct err *err)
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
	w->offset += (int64_t)len;
	if (w->call) {
		grpc_send(w->call, containerd_pack(&req.base), last);
		return 0;
	}
	const struct containerd_request call = {
		.method = "content.v1.Content/Write",
		.message = &req.base,
		.stall_timeout_ms = STALL_MS,
		.streams = true,
		.more = !last,
		.event = on_event,
		.event_arg = w,
	};
	return containerd_ask(w->c, &call, &w->call, err);
}

struct containerd_writer *containerd_write_new(struct containerd *c, const char *ref, const char *digest,
					       int64_t total_bytes, containerd_event_fn *event, void *arg)
{
	struct containerd_writer *w = xcalloc(1, sizeof *w);

	*w = (struct containerd_writer){
		.c = c,
		.event = event,
		.arg = arg,
		.ref = xstrdup(ref),
		.digest = xstrdup(digest),
		.total = total_bytes,
	};
	return w;
}

ssize_t containerd_write_feed(struct containerd_writer *w, const void *bytes, size_t len, struct err *err)
{
	if (w->ended)
		return containerd_write_result(w, err) < 0 ? -1 : (ssize_t)len;
	if (w->call && !grpc_ready(w->call))
		return 0;
	if ((int64_t)len > w->total - w->offset)
		return err_set(err, ERR_PROTOCOL, "containerd: Write: more bytes than the blob has");
	len = len < PIECE_BYTES ? len : PIECE_BYTES;
	return send_piece(w, bytes, len, err) < 0 ? -1 : (ssize_t)len;
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
	grpc_cancel(w->call);
	free(w->ref);
	free(w->digest);
	free(w);
}
