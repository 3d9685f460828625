#include "agent/transfer.h"

#include "base/clock.h"
#include "unpack/worker.h"

struct lane {
	struct worker *worker;
	size_t worker_took, store_took; /* of the bytes that blob_peek() shows now */
	int64_t left;                   /* compressed bytes not yet taken by both */
	bool ended, verified;
};

struct transfer {
	struct context *context;
	const struct transfer_request *req;
	struct transfer_result *result;
	struct blob_set *blobs;
	struct store_session *session;
	struct lane *lanes;
	size_t n;
	bool pumping, again, failed;
	struct err err;
};

static void pump(struct transfer *t);

static void on_blob(void *arg, size_t i)
{
	(void)i;
	pump(arg);
}

static void on_event(void *arg)
{
	pump(arg);
}

static int64_t received_bytes(const struct transfer *t)
{
	int64_t sum = 0;

	for (size_t i = 0; i < t->n; i++)
		if (!t->req->skip[i])
			sum += blob_received_bytes(t->blobs, i);
	return sum;
}

static enum inflate_format format_of(enum compression c)
{
	static const enum inflate_format formats[] = {
		[COMPRESSION_NONE] = INFLATE_PLAIN,
		[COMPRESSION_GZIP] = INFLATE_GZIP,
		[COMPRESSION_ZSTD] = INFLATE_ZSTD,
	};

	return formats[c];
}

static int start_worker(struct transfer *t, size_t i)
{
	const struct descriptor *d = &t->req->resolved->parsed.layers[i];

	return worker_start(t->context->loop, format_of(d->media->compression), on_event, t, &t->lanes[i].worker,
			    &t->err);
}

/* Gives the worker and the store what they will take. 1: moved something, 0: nothing now, -1: failed. */
static int move_bytes(struct transfer *t, size_t i)
{
	struct lane *lane = &t->lanes[i];
	const void *bytes;
	size_t len;
	ssize_t n;

	blob_peek(t->blobs, i, &bytes, &len);
	if (lane->worker_took < len) {
		n = worker_feed(lane->worker, (const char *)bytes + lane->worker_took, len - lane->worker_took, &t->err);
		if (n < 0)
			return -1;
		lane->worker_took += (size_t)n;
	}
	if (lane->store_took < len) {
		n = t->req->store->feed(t->session, (const char *)bytes + lane->store_took, len - lane->store_took,
					&t->err);
		if (n < 0)
			return -1;
		lane->store_took += (size_t)n;
	}
	size_t both = lane->worker_took < lane->store_took ? lane->worker_took : lane->store_took;
	if (!both)
		return 0;
	lane->worker_took -= both;
	lane->store_took -= both;
	lane->left -= (int64_t)both;
	blob_consume(t->blobs, i, both);
	return 1;
}

/* The layer that moves now: the lowest whose bytes are not all taken by both. */
static ssize_t current_layer(const struct transfer *t)
{
	for (size_t i = 0; i < t->n; i++)
		if (!t->req->skip[i] && !t->lanes[i].ended)
			return (ssize_t)i;
	return -1;
}

static int feed_layers(struct transfer *t)
{
	for (;;) {
		ssize_t at = current_layer(t);
		if (at < 0)
			return 0;
		size_t i = (size_t)at;
		struct lane *lane = &t->lanes[i];
		if (!lane->worker && start_worker(t, i) < 0)
			return -1;
		if (lane->left > 0) {
			int moved = move_bytes(t, i);
			if (moved <= 0)
				return moved;
		}
		if (lane->left > 0)
			continue;
		worker_end_input(lane->worker);
		lane->ended = true;
	}
}

static int check_diff_id(struct transfer *t, size_t i, const struct worker_result *r)
{
	struct digest got;
	const struct digest *want = &t->req->resolved->image_config.diff_ids[i];

	digest_from_raw(r->diff_id, &got);
	if (digest_equal(&got, want))
		return 0;
	return err_set(&t->err, ERR_REFUSED, "diff_id is %s, but the config says %s", got.text, want->text);
}

