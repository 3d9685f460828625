/* The session with the store: what arrives, what is verified, what is shown, and when it is over. */
#include "agent/transfer_internal.h"

#include <sched.h>

#include "base/clock.h"

static int64_t received_bytes(const struct transfer *t)
{
	int64_t sum = 0;

	for (size_t i = 0; i < t->n; i++)
		if (!t->req->skip[i])
			sum += blob_received_bytes(t->blobs, i);
	return sum;
}

static bool blob_checked(const struct transfer *t, size_t i)
{
	return t->req->skip[i] || blob_state(t->blobs, i) == BLOB_VERIFIED;
}

static bool all_verified(const struct transfer *t)
{
	for (size_t i = 0; i < t->n; i++)
		if (!t->req->skip[i] && !t->lanes[i].verified)
			return false;
	return blob_set_verified(t->blobs);
}

static int check_blobs(struct transfer *t)
{
	ssize_t i = blob_set_failed(t->blobs);

	if (i < 0)
		return 0;
	t->err = *blob_error(t->blobs, (size_t)i);
	if (blob_wants_refetch(t->blobs, (size_t)i))
		t->result->trouble = TRANSFER_BAD_BYTES;
	return -1;
}

static void show(void *arg)
{
	const struct transfer *t = arg;
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
 * What a worker cannot read may be the image's fault or the transfer's, which can be repeated: the
 * rest of the blob is fetched for its digest to tell.
 */
static int drain(struct transfer *t)
{
	const void *bytes;
	size_t len;

	/* The others too: what nobody reads any more would fill the blobs' buffer, and this one would wait for room. */
	for (size_t i = 0; i < t->n; i++)
		for (blob_peek(t->blobs, i, &bytes, &len); len; blob_peek(t->blobs, i, &bytes, &len))
			blob_consume(t->blobs, i, len);
	return blob_state(t->blobs, t->choked_at) == BLOB_VERIFIED ? -1 : 0;
}

static int move_on(struct transfer *t)
{
	if (!t->choked && (transfer_feed(t) < 0 || transfer_collect(t) < 0) && !t->choked)
		return -1;
	return t->choked ? drain(t) : 0;
}

/* What is verified may become a layer while others arrive. */
static void tell_store(struct transfer *t)
{
	const struct store *store = t->req->store;

	for (size_t i = 0; i < t->n && store->verified; i++) {
		if (t->req->skip[i] || t->lanes[i].told || !t->lanes[i].verified || !blob_checked(t, i))
			continue;
		t->lanes[i].told = true;
		store->verified(t->session, i);
	}
}

static int work(void *arg)
{
	struct transfer *t = arg;

	if (check_blobs(t) < 0 || move_on(t) < 0)
		return -1;
	tell_store(t);
	return 0;
}

static bool settled(void *arg)
{
	const struct transfer *t = arg;

	return t->rounds.failed || (transfer_current_layer(t) < 0 && all_verified(t));
}

bool transfer_can_land(void *arg)
{
	const struct transfer *t = arg;
	size_t i = t->landed;

	return t->rounds.failed || i == t->n || t->req->skip[i] || (t->lanes[i].verified && blob_checked(t, i));
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
		t->lanes[i].alone = t->lanes[i].raw || (t->req->store->parallel && !t->req->image->keep_blobs);
		t->result->n_fetched += !t->req->skip[i];
	}
}

static int run(struct transfer *t, struct err *err)
{
	struct context *c = t->context;
	const struct transfer_request *req = t->req;

	if (zygote_start(c->loop, &t->zygote, err) < 0)
		return -1;
	if (req->store->begin(c->docker, c->loop, req->image, req->skip, rounds_event, &t->rounds, &t->session,
			      err) < 0) {
		if (err->kind == ERR_NOT_FOUND)
			t->result->trouble = TRANSFER_ENGINE_LACKS;
		else if (err->kind == ERR_CONFIG && req->store->fallback)
			t->result->trouble = TRANSFER_INCAPABLE;
		return -1;
	}
	if (blob_set_start(req->registry, c->http, c->loop, req->resolved->parsed.layers, req->skip, t->n,
			   rounds_blob_event, &t->rounds, &t->blobs, err) < 0)
		return -1;
	rounds_start(&t->rounds);
	if ((req->store->parallel && transfer_land(t, err) < 0) || loop_wait(c->loop, settled, t, -1, err) < 0)
		return -1;
	t->result->bytes = received_bytes(t);
	if (t->rounds.failed) {
		*err = t->err;
		return -1;
	}
	progress_activity(req->progress, "Docker registers the layers");
	return req->store->commit(t->session, err) < 0 ? transfer_engine_failed(t, err) : 0;
}

int transfer_run(struct context *c, const struct transfer_request *req, struct transfer_result *out,
		 struct err *err)
{
	struct transfer t = {
		.context = c,
		.req = req,
		.result = out,
		.rounds = { .work = work, .after = show, .arg = &t },
		.workers_max = count_cores(),
	};

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
	zygote_free(t.zygote);
	free(t.lanes);
	return result;
}
