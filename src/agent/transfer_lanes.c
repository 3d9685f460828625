/* What happens to the bytes of each layer: blob → worker, and → store where that is streamed to. */
#include "agent/transfer_internal.h"

/* 1: started, 0: too few bytes to see what they are, or no directory yet, -1: failed. */
static int start_worker(struct transfer *t, size_t i)
{
	struct lane *lane = &t->lanes[i];
	const void *bytes;
	size_t len;
	int root = -1;

	blob_peek(t->blobs, i, &bytes, &len);
	if (len < INFLATE_DETECT_BYTES && (int64_t)len < lane->left)
		return 0;
	if (t->req->store->parallel) {
		int made = t->req->store->staging(t->session, i, &root, &t->err);
		if (made <= 0)
			return made < 0 ? transfer_engine_failed(t, &t->err) : 0;
	}
	const struct worker_options options = {
		.format = inflate_detect(bytes, len),
		.emit = lane->raw,
		.unpack = t->req->store->parallel,
		.bottom = i == 0,
		.root_fd = root,
	};
	if (worker_start(t->zygote, &options, rounds_event, &t->rounds, &lane->worker, &t->err) < 0)
		return -1;
	return 1;
}

/* Returns -1. */
static int worker_failed(struct transfer *t, size_t i)
{
	t->choked = t->err.kind == ERR_REFUSED;
	t->choked_at = i;
	(void)docker_disk_is_full(&t->err);
	return err_wrap(&t->err, "layer %zu of %zu (%.19s)", i + 1, t->n,
			t->req->resolved->parsed.layers[i].digest.text);
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

int transfer_engine_failed(struct transfer *t, const struct err *err)
{
	const struct store *store = t->req->store;

	if (err->kind == ERR_NOT_FOUND)
		t->result->trouble = TRANSFER_ENGINE_LACKS;
	else if (err->kind == ERR_CONFIG && store->fallback && !store->parallel)
		t->result->trouble = TRANSFER_INCAPABLE;
	else if (err->kind == ERR_TIMEOUT)
		t->result->trouble = TRANSFER_ENGINE_HANGS;
	return -1;
}

static int feed_store(struct transfer *t, size_t i, const char *bytes, size_t len)
{
	const struct store *store = t->req->store;
	struct lane *lane = &t->lanes[i];

	if (lane->store_took == len)
		return 0;
	bytes += lane->store_took;
	len -= lane->store_took;
	ssize_t n = store->parallel ? store->keep(t->session, i, bytes, len, &t->err)
				    : store->feed(t->session, bytes, len, &t->err);
	if (n < 0)
		return transfer_engine_failed(t, &t->err);
	lane->store_took += (size_t)n;
	return 0;
}

/*
 * Gives the worker and, unless it gets inflated bytes, the store what they will take. 1: moved, 0: not now, -1: failed.
 */
static int move_bytes(struct transfer *t, size_t i)
{
	struct lane *lane = &t->lanes[i];
	const void *bytes;
	size_t len, done;

	blob_peek(t->blobs, i, &bytes, &len);
	if (feed_worker(t, i, bytes, len) < 0 || (!lane->alone && feed_store(t, i, bytes, len) < 0))
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
	t->result->trouble = TRANSFER_BAD_HINT;
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
		return transfer_engine_failed(t, &t->err);
	if (!n)
		return 0;
	worker_consume(lane->worker, (size_t)n);
	lane->raw_left -= n;
	return 1;
}

/* The layer that moves now: the lowest whose bytes are not all taken by both. */
ssize_t transfer_current_layer(const struct transfer *t)
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
	/* An output that ends early is the worker's to explain: transfer_collect() hears it. */
	lane->ended = lane->input_ended && lane->raw_left == 0 && (!lane->raw || worker_output_ended(lane->worker));
	return moved || raw_moved || lane->ended;
}

static size_t workers_running(const struct transfer *t)
{
	size_t n = 0;

	for (size_t i = 0; i < t->n; i++)
		n += t->lanes[i].worker && worker_busy(t->lanes[i].worker);
	return n;
}

/*
 * Workers beyond those at work, which wait in their jails for their turn: to make a jail is mostly
 * to wait for the kernel, and layers can be small.
 */
#define WORKERS_AHEAD 4

static bool may_start(const struct transfer *t)
{
	return workers_running(t) < t->workers_max + WORKERS_AHEAD;
}

/*
 * Lowest first, as the blobs come and as the store will take them. No worker starts before one of
 * each lower layer, even if bytes of that are late: they will fill the blobs' buffer, and it has to
 * be read then.
 */
static int feed_side_by_side(struct transfer *t)
{
	bool moved_any;

	do {
		bool have_all_below = true;
		size_t working = 0;
		moved_any = false;
		for (size_t i = 0; i < t->n; i++) {
			const struct lane *lane = &t->lanes[i];
			if (t->req->skip[i])
				continue;
			working += lane->worker && worker_busy(lane->worker);
			if (lane->ended || (lane->worker ? working > t->workers_max : !have_all_below || !may_start(t)))
				continue;
			int moved = step(t, i);
			if (moved < 0)
				return -1;
			moved_any |= moved > 0;
			have_all_below &= lane->worker != NULL;
		}
	} while (moved_any);
	return 0;
}

static int feed_in_order(struct transfer *t)
{
	for (;;) {
		ssize_t at = transfer_current_layer(t);
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
int transfer_collect(struct transfer *t)
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
			t->rounds.again = true; /* its place is free for the next */
			continue;
		}
		worker_free(lane->worker);
		lane->worker = NULL;
	}
	return 0;
}

int transfer_feed(struct transfer *t)
{
	return t->req->store->parallel ? feed_side_by_side(t) : feed_in_order(t);
}