/* Collects what ended workers say. */
static int collect(struct transfer *t)
{
	struct worker_result r;

	for (size_t i = 0; i < t->n; i++) {
		struct lane *lane = &t->lanes[i];
		if (!lane->worker || lane->verified)
			continue;
		int state = worker_result(lane->worker, &r, &t->err);
		if (state > 0)
			continue;
		if (state < 0 || (lane->ended && check_diff_id(t, i, &r) < 0))
			return err_wrap(&t->err, "layer %zu of %zu (%.19s)", i + 1, t->n,
					t->req->resolved->parsed.layers[i].digest.text);
		worker_free(lane->worker);
		lane->worker = NULL;
		lane->verified = true;
	}
	return 0;
}

static bool blob_checked(const struct transfer *t, size_t i)
{
	return t->req->skip[i] || blob_state(t->blobs, i) == BLOB_VERIFIED;
}

static bool all_verified(const struct transfer *t)
{
	for (size_t i = 0; i < t->n; i++)
		if (!t->req->skip[i] && !(t->lanes[i].verified && blob_checked(t, i)))
			return false;
	return true;
}

static int check_blobs(struct transfer *t)
{
	for (size_t i = 0; i < t->n; i++)
		if (!t->req->skip[i] && blob_state(t->blobs, i) == BLOB_FAILED) {
			t->err = *blob_error(t->blobs, i);
			t->result->bad_bytes = t->err.kind == ERR_REFUSED;
			return -1;
		}
	return 0;
}

static void show(struct transfer *t)
{
	int64_t total = 0;

	for (size_t i = 0; i < t->n; i++) {
		if (t->req->skip[i])
			continue;
		enum blob_state state = blob_state(t->blobs, i);
		enum layer_step step = t->lanes[i].verified && state == BLOB_VERIFIED ? LAYER_VERIFIED
				       : state == BLOB_WAITING			      ? LAYER_WAITING
										      : LAYER_FETCHING;
		progress_layer(t->req->progress, i, step, blob_received_bytes(t->blobs, i));
		total += t->req->resolved->parsed.layers[i].size;
	}
	t->context->last_progress_ms = clock_mono_ms();
	if (t->req->hooks && t->req->hooks->bytes)
		t->req->hooks->bytes(t->req->hooks->arg, received_bytes(t), total);
}

/* Every event ends here; what an event inside causes is done in the next round. */
static void pump(struct transfer *t)
{
	t->again = true;
	if (t->pumping || t->failed || !t->blobs || !t->session)
		return;
	t->pumping = true;
	while (t->again && !t->failed) {
		t->again = false;
		t->failed = check_blobs(t) < 0 || feed_layers(t) < 0 || collect(t) < 0;
	}
	t->pumping = false;
	show(t);
}

static bool settled(void *arg)
{
	const struct transfer *t = arg;

	return t->failed || (current_layer(t) < 0 && all_verified(t));
}

static void start_lanes(struct transfer *t)
{
	t->n = t->req->resolved->parsed.n_layers;
	t->lanes = xcalloc(t->n, sizeof *t->lanes);
	for (size_t i = 0; i < t->n; i++) {
		t->lanes[i].left = t->req->resolved->parsed.layers[i].size;
		t->result->n_fetched += !t->req->skip[i];
	}
}

static int run(struct transfer *t, struct err *err)
{
	struct context *c = t->context;
	const struct transfer_request *req = t->req;

	if (req->store->begin(c->docker, c->loop, req->image, req->skip, on_event, t, &t->session, err) < 0 ||
	    blob_set_start(req->registry, c->http, c->loop, req->resolved->parsed.layers, req->skip, t->n, on_blob, t,
			   &t->blobs, err) < 0)
		return -1;
	pump(t);
	if (loop_wait(c->loop, settled, t, -1, err) < 0)
		return -1;
	t->result->bytes = received_bytes(t);
	if (t->failed) {
		*err = t->err;
		return -1;
	}
	progress_activity(req->progress, "Docker registers the layers");
	return req->store->commit(t->session, err);
}

int transfer_run(struct context *c, const struct transfer_request *req, struct transfer_result *out,
		 struct err *err)
{
	struct transfer t = { .context = c, .req = req, .result = out };

	*out = (struct transfer_result){ 0 };
	start_lanes(&t);
	int result = run(&t, err);
	if (t.session)
		req->store->end(t.session);
	if (t.blobs)
		blob_set_free(t.blobs);
	for (size_t i = 0; i < t.n; i++)
		if (t.lanes[i].worker)
			worker_free(t.lanes[i].worker);
	free(t.lanes);
	return result;
}
