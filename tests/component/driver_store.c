/*
 * usage: driver_store DOCKER_HOST LAYOUT TOP_DIGEST NAME [OPTION...]
 * Loads the image TOP_DIGEST of an OCI layout directory into an engine through the store interface, as a pull
 * would, and says how that went in one line of JSON. NAME is fully qualified, with a tag or a digest.
 * Options: whole (ask for no layer to be left out), claim=N (leave out the first N layers whatever the engine
 * has), raw (feed layers inflated where the store takes that), cut=N (end the session after N bytes of
 * layers), slow (half-way say "half" and wait for an event), containerd=SOCKET (the store `containerd`; tar unpacks
 * the layers).
 */
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/mem.h"
#include "engine/container.h"
#include "engine/store.h"
#include "oci/manifest.h"
#include "unpack/inflate.h"

#define PIECE_BYTES (64 * KIB)
#define RAW_MAX_BYTES (512 * MIB) /* all is held in memory: for small images */

struct driver {
	const char *layout;
	struct loop *loop;
	struct http *http;
	struct docker *docker;
	const char *containerd; /* its socket, or NULL */
	const struct store *store;
	struct store_image image;
	struct store_layer *layers;
	struct buf top, manifest, config;
	bool whole, event, slow, raw;
	bool *skip;
	struct buf *inflated; /* by layer; empty: it is fed as it is */
	size_t claim;
	int64_t cut; /* -1: never */
	int64_t fed;
};

static char *blob_path(const struct driver *d, const char *digest)
{
	return xasprintf("%s/blobs/sha256/%s", d->layout, digest + strlen("sha256:"));
}

static int read_document(const struct driver *d, const char *digest, struct buf *bytes, struct store_document *out,
			 struct err *err)
{
	CLEANUP(freep) char *path = blob_path(d, digest);

	*bytes = BUF_INIT(CONFIG_MAX_BYTES);
	if (fs_read(path, bytes, err) < 0)
		return -1;
	out->bytes = bytes->data;
	out->len = bytes->len;
	(void)snprintf(out->digest, sizeof out->digest, "%s", digest);
	return 0;
}

static int choose_manifest(struct driver *d, char digest[DIGEST_SIZE], struct err *err)
{
	struct index index;
	const struct index_entry *entry;
	struct platform host;

	platform_host(&host);
	if (index_parse(d->top.data, d->top.len, NULL, &index, err) < 0 ||
	    index_choose(&index, &host, &entry, err) < 0)
		return -1;
	memcpy(digest, entry->descriptor.digest.text, DIGEST_SIZE);
	d->image.top.media_type = index.media->name;
	index_free(&index);
	return 0;
}

static int read_image(struct driver *d, const char *top, struct err *err)
{
	char digest[DIGEST_SIZE];
	struct manifest m;
	struct image_config c;
	struct digest chain, below;
	static const enum store_compression compressions[] = {
		[COMPRESSION_NONE] = STORE_PLAIN,
		[COMPRESSION_GZIP] = STORE_GZIP,
		[COMPRESSION_ZSTD] = STORE_ZSTD,
	};

	(void)snprintf(digest, sizeof digest, "%s", top);
	if (read_document(d, top, &d->top, &d->image.top, err) < 0)
		return -1;
	if (memmem(d->top.data, d->top.len, "\"manifests\"", 11) && choose_manifest(d, digest, err) < 0)
		return -1;
	if (read_document(d, digest, &d->manifest, &d->image.manifest, err) < 0 ||
	    manifest_parse(d->manifest.data, d->manifest.len, NULL, &m, err) < 0 ||
	    read_document(d, m.config.digest.text, &d->config, &d->image.config, err) < 0 ||
	    image_config_parse(d->config.data, d->config.len, m.n_layers, &c, err) < 0)
		return -1;
	if (!d->image.top.media_type)
		d->image.top.media_type = m.media->name;
	d->image.manifest.media_type = m.media->name;
	d->image.config.media_type = m.config.media->name;
	d->layers = xcalloc(m.n_layers, sizeof *d->layers);
	for (size_t i = 0; i < m.n_layers; i++) {
		struct store_layer *l = &d->layers[i];
		chain_id(i ? &below : NULL, &c.diff_ids[i], &chain);
		below = chain;
		memcpy(l->digest, m.layers[i].digest.text, DIGEST_SIZE);
		memcpy(l->diff_id, c.diff_ids[i].text, DIGEST_SIZE);
		memcpy(l->chain_id, chain.text, DIGEST_SIZE);
		l->size_bytes = m.layers[i].size;
		l->compression = compressions[m.layers[i].media->compression];
		l->media_type = m.layers[i].media->name;
	}
	d->image.layers = d->layers;
	d->image.n_layers = m.n_layers;
	manifest_free(&m);
	image_config_free(&c);
	return 0;
}

