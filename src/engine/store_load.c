/* Images by POST /images/load, streamed while they arrive. */
#include "engine/store.h"

#include "base/mem.h"
#include "engine/container.h"
#include "engine/docker_internal.h"
#include "engine/load_documents.h"
#include "engine/load_pipeline.h"
#include "engine/load_present.h"
#include "engine/load_temporary.h"

/* Docker's own pull takes zstd layers since then. */
#define DOCKER_ZSTD_MAJOR 23

struct store_session {
	struct docker *docker;
	struct loop *loop;
	const struct store_image *image;
	struct load_pipeline *pipeline;
	bool incomplete; /* layers were left out */
};

static bool names_top(const struct docker *d)
{
	return docker_info(d)->store == DOCKER_STORE_CONTAINERD;
}

static void load_image_id(struct docker *d, const struct store_image *image, char out[80])
{
	(void)snprintf(out, 80, "%s", names_top(d) ? image->top.digest : image->config.digest);
}

/* An OCI layout names layers by the digest of their compressed bytes. */
static bool load_takes_raw(struct docker *d)
{
	return !names_top(d);
}

/* Podman's loader reads every file that manifest.json names. */
static int present_of_engine(struct docker *d, const struct store_image *image, bool *present, struct err *err)
{
	if (docker_info(d)->store != DOCKER_STORE_PODMAN)
		return load_present(d, image, present, err);
	memset(present, 0, image->n_layers * sizeof *present);
	return 0;
}

/* RFC 8878 section 3.1.1. Engines go by a layer's bytes, whatever its media type says. */
static bool is_zstd(const void *bytes, size_t len)
{
	static const uint8_t magic[] = { 0x28, 0xb5, 0x2f, 0xfd };

	return len >= sizeof magic && !memcmp(bytes, magic, sizeof magic);
}

static int check_compression(const struct docker_info *info, const void *bytes, size_t len, struct err *err)
{
	if (info->store != DOCKER_STORE_CLASSIC || strtol(info->version, NULL, 10) >= DOCKER_ZSTD_MAJOR ||
	    !is_zstd(bytes, len))
		return 0;
	return err_set(err, ERR_REFUSED, "Docker %s cannot unpack zstd layers: needs %d.0 or newer", info->version,
		       DOCKER_ZSTD_MAJOR);
}

static int begin(struct docker *d, struct loop *loop, const struct store_image *image, const bool *skip, bool in_parts,
		 store_event_fn *event, void *arg, struct store_session **out, struct err *err)
{
	struct store_session *s = xcalloc(1, sizeof *s);
	const struct load_pipeline_request req = {
		.docker = d,
		.image = image,
		.skip = skip,
		.in_parts = in_parts,
		.event = event,
		.arg = arg,
	};

	*s = (struct store_session){ .docker = d, .loop = loop, .image = image };
	for (size_t i = 0; i < image->n_layers; i++)
		s->incomplete |= skip && skip[i];
	if (load_pipeline_begin(&req, &s->pipeline, err) < 0) {
		free(s);
		return -1;
	}
	*out = s;
	return 0;
}

/*
 * The classic store registers nothing of a load before it has spooled all of it: several make it do both at once. The
 * containerd store and Podman would gain nothing: Podman wants every file of an image in each load.
 */
static int load_begin(struct docker *d, struct loop *loop, const struct store_image *image, const bool *skip,
		      store_event_fn *event, void *arg, struct store_session **out, struct err *err)
{
	return begin(d, loop, image, skip, docker_info(d)->store == DOCKER_STORE_CLASSIC, event, arg, out, err);
}

static int single_begin(struct docker *d, struct loop *loop, const struct store_image *image, const bool *skip,
			store_event_fn *event, void *arg, struct store_session **out, struct err *err)
{
	return begin(d, loop, image, skip, false, event, arg, out, err);
}

static ssize_t load_wants(const struct store_session *s)
{
	return load_pipeline_wants(s->pipeline);
}

/* Returns -1. */
static int explain(struct err *err)
{
	if (err->kind == ERR_TIMEOUT)
		(void)err_hint(err, "a load that was interrupted can leave dockerd hanging: restart it"); /* moby#51623 */
	if (strstr(err->msg, "no space left on device"))
		(void)err_hint(err, "make room below Docker's data directory, or give it a larger volume");
	return err_wrap(err, "Docker's load");
}

static ssize_t load_feed(struct store_session *s, const void *bytes, size_t len, struct err *err)
{
	struct load_upload *u;

	if (load_pipeline_upload(s->pipeline, &u, err) < 0)
		return explain(err);
	if (load_upload_at_layer_start(u) && check_compression(docker_info(s->docker), bytes, len, err) < 0)
		return -1;
	return (ssize_t)load_upload_put(u, bytes, len);
}

static void load_verified(struct store_session *s, size_t i)
{
	load_pipeline_verified(s->pipeline, i);
}

/*
 * Docker 28 says nothing of layers whose blobs it lacks. Nor need it: the ID is the digest of what names them, and
 * containerd has checked every document's digest.
 */
static int check_inspect(const struct store_session *s, const char *ref, const char *id, bool layers_known, struct err *err)
{
	CLEANUP(image_state_clear) struct image_state state = { 0 };

	if (image_inspect(s->docker, ref, &state, err) < 0) {
		if (err->kind != ERR_NOT_FOUND)
			return -1;
		return err_set(err, ERR_REFUSED, "Docker accepted the image, but has no %s", ref);
	}
	if (!streq(state.id, id))
		return err_set(err, ERR_REFUSED, "%s is image %s in Docker, expected %s", ref, state.id, id);
	if (!state.diff_ids.n && !layers_known)
		return 0;
	if (state.diff_ids.n != s->image->n_layers)
		return err_set(err, ERR_REFUSED, "%s has %zu layers in Docker, expected %zu", ref, state.diff_ids.n,
			       s->image->n_layers);
	for (size_t i = 0; i < s->image->n_layers; i++)
		if (!streq(state.diff_ids.v[i], s->image->layers[i].diff_id))
			return err_set(err, ERR_REFUSED, "layer %zu of %s is %s in Docker, expected %s", i + 1, ref,
				       state.diff_ids.v[i], s->image->layers[i].diff_id);
	return 0;
}

