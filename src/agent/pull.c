#include "agent/pull.h"

#include "agent/login.h"
#include "agent/transfer.h"
#include "base/clock.h"
#include "base/log.h"
#include "engine/container.h"
#include "oci/blob_tail.h"

/*
 * Layers whose inflated size is looked up in their last bytes: below it, inflating is not worth a round
 * trip; above, the size (which gzip keeps modulo 4 GiB) may have wrapped.
 */
#define HINT_MIN_BYTES ((int64_t)(1 * MIB))
#define HINT_MAX_BYTES ((int64_t)(1 * GIB))
#define TAR_BLOCK 512

struct job {
	struct context *context;
	const struct reference *ref;
	struct progress *progress;
	const struct pull_hooks *hooks;
	struct login login;
	struct registry *registry;
	struct image image;
	char *name, *full_name; /* as the store wants them; name NULL for a digest alone */
	struct store_layer *layers;
	struct store_image store_image;
	const struct store *store;
	bool *skip;
	bool no_hints; /* one was wrong */
};

static enum store_compression compression_of(const struct descriptor *d)
{
	static const enum store_compression map[] = {
		[COMPRESSION_NONE] = STORE_PLAIN,
		[COMPRESSION_GZIP] = STORE_GZIP,
		[COMPRESSION_ZSTD] = STORE_ZSTD,
	};

	return map[d->media->compression];
}

static void describe_layers(struct job *j)
{
	const struct manifest *m = &j->image.parsed;
	struct digest chain, below;

	j->layers = xcalloc(m->n_layers, sizeof *j->layers);
	j->skip = xcalloc(m->n_layers, sizeof *j->skip);
	for (size_t i = 0; i < m->n_layers; i++) {
		const struct digest *diff_id = &j->image.image_config.diff_ids[i];
		struct store_layer *l = &j->layers[i];

		chain_id(i ? &below : NULL, diff_id, &chain);
		below = chain;
		memcpy(l->digest, m->layers[i].digest.text, DIGEST_SIZE);
		memcpy(l->diff_id, diff_id->text, DIGEST_SIZE);
		memcpy(l->chain_id, chain.text, DIGEST_SIZE);
		l->size_bytes = m->layers[i].size;
		l->compression = compression_of(&m->layers[i]);
		l->media_type = m->layers[i].media->name;
	}
}

static struct store_document store_document(const struct document *d)
{
	struct store_document out = {
		.media_type = d->descriptor.media->name,
		.bytes = d->bytes,
		.len = d->len,
	};

	memcpy(out.digest, d->descriptor.digest.text, DIGEST_SIZE);
	return out;
}

static void describe(struct job *j)
{
	describe_layers(j);
	if (j->ref->tag) {
		/* The name without the digest: it is what `docker images` lists. */
		struct reference tagged = *j->ref;
		tagged.digest = NULL;
		j->name = reference_familiar(&tagged);
		j->full_name = reference_str(&tagged);
	} else {
		j->full_name = reference_str(j->ref);
	}
	j->store_image = (struct store_image){
		.name = j->name,
		.full_name = j->full_name,
		.top = store_document(&j->image.top),
		.manifest = store_document(&j->image.manifest),
		.config = store_document(&j->image.config),
		.layers = j->layers,
		.n_layers = j->image.parsed.n_layers,
	};
}

static void phase(const struct job *j, const char *name)
{
	j->context->last_progress_ms = clock_mono_ms();
	if (j->hooks && j->hooks->phase)
		j->hooks->phase(j->hooks->arg, name);
}

/* The loop is cancelled by a timer when resolving takes too long; a cancellation by signal stays one. */
struct deadline {
	struct loop *loop;
	struct loop_timer *timer;
	bool passed;
};

static void on_deadline(void *arg)
{
	struct deadline *d = arg;

	d->timer = NULL;
	if (loop_cancelled(d->loop))
		return; /* a signal came first: it must not be taken back */
	d->passed = true;
	loop_cancel(d->loop, "the deadline");
}

