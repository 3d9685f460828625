#include "agent/backfill.h"

#include "base/clock.h"
#include "oci/blob.h"

struct backfill {
	struct context *context;
	const struct backfill_request *req;
	struct blob_set *blobs;
	struct store_session *session;
	bool *skip;
	size_t n;
	bool pumping, again, failed;
	struct err err;
};

static void pump(struct backfill *b);

static void on_blob(void *arg, size_t i)
{
	(void)i;
	pump(arg);
}

static void on_event(void *arg)
{
	pump(arg);
}

static int check_blobs(struct backfill *b)
{
	for (size_t i = 0; i < b->n; i++)
		if (!b->skip[i] && blob_state(b->blobs, i) == BLOB_FAILED) {
			b->err = *blob_error(b->blobs, i);
			return -1;
		}
	return 0;
}

/* Gives the engine the bytes that it wants next, as far as they are here. */
static int feed(struct backfill *b)
{
	const void *bytes;
	size_t len;
	ssize_t i;

	while ((i = store_load.wants(b->session)) >= 0) {
		blob_peek(b->blobs, (size_t)i, &bytes, &len);
		ssize_t n = len ? store_load.feed(b->session, bytes, len, &b->err) : 0;
		if (n <= 0)
			return (int)n;
		blob_consume(b->blobs, (size_t)i, (size_t)n);
	}
	return 0;
}

static void show(struct backfill *b)
{
	for (size_t i = 0; i < b->n; i++)
		if (!b->skip[i])
			progress_layer(b->req->progress, i,
				       blob_state(b->blobs, i) == BLOB_VERIFIED ? LAYER_VERIFIED : LAYER_FETCHING,
				       blob_received_bytes(b->blobs, i));
	b->context->last_progress_ms = clock_mono_ms();
}

static void pump(struct backfill *b)
{
	b->again = true;
	if (b->pumping || b->failed || !b->blobs || !b->session)
		return;
	b->pumping = true;
	while (b->again && !b->failed) {
		b->again = false;
		b->failed = check_blobs(b) < 0 || feed(b) < 0;
	}
	b->pumping = false;
	show(b);
}

static bool settled(void *arg)
{
	const struct backfill *b = arg;

	for (size_t i = 0; i < b->n && !b->failed; i++)
		if (!b->skip[i] && blob_state(b->blobs, i) != BLOB_VERIFIED)
			return false;
	return b->failed || store_load.wants(b->session) < 0;
}

static int run(struct backfill *b, struct err *err)
{
	struct context *c = b->context;
	const struct backfill_request *req = b->req;

	if (store_load.begin(c->docker, c->loop, req->image, b->skip, on_event, b, &b->session, err) < 0 ||
	    blob_set_start(req->registry, c->http, c->loop, req->resolved->parsed.layers, b->skip, b->n, on_blob, b, &b->blobs,
			   err) < 0)
		return -1;
	pump(b);
	if (loop_wait(c->loop, settled, b, -1, err) < 0)
		return -1;
	if (b->failed) {
		*err = b->err;
		return -1;
	}
	return store_load.commit(b->session, err);
}

int backfill_run(struct context *c, const struct backfill_request *req, int64_t *bytes, struct err *err)
{
	struct backfill b = { .context = c, .req = req, .n = req->resolved->parsed.n_layers };

	b.skip = xcalloc(b.n + 1, sizeof *b.skip);
	for (size_t i = 0; i < b.n; i++)
		b.skip[i] = !req->lacks[i];
	int result = run(&b, err);
	*bytes = 0;
	for (size_t i = 0; b.blobs && i < b.n; i++)
		*bytes += b.skip[i] ? 0 : blob_received_bytes(b.blobs, i);
	if (b.session)
		store_load.end(b.session);
	if (b.blobs)
		blob_set_free(b.blobs);
	free(b.skip);
	return result;
}
