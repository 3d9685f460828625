#include "agent/backfill.h"

#include "agent/rounds.h"
#include "base/clock.h"
#include "oci/blob.h"

struct backfill {
	struct context *context;
	struct backfill_request req;
	struct blob_set *blobs;
	struct store_session *session;
	bool *skip;
	size_t n;
	struct rounds rounds;
	int64_t started_ms, taken_bytes; /* for the rate */
	struct loop_timer *timer;        /* runs while there is no allowance */
	struct err err;
};

/* How often the allowance is looked at when it is used up. */
#define RATE_TICK_MS 100

static int check_blobs(struct backfill *b)
{
	ssize_t i = blob_set_failed(b->blobs);

	if (i < 0)
		return 0;
	b->err = *blob_error(b->blobs, (size_t)i);
	return -1;
}

static void on_tick(void *arg)
{
	struct backfill *b = arg;

	b->timer = NULL;
	rounds_event(&b->rounds);
}

/* How many of len bytes may be taken now; a timer asks again where that is none. */
static size_t allowed(struct backfill *b, size_t len)
{
	int64_t rate = b->req.rate_bytes_per_s, elapsed_ms = clock_mono_ms() - b->started_ms;

	if (!rate)
		return len;
	int64_t left = rate / 1000 * elapsed_ms - b->taken_bytes;
	if (left <= 0 && !b->timer)
		b->timer = loop_timer_start(b->context->loop, RATE_TICK_MS, on_tick, b);
	return left <= 0 ? 0 : (uint64_t)left < len ? (size_t)left : len;
}

/* Gives the engine the bytes that it wants next, as far as they are here. */
static int feed(struct backfill *b)
{
	const void *bytes;
	size_t len;
	ssize_t i;

	while ((i = store_load.wants(b->session)) >= 0) {
		blob_peek(b->blobs, (size_t)i, &bytes, &len);
		if (len)
			len = allowed(b, len);
		ssize_t n = len ? store_load.feed(b->session, bytes, len, &b->err) : 0;
		if (n <= 0)
			return (int)n;
		blob_consume(b->blobs, (size_t)i, (size_t)n);
		b->taken_bytes += n;
	}
	return 0;
}

static int work(void *arg)
{
	struct backfill *b = arg;

	return check_blobs(b) < 0 ? -1 : feed(b);
}

static void show(void *arg)
{
	const struct backfill *b = arg;

	for (size_t i = 0; b->req.progress && i < b->n; i++)
		if (!b->skip[i])
			progress_layer(b->req.progress, i,
				       blob_state(b->blobs, i) == BLOB_VERIFIED ? LAYER_VERIFIED : LAYER_FETCHING,
				       blob_received_bytes(b->blobs, i));
}

bool backfill_settled(const struct backfill *b)
{
	return b->rounds.failed || (blob_set_verified(b->blobs) && store_load.wants(b->session) < 0);
}

static bool settled(void *arg)
{
	struct backfill *b = arg;

	b->context->last_progress_ms = clock_mono_ms();
	return backfill_settled(b);
}

static int start(struct backfill *b, struct err *err)
{
	struct context *c = b->context;
	const struct backfill_request *req = &b->req;

	if (store_load.begin(c->docker, c->loop, req->image, b->skip, rounds_event, &b->rounds, &b->session, err) < 0 ||
	    blob_set_start(req->registry, c->http, c->loop, req->resolved->parsed.layers, b->skip, b->n,
			   rounds_blob_event, &b->rounds, &b->blobs, err) < 0)
		return -1;
	rounds_start(&b->rounds);
	return 0;
}

int backfill_start(struct context *c, const struct backfill_request *req, struct backfill **out, struct err *err)
{
	struct backfill *b = xcalloc(1, sizeof *b);

	*b = (struct backfill){
		.context = c,
		.req = *req,
		.n = req->resolved->parsed.n_layers,
		.rounds = { .work = work, .after = show, .arg = b },
		.started_ms = clock_mono_ms(),
	};
	b->skip = xcalloc(b->n + 1, sizeof *b->skip);
	for (size_t i = 0; i < b->n; i++)
		b->skip[i] = !req->lacks[i];
	if (start(b, err) < 0) {
		backfill_free(b);
		return -1;
	}
	*out = b;
	return 0;
}

int backfill_finish(struct backfill *b, int64_t *bytes, struct err *err)
{
	if (loop_wait(b->context->loop, settled, b, -1, err) < 0)
		return -1;
	*bytes = b->taken_bytes;
	if (b->rounds.failed) {
		*err = b->err;
		return -1;
	}
	return store_load.commit(b->session, err);
}

void backfill_free(struct backfill *b)
{
	if (!b)
		return;
	loop_timer_cancel(b->timer);
	if (b->session)
		store_load.end(b->session);
	if (b->blobs)
		blob_set_free(b->blobs);
	free(b->skip);
	free(b);
}