static int resolve(struct job *j, int64_t deadline_ms, struct err *err)
{
	struct deadline d = { .loop = j->context->loop };
	struct registry_config config = {
		.ref = j->ref,
		.login = login_registry,
		.login_arg = &j->login,
		.basic_at_once = login_is_basic(j->ref),
	};

	if (deadline_ms >= 0)
		d.timer = loop_timer_start(d.loop, deadline_ms - clock_mono_ms(), on_deadline, &d);
	int result = registry_new(j->context->http, j->context->loop, &config, &j->registry, err);
	if (result == 0)
		result = registry_resolve(j->registry, &j->context->platform, &j->image, err);
	loop_timer_cancel(d.timer);
	if (d.passed) {
		loop_uncancel(d.loop);
		if (result < 0)
			err_set(err, ERR_TIMEOUT, "no answer from %s in time", j->ref->host);
	}
	return result;
}

/*
 * An image without any name in the containerd store may be one whose load was cut before its layers were unpacked:
 * loading it again costs nothing when they were.
 */
static bool may_be_half(const struct job *j, const struct image_state *state)
{
	return docker_info(j->context->docker)->store == DOCKER_STORE_CONTAINERD && !state->repo_tags.n &&
	       !state->repo_digests.n;
}

/* True when the engine has the whole image; gives it the name where that is missing. */
static int already_there(struct job *j, const char *id, bool *there, struct err *err)
{
	CLEANUP(image_state_clear) struct image_state state = { 0 };

	*there = false;
	if (image_inspect(j->context->docker, id, &state, err) < 0) {
		if (err->kind != ERR_NOT_FOUND)
			return -1;
		err_clear(err);
		return 0;
	}
	if (may_be_half(j, &state))
		return 0;
	*there = true;
	if (!j->name || strv_contains(&state.repo_tags, j->name) || strv_contains(&state.repo_tags, j->full_name))
		return 0;
	return image_tag(j->context->docker, id, j->name, err);
}

static void show_layers(const struct job *j)
{
	size_t n = j->image.parsed.n_layers;
	CLEANUP(freep) const char **digests = xcalloc(n, sizeof *digests);
	CLEANUP(freep) int64_t *sizes = xcalloc(n, sizeof *sizes);

	for (size_t i = 0; i < n; i++) {
		digests[i] = j->layers[i].digest;
		sizes[i] = j->layers[i].size_bytes;
	}
	progress_begin(j->progress, j->ref->repository, n, digests, sizes);
	for (size_t i = 0; i < n; i++)
		if (j->skip[i])
			progress_layer(j->progress, i, LAYER_PRESENT, 0);
}

/* A gzip stream of one member ends with its length; what cannot be a tar's is another member's. */
static int64_t raw_size(const struct blob_tail *tail, int64_t compressed)
{
	const uint8_t *b = tail->bytes + 4;
	int64_t size = (int64_t)b[0] | (int64_t)b[1] << 8 | (int64_t)b[2] << 16 | (int64_t)b[3] << 24;

	return tail->known && size % TAR_BLOCK == 0 && size > compressed ? size : 0;
}

/* Where the store takes inflated layers: asks for their sizes, so that the engine need not inflate again. */
static int hint_sizes(struct job *j, struct err *err)
{
	size_t n = j->image.parsed.n_layers;
	CLEANUP(freep) bool *wanted = xcalloc(n, sizeof *wanted);
	CLEANUP(freep) struct blob_tail *tails = xcalloc(n, sizeof *tails);

	for (size_t i = 0; i < n; i++) {
		j->layers[i].raw_bytes = 0;
		wanted[i] = !j->no_hints && !j->skip[i] && j->layers[i].compression == STORE_GZIP &&
			    j->layers[i].size_bytes >= HINT_MIN_BYTES && j->layers[i].size_bytes <= HINT_MAX_BYTES;
	}
	if (j->no_hints || !j->store->takes_raw(j->context->docker))
		return 0;
	if (blob_tails(j->registry, j->context->loop, j->image.parsed.layers, wanted, n, tails, err) < 0)
		return -1;
	for (size_t i = 0; i < n; i++)
		j->layers[i].raw_bytes = raw_size(&tails[i], j->layers[i].size_bytes);
	return 0;
}

