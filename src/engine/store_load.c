/* Images by POST /images/load, streamed while they arrive. */
#include "engine/store.h"

#include "base/mem.h"
#include "engine/container.h"
#include "engine/load_archive.h"
#include "engine/load_present.h"

/*
 * Neither side moves: dockerd says nothing while it unpacks a layer (containerd store), which for gigabytes
 * on a slow volume takes minutes; and a load after an interrupted one may hang for ever (moby#51623).
 */
#define LOAD_IDLE_MS (10 * 60 * 1000)

/* Docker's own pull takes zstd layers since then. */
#define DOCKER_ZSTD_MAJOR 23

struct store_session {
	struct docker *docker;
	struct loop *loop;
	const struct store_image *image;
	struct load_archive *archive;
	struct docker_stream *stream; /* NULL: ended */
	store_event_fn *event;
	void *arg;
	bool incomplete;              /* layers were left out */
	bool upload_waits;            /* for bytes */
	bool ended;
	struct err error;             /* ERR_NONE: ended well */
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

static enum http_flow upload(void *arg, void *out, size_t max, size_t *len, struct err *err)
{
	struct store_session *s = arg;
	bool had_room = load_archive_has_room(s->archive);

	(void)err;
	*len = load_archive_read(s->archive, out, max);
	if (!*len && !load_archive_at_end(s->archive)) {
		s->upload_waits = true;
		return HTTP_PAUSE;
	}
	if (!had_room && load_archive_has_room(s->archive) && load_archive_wants(s->archive) >= 0)
		s->event(s->arg);
	return HTTP_CONTINUE;
}

static void wake_upload(struct store_session *s)
{
	if (!s->upload_waits || !s->stream)
		return;
	s->upload_waits = false;
	docker_stream_resume(s->stream);
}

static void on_done(void *arg, const struct err *err)
{
	struct store_session *s = arg;

	s->stream = NULL;
	s->ended = true;
	if (err)
		s->error = *err;
	else if (!load_archive_at_end(s->archive))
		(void)err_set(&s->error, ERR_PROTOCOL, "Docker answered before it had the whole image");
	s->event(s->arg);
}

static int load_begin(struct docker *d, struct loop *loop, const struct store_image *image, const bool *skip,
		      store_event_fn *event, void *arg, struct store_session **out, struct err *err)
{
	struct store_session *s = xcalloc(1, sizeof *s);
	*s = (struct store_session){ .docker = d, .loop = loop, .image = image, .event = event, .arg = arg };
	for (size_t i = 0; i < image->n_layers; i++)
		s->incomplete |= skip && skip[i];
	const struct docker_stream_request req = {
		.method = "POST",
		.path = "/images/load?quiet=0", /* its progress shows that it lives */
		.content_type = "application/x-tar",
		.upload = upload,
		.upload_arg = s,
		.done = on_done,
		.arg = s,
		.idle_ms = LOAD_IDLE_MS,
	};
	enum load_layout layout = names_top(d) ? LOAD_OCI_LAYOUT : LOAD_DOCKER_ARCHIVE;
	if (load_archive_new(layout, image, skip, &s->archive, err) < 0 ||
	    docker_stream_start(d, &req, &s->stream, err) < 0) {
		load_archive_free(s->archive);
		free(s);
		return -1;
	}
	*out = s;
	return 0;
}

static ssize_t load_wants(const struct store_session *s)
{
	return load_archive_wants(s->archive);
}

/* The engine's words for a layer that was left out and is not there; anything else stays as it is. */
static void name_missing_content(struct store_session *s)
{
	if (s->incomplete && s->error.kind == ERR_FAILED &&
	    (strstr(s->error.msg, "not found") || strstr(s->error.msg, "no such file or directory")))
		s->error.kind = ERR_NOT_FOUND;
}

static int session_error(struct store_session *s, struct err *err)
{
	name_missing_content(s);
	*err = s->error;
	if (err->kind == ERR_TIMEOUT)
		(void)err_hint(err, "a load that was interrupted can leave dockerd hanging: restart it"); /* moby#51623 */
	if (strstr(err->msg, "no space left on device"))
		(void)err_hint(err, "make room below Docker's data directory, or give it a larger volume");
	return err_wrap(err, "Docker's load");
}

static ssize_t load_feed(struct store_session *s, const void *bytes, size_t len, struct err *err)
{
	if (s->ended)
		return session_error(s, err);
	if (load_archive_at_layer_start(s->archive) && check_compression(docker_info(s->docker), bytes, len, err) < 0)
		return -1;

	size_t taken = load_archive_put(s->archive, bytes, len);
	if (taken)
		wake_upload(s);
	return (ssize_t)taken;
}

static bool session_ended(void *arg)
{
	return ((const struct store_session *)arg)->ended;
}

static int check_inspect(const struct store_session *s, const char *ref, const char *id, struct err *err)
{
	CLEANUP(image_state_clear) struct image_state state = { 0 };

	if (image_inspect(s->docker, ref, &state, err) < 0) {
		if (err->kind != ERR_NOT_FOUND)
			return -1;
		return err_set(err, ERR_REFUSED, "Docker accepted the image, but has no %s", ref);
	}
	if (!streq(state.id, id))
		return err_set(err, ERR_REFUSED, "%s is image %s in Docker, expected %s", ref, state.id, id);
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

/* The engine's verdict, and whether what it has now is the image. */
static int check_loaded(struct store_session *s, const char *id, struct err *err)
{
	if (s->error.kind != ERR_NONE)
		return session_error(s, err);
	if (check_content(s, id, err) < 0)
		return -1;
	return check_inspect(s, id, id, err);
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

static int load_commit(struct store_session *s, struct err *err)
{
	char id[80];

	if (load_archive_finish(s->archive, err) < 0)
		return -1;
	wake_upload(s);
	if (loop_wait(s->loop, session_ended, s, -1, err) < 0)
		return -1;
	load_image_id(s->docker, s->image, id);
	if (check_loaded(s, id, err) < 0) {
		drop_failed(s, id);
		return -1;
	}
	if (!s->image->name)
		return 0;
	if (names_top(s->docker) && image_tag(s->docker, id, s->image->full_name, err) < 0)
		return -1;
	return check_inspect(s, s->image->full_name, id, err);
}

/*
 * A cut upload is enough: without manifest.json or index.json no image comes of it, and the classic store and Podman
 * delete what they had spooled. The containerd store keeps whole blobs under a lease of Docker's own for a day, as after
 * any load or pull that is cut; a second attempt finds them.
 */
static void load_end(struct store_session *s)
{
	docker_stream_cancel(s->stream);
	load_archive_free(s->archive);
	free(s);
}

const struct store store_load = {
	.name = "load",
	.image_id = load_image_id,
	.takes_raw = load_takes_raw,
	.present = present_of_engine,
	.begin = load_begin,
	.wants = load_wants,
	.feed = load_feed,
	.commit = load_commit,
	.end = load_end,
};

const struct store *store_choose(const struct docker_info *info)
{
	(void)info; /* load serves every engine */
	return &store_load;
}
