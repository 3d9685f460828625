#include "engine/load_checks.h"

#include "base/mem.h"
#include "engine/container.h"

/* Docker's own pull takes zstd layers since then. */
#define DOCKER_ZSTD_MAJOR 23

static bool names_top(const struct docker *d)
{
	return docker_info(d)->store == DOCKER_STORE_CONTAINERD;
}

void load_image_id(struct docker *d, const struct store_image *image, char out[80])
{
	(void)snprintf(out, 80, "%s", names_top(d) ? image->top.digest : image->config.digest);
}

/* RFC 8878 section 3.1.1. Engines go by a layer's bytes, whatever its media type says. */
static bool is_zstd(const void *bytes, size_t len)
{
	static const uint8_t magic[] = { 0x28, 0xb5, 0x2f, 0xfd };

	return len >= sizeof magic && !memcmp(bytes, magic, sizeof magic);
}

int load_check_compression(const struct docker_info *info, const void *bytes, size_t len,
			   struct err *err)
{
	if (info->store != DOCKER_STORE_CLASSIC ||
	    strtol(info->version, NULL, 10) >= DOCKER_ZSTD_MAJOR || !is_zstd(bytes, len))
		return 0;
	return err_set(err, ERR_REFUSED, "Docker %s cannot unpack zstd layers: needs %d.0 or newer",
		       info->version, DOCKER_ZSTD_MAJOR);
}

int load_explain(struct err *err)
{
	static const char hung[] = "a load that was interrupted can leave dockerd hanging: restart it";

	if (err->kind == ERR_TIMEOUT)
		(void)err_hint(err, hung); /* moby#51623 */
	(void)docker_disk_is_full(err);
	return err_wrap(err, "Docker's load");
}

/*
 * Docker 28 says nothing of layers whose blobs it lacks. Nor need it: the ID is the digest of what
 * names them, and containerd has checked every document's digest.
 */
static int check_inspect(const struct load_outcome *o, const char *ref, const char *id,
			 struct err *err)
{
	CLEANUP(image_state_clear) struct image_state state = { 0 };

	if (image_inspect(o->docker, ref, &state, err) < 0) {
		if (err->kind != ERR_NOT_FOUND)
			return -1;
		return err_set(err, ERR_REFUSED, "Docker accepted the image, but has no %s", ref);
	}
	if (!streq(state.id, id))
		return err_set(err, ERR_REFUSED, "%s is image %s in Docker, expected %s", ref,
			       state.id, id);
	if (!state.diff_ids.n && !o->layers_known)
		return 0;
	if (state.diff_ids.n != o->image->n_layers)
		return err_set(err, ERR_REFUSED, "%s has %zu layers in Docker, expected %zu", ref,
			       state.diff_ids.n, o->image->n_layers);
	for (size_t i = 0; i < o->image->n_layers; i++)
		if (!streq(state.diff_ids.v[i], o->image->layers[i].diff_id))
			return err_set(err, ERR_REFUSED,
				       "layer %zu of %s is %s in Docker, expected %s", i + 1, ref,
				       state.diff_ids.v[i], o->image->layers[i].diff_id);
	return 0;
}

/*
 * Does the listing's entry say that all its content is there? Engines before API 1.48 list no
 * others.
 */
static bool is_whole(const struct load_outcome *o, const struct json *entry)
{
	const struct json *manifests = json_get(entry, "Manifests");

	for (const struct json *m = json_first(manifests); m; m = json_next(m)) {
		bool available = false;
		struct err err;
		if (streq(json_string(json_get(m, "ID")), o->image->manifest.digest))
			return json_opt_bool(m, "Available", &available, &err) == 0 && available;
	}
	return !manifests;
}

/*
 * The containerd store takes an image whose snapshots it has and whose blobs it lacks: the layers
 * came from an image that compressed them otherwise. It would run, but could be neither saved nor
 * pushed.
 */
static int check_content(const struct load_outcome *o, const char *id, struct err *err)
{
	CLEANUP(json_freep) struct json *list = NULL;

	if (!o->incomplete || !names_top(o->docker))
		return 0;
	if (docker_call(o->docker, "GET", "/images/json?manifests=1", NULL, &list, err) < 0)
		return -1;
	for (const struct json *v = json_first(list); v; v = json_next(v))
		if (streq(json_string(json_get(v, "Id")), id) && is_whole(o, v))
			return 0;
	return err_set(err, ERR_NOT_FOUND, "Docker has the files of a layer, but not the layer");
}

/* Docker 28's containerd store calls REPOSITORY@DIGEST a tag too. */
static bool has_tag(const struct image_state *state)
{
	for (size_t i = 0; i < state->repo_tags.n; i++)
		if (!strchr(state->repo_tags.v[i], '@'))
			return true;
	return false;
}

/*
 * The containerd store keeps an image that it could not unpack. Without a tag it is nobody's but
 * ours.
 */
void load_drop_failed(struct docker *d, const struct store_image *image)
{
	CLEANUP(image_state_clear) struct image_state state = { 0 };
	struct err ignored; /* what failed before is what counts */
	char id[80];

	load_image_id(d, image, id);
	if (!names_top(d) || image_inspect(d, id, &state, &ignored) < 0 || has_tag(&state))
		return;
	if (image_remove(d, id, &ignored) < 0)
		return;
}

/* The image is known to be good: names it, where the engine has not done so. */
static int name_image(const struct load_outcome *o, const char *id, struct err *err)
{
	if (!o->image->name)
		return 0;
	if (names_top(o->docker) && image_tag(o->docker, id, o->image->full_name, err) < 0)
		return -1;
	return check_inspect(o, o->image->full_name, id, err);
}

int load_check_outcome(const struct load_outcome *o, struct err *err)
{
	char id[80];

	load_image_id(o->docker, o->image, id);
	if ((o->layers_known && check_content(o, id, err) < 0) ||
	    check_inspect(o, id, id, err) < 0) {
		load_drop_failed(o->docker, o->image);
		return -1;
	}
	return name_image(o, id, err);
}