/* One attempt to move the layers; skipping what the engine has unless `whole`. */
static int attempt(struct job *j, bool whole, struct pulled *out, struct transfer_result *result, struct err *err)
{
	struct transfer_request req = {
		.registry = j->registry,
		.store = j->store,
		.image = &j->store_image,
		.resolved = &j->image,
		.skip = j->skip,
		.progress = j->progress,
		.hooks = j->hooks,
	};

	memset(j->skip, 0, j->image.parsed.n_layers * sizeof *j->skip);
	if (!whole && j->store->present(j->context->docker, &j->store_image, j->skip, err) < 0)
		return -1;
	if (hint_sizes(j, err) < 0)
		return -1;
	show_layers(j);
	int ended = transfer_run(j->context, &req, result, err);
	progress_end(j->progress);
	out->bytes += result->bytes;
	out->n_fetched = result->n_fetched;
	return ended;
}

static int move_layers(struct job *j, struct pulled *out, struct err *err)
{
	bool whole = false, again = false;

	for (;;) {
		struct transfer_result result = { 0 };
		if (attempt(j, whole, out, &result, err) == 0)
			return 0;
		if (result.engine_lacks && !whole) {
			/* A layer that it had said it has: content pruned, snapshot kept. */
			whole = true;
		} else if (result.bad_bytes && !again) {
			again = true;
		} else if (result.bad_hint && !j->no_hints) {
			j->no_hints = true;
		} else {
			return -1;
		}
		log_info("%s; fetching again", err->msg);
	}
}

static int run(struct job *j, int64_t deadline_ms, struct pulled *out, struct err *err)
{
	int64_t began = clock_mono_ms();

	phase(j, "resolve");
	if (resolve(j, deadline_ms, err) < 0) {
		if (err->kind == ERR_NETWORK || err->kind == ERR_TIMEOUT)
			err_hint(err, "does this instance reach it? DNS, security group, route (NAT gateway or VPC endpoints), "
				      "HTTPS_PROXY");
		return err_wrap(err, "resolve %s", reference_name(j->ref));
	}
	describe(j);
	j->store = store_choose(docker_info(j->context->docker));
	j->store->image_id(j->context->docker, &j->store_image, out->image_id);
	memcpy(out->digest, j->image.top.descriptor.digest.text, DIGEST_SIZE);
	out->n_layers = j->image.parsed.n_layers;
	if (already_there(j, out->image_id, &out->was_present, err) < 0)
		return -1;
	out->store = "";
	if (!out->was_present) {
		phase(j, "pull");
		if (move_layers(j, out, err) < 0)
			return err_wrap(err, "pull %s", reference_name(j->ref));
		out->store = j->store->name;
	}
	out->took_ms = clock_mono_ms() - began;
	return 0;
}

int pull_image(struct context *c, const struct reference *ref, int64_t resolve_deadline_ms,
	       struct progress *progress, const struct pull_hooks *hooks, struct pulled *out, struct err *err)
{
	struct job j = { .context = c, .ref = ref, .progress = progress, .hooks = hooks };
	struct pulled pulled = { 0 };

	j.login = (struct login){ .context = c, .ref = ref };
	int result = run(&j, resolve_deadline_ms, &pulled, err);
	if (j.registry)
		registry_free(j.registry);
	image_free(&j.image);
	free(j.layers);
	free(j.skip);
	free(j.name);
	free(j.full_name);
	if (result == 0)
		*out = pulled;
	return result;
}