/* Does the listing's entry say that all its content is there? Engines before API 1.48 list no others. */
static bool is_whole(const struct store_session *s, const struct json *entry)
{
	const struct json *manifests = json_get(entry, "Manifests");

	for (const struct json *m = json_first(manifests); m; m = json_next(m)) {
		bool available = false;
		struct err err;
		if (streq(json_string(json_get(m, "ID")), s->image->manifest.digest))
			return json_opt_bool(m, "Available", &available, &err) == 0 && available;
	}
	return !manifests;
}

/*
 * The containerd store takes an image whose snapshots it has and whose blobs it lacks: the layers came from an
 * image that compressed them otherwise. It would run, but could be neither saved nor pushed.
 */
static int check_content(const struct store_session *s, const char *id, struct err *err)
{
	CLEANUP(json_freep) struct json *list = NULL;

	if (!s->incomplete || !names_top(s->docker))
		return 0;
	if (docker_call(s->docker, "GET", "/images/json?manifests=1", NULL, &list, err) < 0)
		return -1;
	for (const struct json *v = json_first(list); v; v = json_next(v))
		if (streq(json_string(json_get(v, "Id")), id) && is_whole(s, v))
			return 0;
	return err_set(err, ERR_NOT_FOUND, "Docker has the files of a layer, but not the layer");
}

/* The verdict on what was sent. */
static int finish(struct store_session *s, struct err *err)
{
	return load_pipeline_finish(s->pipeline, s->loop, err) < 0 ? explain(err) : 0;
}

/* Docker 28's containerd store calls REPOSITORY@DIGEST a tag too. */
static bool has_tag(const struct image_state *state)
{
	for (size_t i = 0; i < state->repo_tags.n; i++)
		if (!strchr(state->repo_tags.v[i], '@'))
			return true;
	return false;
}

/* The containerd store keeps an image that it could not unpack. Without a tag it is nobody's but ours. */
static void drop_failed(const struct store_session *s, const char *id)
{
	CLEANUP(image_state_clear) struct image_state state = { 0 };
	struct err ignored; /* what failed before is what counts */

	if (!names_top(s->docker) || image_inspect(s->docker, id, &state, &ignored) < 0 || has_tag(&state))
		return;
	if (image_remove(s->docker, id, &ignored) < 0)
		return;
}

/* The image is known to be good: names it, where the engine has not done so. */
static int name_image(const struct store_session *s, const char *id, bool layers_known, struct err *err)
{
	if (!s->image->name)
		return 0;
	if (names_top(s->docker) && image_tag(s->docker, id, s->image->full_name, err) < 0)
		return -1;
	return check_inspect(s, s->image->full_name, id, layers_known, err);
}

static int load_tidy(struct docker *d, struct err *err)
{
	if (docker_info(d)->store != DOCKER_STORE_CLASSIC)
		return 0;
	if (load_temporary_remove(d, true, DOCKER_TIMEOUT_MS, err) < 0)
		return -1;
	d->has_temporaries = false;
	return 0;
}

static int load_commit(struct store_session *s, struct err *err)
{
	struct err ignored;
	char id[80];

	load_image_id(s->docker, s->image, id);
	if (finish(s, err) < 0 || check_content(s, id, err) < 0 || check_inspect(s, id, id, true, err) < 0) {
		drop_failed(s, id);
		return -1;
	}
	if (name_image(s, id, true, err) < 0)
		return -1;
	if (load_tidy(s->docker, &ignored) < 0)
		err_clear(&ignored); /* docker_free() tries again, and so does the next run */
	return 0;
}

static void load_end(struct store_session *s)
{
	load_pipeline_end(s->pipeline, s->loop);
	free(s);
}

/* Where an engine refuses a load as such: all in one. */
static const struct store single = {
	.name = "load",
	.image_id = load_image_id,
	.takes_raw = load_takes_raw,
	.present = present_of_engine,
	.begin = single_begin,
	.wants = load_wants,
	.feed = load_feed,
	.commit = load_commit,
	.end = load_end,
	.tidy = load_tidy,
};

const struct store store_load = {
	.name = "load",
	.fallback = &single,
	.image_id = load_image_id,
	.takes_raw = load_takes_raw,
	.present = present_of_engine,
	.begin = load_begin,
	.wants = load_wants,
	.feed = load_feed,
	.verified = load_verified,
	.commit = load_commit,
	.end = load_end,
	.tidy = load_tidy,
};

static void no_event(void *arg)
{
	(void)arg;
}

int load_documents(struct docker *d, struct loop *loop, const struct store_image *image, struct err *err)
{
	CLEANUP(freep) bool *all = xmalloc(image->n_layers + 1);
	struct store_session *s;
	char id[80];

	memset(all, true, image->n_layers);
	if (load_begin(d, loop, image, all, no_event, NULL, &s, err) < 0)
		return -1;
	load_image_id(d, image, id);
	int result = -1;
	if (finish(s, err) < 0 || check_inspect(s, id, id, false, err) < 0)
		drop_failed(s, id);
	else
		result = name_image(s, id, false, err);
	load_end(s);
	return result;
}