static void on_event(void *arg)
{
	((struct driver *)arg)->event = true;
}

static bool had_event(void *arg)
{
	return ((struct driver *)arg)->event;
}

static int64_t bytes_to_feed(const struct driver *d)
{
	int64_t sum = 0;

	for (size_t i = 0; i < d->image.n_layers; i++)
		sum += d->skip[i] ? 0 : d->layers[i].size_bytes;
	return sum;
}

static int pause_half_way(struct driver *d, struct err *err)
{
	d->slow = d->event = false;
	(void)puts("half");
	(void)fflush(stdout);
	return loop_wait(d->loop, had_event, d, clock_mono_ms() + 30000, err);
}

/* 1: cut on request. */
static int feed_piece(struct driver *d, struct store_session *s, const char *bytes, size_t len, struct err *err)
{
	while (len) {
		size_t offer = len;
		if (d->cut >= 0 && d->fed + (int64_t)offer > d->cut)
			offer = (size_t)(d->cut - d->fed);
		if (!offer)
			return 1;
		if (d->slow && d->fed > bytes_to_feed(d) / 2 && pause_half_way(d, err) < 0)
			return -1;
		d->event = false;
		ssize_t n = d->store->feed(s, bytes, offer, err);
		if (n < 0)
			return -1;
		if (!n && loop_wait(d->loop, had_event, d, -1, err) < 0)
			return -1;
		d->fed += n;
		bytes += n;
		len -= (size_t)n;
	}
	return 0;
}

static int keep(void *arg, const void *bytes, size_t len, struct err *err)
{
	return buf_append(arg, bytes, len, err);
}

static int inflate_layer(struct driver *d, size_t i, struct err *err)
{
	CLEANUP(freep) char *path = blob_path(d, d->layers[i].digest);
	CLEANUP(buf_free) struct buf blob = BUF_INIT(RAW_MAX_BYTES);
	struct inflate *x;

	if (fs_read(path, &blob, err) < 0 || inflate_new(inflate_detect(blob.data, blob.len), &x, err) < 0)
		return -1;
	int result = inflate_feed(x, blob.data, blob.len, keep, &d->inflated[i], err);
	if (result == 0)
		result = inflate_end(x, err);
	inflate_free(x);
	d->layers[i].raw_bytes = (int64_t)d->inflated[i].len;
	return result;
}

static int inflate_layers(struct driver *d, struct err *err)
{
	d->inflated = xcalloc(d->image.n_layers, sizeof *d->inflated);
	for (size_t i = 0; i < d->image.n_layers; i++) {
		d->inflated[i] = BUF_INIT(RAW_MAX_BYTES);
		if (d->raw && d->store->takes_raw(d->docker) && inflate_layer(d, i, err) < 0)
			return -1;
	}
	return 0;
}

static int feed_layer(struct driver *d, struct store_session *s, size_t i, struct err *err)
{
	CLEANUP(freep) char *path = blob_path(d, d->layers[i].digest);
	CLEANUP(freep) char *bytes = xmalloc(PIECE_BYTES);
	CLEANUP(closep) int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (d->inflated[i].len)
		return feed_piece(d, s, d->inflated[i].data, d->inflated[i].len, err);
	while ((n = read(fd, bytes, PIECE_BYTES)) > 0) {
		int result = feed_piece(d, s, bytes, (size_t)n, err);
		if (result)
			return result;
	}
	return n < 0 ? err_set(err, ERR_FAILED, "cannot read %s", path) : 0;
}

/* As a worker would, for layers without whiteouts. */
static int unpack(struct driver *d, int root, size_t i, struct err *err)
{
	CLEANUP(freep) char *path = blob_path(d, d->layers[i].digest);
	CLEANUP(freep) char *dir = xasprintf("/proc/self/fd/%d", root);
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		(void)fcntl(root, F_SETFD, 0);
		execlp("tar", "tar", "-xpf", path, "-C", dir, "--numeric-owner", "--xattrs", "--xattrs-include=*",
		       "--acls", NULL);
		_exit(127);
	}
	if (pid < 0 || waitpid(pid, &status, 0) < 0 || status)
		return err_set(err, ERR_FAILED, "tar failed on layer %zu", i + 1);
	d->fed += d->layers[i].size_bytes;
	return 0;
}

static int get_staging(struct driver *d, struct store_session *s, size_t i, int *root, struct err *err)
{
	int made;

	while ((made = d->store->staging(s, i, root, err)) == 0)
		if (loop_sleep(d->loop, 1, err) < 0)
			return -1;
	return made;
}

