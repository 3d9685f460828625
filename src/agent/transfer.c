#include "agent/transfer.h"

#include <sched.h>

#include "base/clock.h"
#include "unpack/deferred.h"
#include "unpack/worker.h"

struct lane {
	struct worker *worker;          /* of a store that takes directories: until it has its layer */
	size_t worker_took, store_took; /* of the bytes that blob_peek() shows now */
	int64_t left;                   /* compressed bytes not yet taken by all who want them */
	int64_t raw_left;               /* > 0: the store gets what the worker emits, this much more */
	bool raw;                       /* the store gets what the worker emits */
	bool alone;                     /* only the worker takes the compressed bytes */
	bool input_ended, ended, verified;
};

struct transfer {
	struct context *context;
	const struct transfer_request *req;
	struct transfer_result *result;
	struct blob_set *blobs;
	struct store_session *session;
	struct lane *lanes;
	size_t n;
	size_t workers_max; /* at the same time; a store that is streamed to has one that is fed */
	size_t landed;      /* layers below are the engine's, or were left out */
	bool pumping, again, failed;
	bool choked;        /* the worker of that layer could not read it; err says why */
	size_t choked_at;
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

/* 1: started, 0: too few bytes to see what they are, -1: failed. */
static int start_worker(struct transfer *t, size_t i)
{
	struct lane *lane = &t->lanes[i];
	const void *bytes;
	size_t len;

	blob_peek(t->blobs, i, &bytes, &len);
	if (len < INFLATE_DETECT_BYTES && (int64_t)len < lane->left)
		return 0;
	const struct worker_options options = {
		.format = inflate_detect(bytes, len),
		.emit = lane->raw,
		.unpack = t->req->store->parallel,
		.bottom = i == 0,
		.root_fd = t->req->store->parallel ? t->req->store->staging(t->session, i) : -1,
	};
	if (worker_start(t->context->loop, &options, on_event, t, &lane->worker, &t->err) < 0)
		return -1;
	return 1;
}

/* Returns -1. */
static int worker_failed(struct transfer *t, size_t i)
{
	t->choked = t->err.kind == ERR_REFUSED;
	t->choked_at = i;
	return err_wrap(&t->err, "layer %zu of %zu (%.19s)", i + 1, t->n, t->req->resolved->parsed.layers[i].digest.text);
}

static int feed_worker(struct transfer *t, size_t i, const char *bytes, size_t len)
{
	struct lane *lane = &t->lanes[i];

	if (lane->worker_took == len)
		return 0;
	ssize_t n = worker_feed(lane->worker, bytes + lane->worker_took, len - lane->worker_took, &t->err);
	if (n < 0)
		return worker_failed(t, i);
	lane->worker_took += (size_t)n;
	return 0;
}

/* Returns -1. */
static int engine_failed(struct transfer *t, const struct err *err)
{
	t->result->engine_lacks = err->kind == ERR_NOT_FOUND;
	return -1;
}

static int feed_store(struct transfer *t, struct lane *lane, const char *bytes, size_t len)
{
	if (lane->store_took == len)
		return 0;
	ssize_t n = t->req->store->feed(t->session, bytes + lane->store_took, len - lane->store_took, &t->err);
	if (n < 0)
		return engine_failed(t, &t->err);
	lane->store_took += (size_t)n;
	return 0;
}

/* Gives the worker and, unless it gets inflated bytes, the store what they will take. 1: moved, 0: not now, -1: failed. */
static int move_bytes(struct transfer *t, size_t i)
{
	struct lane *lane = &t->lanes[i];
	const void *bytes;
	size_t len, done;

	blob_peek(t->blobs, i, &bytes, &len);
	if (feed_worker(t, i, bytes, len) < 0 || (!lane->alone && feed_store(t, lane, bytes, len) < 0))
		return -1;
	done = lane->alone || lane->worker_took < lane->store_took ? lane->worker_took : lane->store_took;
	if (!done)
		return 0;
	lane->worker_took -= done;
	lane->store_took -= lane->alone ? 0 : done;
	lane->left -= (int64_t)done;
	blob_consume(t->blobs, i, done);
	return 1;
}

static int bad_hint(struct transfer *t, size_t i)
{
	t->result->bad_hint = true;
	return err_set(&t->err, ERR_REFUSED, "layer %zu inflates to another size than its last bytes say", i + 1);
}

/* What the worker emits goes to the store, which knows how much it will be. As move_bytes(). */
static int move_raw(struct transfer *t, size_t i)
{
	struct lane *lane = &t->lanes[i];
	const void *bytes;
	size_t len;

	worker_peek(lane->worker, &bytes, &len);
	if (!len)
		return 0;
	if ((int64_t)len > lane->raw_left)
		return bad_hint(t, i);
	ssize_t n = t->req->store->feed(t->session, bytes, len, &t->err);
	if (n < 0)
		return engine_failed(t, &t->err);
	if (!n)
		return 0;
	worker_consume(lane->worker, (size_t)n);
	lane->raw_left -= n;
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

/* One step of layer i. As move_bytes(). */
static int step(struct transfer *t, size_t i)
{
	struct lane *lane = &t->lanes[i];
	int moved = 0, raw_moved = 0;

	if (!lane->worker)
		return start_worker(t, i);
	if (lane->left > 0 && (moved = move_bytes(t, i)) < 0)
		return -1;
	if (lane->raw && (raw_moved = move_raw(t, i)) < 0)
		return -1;
	if (lane->left == 0 && !lane->input_ended) {
		worker_end_input(lane->worker);
		lane->input_ended = true;
	}
	/* An output that ends early is the worker's to explain: collect() hears it. */
	lane->ended = lane->input_ended && lane->raw_left == 0 && (!lane->raw || worker_output_ended(lane->worker));
	return moved || raw_moved || lane->ended;
}

static size_t workers_running(const struct transfer *t)
{
	size_t n = 0;

	for (size_t i = 0; i < t->n; i++)
		n += t->lanes[i].worker && !t->lanes[i].verified;
	return n;
}

/*
 * Lowest first, as the blobs come and as the store will take them. No worker starts before one of each lower layer, even if
 * bytes of that are late: they will fill the blobs' buffer, and it has to be read then.
 */
static int feed_side_by_side(struct transfer *t)
{
	bool moved_any;

	do {
		bool may_start = true;
		moved_any = false;
		for (size_t i = 0; i < t->n; i++) {
			if (t->req->skip[i] || t->lanes[i].ended ||
			    (!t->lanes[i].worker && (!may_start || workers_running(t) >= t->workers_max)))
				continue;
			int moved = step(t, i);
			if (moved < 0)
				return -1;
			moved_any |= moved > 0;
			may_start &= t->lanes[i].worker != NULL;
		}
	} while (moved_any);
	return 0;
}

static int feed_in_order(struct transfer *t)
{
	for (;;) {
		ssize_t at = current_layer(t);
		if (at < 0)
			return 0;
		int moved = step(t, (size_t)at);
		if (moved <= 0)
			return moved;
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
		if (state > 0 || (state == 0 && lane->raw && !worker_output_ended(lane->worker)))
			continue;
		if (state < 0 || (lane->ended && check_diff_id(t, i, &r) < 0))
			return worker_failed(t, i);
		if (lane->raw_left > 0)
			return bad_hint(t, i);
		if (!lane->ended)
			continue; /* its last bytes are on their way to the store */
		lane->verified = true;
		if (t->req->store->parallel) {
			t->again = true; /* its place is free for the next */
			continue;
		}
		worker_free(lane->worker);
		lane->worker = NULL;
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
			t->result->bad_bytes = blob_wants_refetch(t->blobs, i);
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

/*
 * What a worker cannot read may be the image's fault or the transfer's, which can be repeated: the rest
 * of the blob is fetched for its digest to tell.
 */
static int drain(struct transfer *t)
{
	const void *bytes;
	size_t len;

	for (blob_peek(t->blobs, t->choked_at, &bytes, &len); len; blob_peek(t->blobs, t->choked_at, &bytes, &len))
		blob_consume(t->blobs, t->choked_at, len);
	return blob_state(t->blobs, t->choked_at) == BLOB_VERIFIED ? -1 : 0;
}

static int move_on(struct transfer *t)
{
	int (*feed_layers)(struct transfer *) = t->req->store->parallel ? feed_side_by_side : feed_in_order;

	if (!t->choked && (feed_layers(t) < 0 || collect(t) < 0) && !t->choked)
		return -1;
	return t->choked ? drain(t) : 0;
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
		t->failed = check_blobs(t) < 0 || move_on(t) < 0;
	}
	t->pumping = false;
	show(t);
}

static bool settled(void *arg)
{
	const struct transfer *t = arg;

	return t->failed || (current_layer(t) < 0 && all_verified(t));
}

static bool can_land(void *arg)
{
	const struct transfer *t = arg;
	size_t i = t->landed;

	return t->failed || i == t->n || t->req->skip[i] || (t->lanes[i].verified && blob_checked(t, i));
}

/* What only the layers below know; the paths are the list's. Caller frees. */
static struct store_inherit *list_inherited(const struct deferred *deferred, size_t *n)
{
	struct store_inherit *list = NULL;
	struct deferred_item item;

	*n = 0;
	for (size_t at = 0; deferred_next(deferred, &at, &item);) {
		if (item.kind != DEFERRED_IMPLICIT_DIR)
			continue;
		if ((*n & (*n - 1)) == 0)
			list = xreallocarray(list, *n ? 2 * *n : 1, sizeof *list);
		list[(*n)++] = (struct store_inherit){ item.path, item.attributes_only };
	}
	return list;
}

/* A complete directory becomes the engine's layer, with what the jailed worker was not allowed to do itself. */
static int land(struct transfer *t, size_t i, struct err *err)
{
	CLEANUP(freep) struct store_inherit *inherit = NULL;
	size_t n_inherit;
	const struct store *store = t->req->store;
	struct lane *lane = &t->lanes[i];
	const struct deferred *deferred = worker_deferred(lane->worker);

	if (deferred_apply(deferred, store->staging(t->session, i), err) < 0)
		return err_wrap(err, "layer %zu of %zu", i + 1, t->n);
	inherit = list_inherited(deferred, &n_inherit);
	int result = store->layer(t->session, i, inherit, n_inherit, err);
	worker_free(lane->worker);
	lane->worker = NULL;
	return result < 0 ? engine_failed(t, err) : 0;
}

/* In the main line: handing a layer over waits, and meanwhile the others go on. */
static int land_layers(struct transfer *t, struct err *err)
{
	for (; t->landed < t->n; t->landed++) {
		if (loop_wait(t->context->loop, can_land, t, -1, err) < 0)
			return -1;
		if (t->failed)
			return 0;
		if (!t->req->skip[t->landed] && land(t, t->landed, err) < 0)
			return -1;
	}
	return 0;
}

static size_t count_cores(void)
{
	cpu_set_t set;

	return sched_getaffinity(0, sizeof set, &set) == 0 ? (size_t)CPU_COUNT(&set) : 1;
}

static void start_lanes(struct transfer *t)
{
	t->n = t->req->resolved->parsed.n_layers;
	t->lanes = xcalloc(t->n, sizeof *t->lanes);
	for (size_t i = 0; i < t->n; i++) {
		t->lanes[i].left = t->req->resolved->parsed.layers[i].size;
		t->lanes[i].raw_left = t->req->image->layers[i].raw_bytes;
		t->lanes[i].raw = t->lanes[i].raw_left > 0;
		t->lanes[i].alone = t->lanes[i].raw || t->req->store->parallel;
		t->result->n_fetched += !t->req->skip[i];
	}
}

static int run(struct transfer *t, struct err *err)
{
	struct context *c = t->context;
	const struct transfer_request *req = t->req;

	if (req->store->begin(c->docker, c->loop, req->image, req->skip, on_event, t, &t->session, err) < 0) {
		t->result->incapable = err->kind == ERR_CONFIG && req->store->fallback;
		return -1;
	}
	if (blob_set_start(req->registry, c->http, c->loop, req->resolved->parsed.layers, req->skip, t->n, on_blob, t,
			   &t->blobs, err) < 0)
		return -1;
	pump(t);
	if ((req->store->parallel && land_layers(t, err) < 0) || loop_wait(c->loop, settled, t, -1, err) < 0)
		return -1;
	t->result->bytes = received_bytes(t);
	if (t->failed) {
		*err = t->err;
		return -1;
	}
	progress_activity(req->progress, "Docker registers the layers");
	return req->store->commit(t->session, err) < 0 ? engine_failed(t, err) : 0;
}

int transfer_run(struct context *c, const struct transfer_request *req, struct transfer_result *out,
		 struct err *err)
{
	struct transfer t = { .context = c, .req = req, .result = out, .workers_max = count_cores() };

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