static int make_layers(struct driver *d, struct store_session *s, struct err *err)
{
	for (size_t i = 0; i < d->image.n_layers; i++) {
		int root;
		if (d->cut == (int64_t)i)
			return 1;
		if (d->skip[i])
			continue;
		if (get_staging(d, s, i, &root, err) < 0)
			return -1;
		if (d->slow && i == d->image.n_layers / 2 && pause_half_way(d, err) < 0)
			return -1;
		if (unpack(d, root, i, err) < 0 || d->store->layer(s, i, NULL, 0, err) < 0)
			return -1;
	}
	return d->cut == (int64_t)d->image.n_layers ? 1 : d->store->commit(s, err);
}

static int feed_all(struct driver *d, struct store_session *s, struct err *err)
{
	ssize_t i;
	int result = 0;

	while (result == 0 && (i = d->store->wants(s)) >= 0) {
		result = feed_layer(d, s, (size_t)i, err);
		if (result == 0 && d->store->verified)
			d->store->verified(s, (size_t)i);
	}
	if (result == 1) /* give the engine time to have seen it all */
		return loop_sleep(d->loop, 1000, err) < 0 ? -1 : 1;
	return result ? result : d->store->commit(s, err);
}

static int load(struct driver *d, struct err *err)
{
	struct store_session *s;

	d->skip = xcalloc(d->image.n_layers, sizeof *d->skip);
	if (inflate_layers(d, err) < 0)
		return -1;
	if (!d->whole && d->store->present(d->docker, &d->image, d->skip, err) < 0)
		return -1;
	for (size_t i = 0; i < d->claim && i < d->image.n_layers; i++)
		d->skip[i] = true;
	if (d->store->begin(d->docker, d->loop, &d->image, d->skip, on_event, d, &s, err) < 0)
		return -1;
	int result = d->store->parallel ? make_layers(d, s, err) : feed_all(d, s, err);
	d->store->end(s);
	return result;
}

static int run(struct driver *d, char **argv, struct err *err)
{
	const struct http_config config = { .user_agent = "driver" };

	d->layout = argv[2];
	d->image.full_name = argv[4];
	d->image.name = strchr(argv[4], '@') ? NULL : argv[4];
	for (char **o = argv + 5; *o; o++) {
		d->whole |= streq(*o, "whole");
		d->slow |= streq(*o, "slow");
		d->raw |= streq(*o, "raw");
		if (skip_prefix(*o, "containerd="))
			d->containerd = skip_prefix(*o, "containerd=");
		if (skip_prefix(*o, "cut="))
			d->cut = strtoll(*o + 4, NULL, 10);
		if (skip_prefix(*o, "claim="))
			d->claim = strtoul(*o + 6, NULL, 10);
	}
	if (read_image(d, argv[3], err) < 0 || loop_new(&d->loop, err) < 0 ||
	    http_new(d->loop, &config, &d->http, err) < 0 ||
	    docker_new(d->http, d->loop, argv[1], &d->docker, err) < 0 || docker_connect(d->docker, err) < 0)
		return -1;
	if (d->containerd) {
		docker_set_containerd(d->docker, d->containerd);
		d->store = store_choose(d->docker, err);
		if (err->kind != ERR_NONE)
			return -1;
	}
	return load(d, err);
}

int main(int argc, char **argv)
{
	struct driver d = { .cut = -1, .store = &store_load };
	struct err err = { 0 };
	CLEANUP(json_freep) struct json *answer = json_new_object();
	int64_t began = clock_mono_ms();
	char id[80] = "";

	if (argc < 5)
		return 2;
	int result = run(&d, argv, &err);
	json_set_int(answer, "took_ms", clock_mono_ms() - began);
	json_set_int(answer, "fed", d.fed);
	json_set_str(answer, "outcome", result == 0 ? "loaded" : result == 1 ? "cut" : "failed");
	if (result < 0) {
		json_set_str(answer, "kind", err_kind_name(err.kind));
		json_set_str(answer, "error", err.msg);
		json_set_str(answer, "hint", err.hint);
	}
	if (d.docker)
		d.store->image_id(d.docker, &d.image, id);
	json_set_str(answer, "id", id);
	json_set_str(answer, "store", d.store->name);
	struct json *skipped = json_ensure_array(answer, "skipped");
	for (size_t i = 0; d.skip && i < d.image.n_layers; i++)
		if (d.skip[i])
			json_add_str(skipped, d.layers[i].digest);
	CLEANUP(freep) char *text = json_print(answer, false);
	(void)puts(text);
	docker_free(d.docker);
	if (d.http)
		http_free(d.http);
	if (d.loop)
		loop_free(d.loop);
	for (size_t i = 0; d.inflated && i < d.image.n_layers; i++)
		buf_free(&d.inflated[i]);
	free(d.inflated);
	free(d.layers);
	free(d.skip);
	buf_free(&d.top);
	buf_free(&d.manifest);
	buf_free(&d.config);
	return result < 0;
}
