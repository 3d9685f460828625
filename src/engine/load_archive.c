#include "engine/load_archive.h"

#include <assert.h>

#include "base/mem.h"
#include "base/tar.h"

/* Documents of an OCI layout: oci-layout, index.json, manifest, config, top; each a header, bytes, padding. */
#define PIECES_MAX (3 * 5 + 1)

/* Bytes of the archive's tail: borrowed from the image, or owned. */
struct piece {
	const uint8_t *bytes;
	size_t len;
	void *owned;
};

/* overlay2 takes 128 and overlayfs under containerd about 500; here it bounds the headers of empty layers. */
#define LAYERS_MAX 500

struct load_archive {
	enum load_layout layout;
	const struct store_image *image;
	const char *fifos; /* prefix of their names; NULL: layers are in the archive */
	bool *left_out;   /* skipped layers, and repetitions of an earlier one */
	bool *repeated;
	size_t layer;     /* current; n_layers: all are in */
	int64_t left;     /* bytes of it still to come */

	uint8_t *staged;  /* ring */
	size_t head, len;
	struct piece pieces[PIECES_MAX];
	size_t n_pieces, piece;
	bool finished;
};

static const uint8_t zeros[TAR_END_BYTES];

static const char *hex_of(const char *digest)
{
	const char *colon = strchr(digest, ':');

	return colon ? colon + 1 : digest;
}

/* HEX.tar, blobs/sha256/HEX: one name per blob, so that a blob used twice is sent once. Caller frees. */
static char *blob_name(enum load_layout layout, const char *digest, const char *suffix)
{
	return layout == LOAD_OCI_LAYOUT ? xasprintf("blobs/sha256/%s", hex_of(digest))
					 : xasprintf("%s%s", hex_of(digest), suffix);
}

char *load_archive_fifo(const char *prefix, size_t i)
{
	return xasprintf("%s.%zu", prefix, i);
}

/* What its entry holds. */
static int64_t entry_bytes(const struct store_layer *l)
{
	return l->raw_bytes > 0 ? l->raw_bytes : l->size_bytes;
}

static void stage(struct load_archive *a, const void *bytes, size_t len)
{
	size_t tail = (a->head + a->len) % LOAD_ARCHIVE_STAGED_BYTES;
	size_t first = LOAD_ARCHIVE_STAGED_BYTES - tail;

	if (first > len)
		first = len;
	memcpy(a->staged + tail, bytes, first);
	memcpy(a->staged, (const uint8_t *)bytes + first, len - first);
	a->len += len;
}

static size_t room(const struct load_archive *a)
{
	/* What frames the entries must always fit, even if all that follow are empty. */
	size_t used = a->len + (a->image->n_layers + 2) * TAR_BLOCK_BYTES;

	return used < LOAD_ARCHIVE_STAGED_BYTES ? LOAD_ARCHIVE_STAGED_BYTES - used : 0;
}

static void stage_header(struct load_archive *a, const char *name, int64_t size)
{
	uint8_t header[TAR_BLOCK_BYTES];
	struct err err;

	if (tar_header(name, size, header, &err) < 0)
		abort(); /* names are made here of checked digests; sizes were checked by load_archive_new() */
	stage(a, header, sizeof header);
}

static void stage_fifo(struct load_archive *a, size_t i)
{
	CLEANUP(freep) char *name = load_archive_fifo(a->fifos, i);
	uint8_t header[TAR_BLOCK_BYTES];
	struct err err;

	if (tar_fifo_header(name, header, &err) < 0)
		abort(); /* as above */
	stage(a, header, sizeof header);
}

/* Goes on to the next layer whose bytes are wanted; layers without a byte need no more than their header. */
static void enter_layer(struct load_archive *a)
{
	for (; a->layer < a->image->n_layers; a->layer++) {
		const struct store_layer *l = &a->image->layers[a->layer];
		if (a->left_out[a->layer])
			continue;
		if (a->fifos) {
			stage_fifo(a, a->layer);
			continue;
		}
		a->left = entry_bytes(l);
		if (!a->repeated[a->layer]) {
			CLEANUP(freep) char *name = blob_name(a->layout, l->digest, ".tar");
			stage_header(a, name, entry_bytes(l));
		}
		if (a->left)
			return;
	}
}

static void leave_layer(struct load_archive *a)
{
	if (!a->repeated[a->layer])
		stage(a, zeros, tar_padding(entry_bytes(&a->image->layers[a->layer])));
	a->layer++;
	enter_layer(a);
}

static int check_layers(const struct store_image *image, struct err *err)
{
	uint8_t header[TAR_BLOCK_BYTES];

	if (image->n_layers > LAYERS_MAX)
		return err_set(err, ERR_LIMIT, "%zu layers, more than %d", image->n_layers, LAYERS_MAX);
	for (size_t i = 0; i < image->n_layers; i++) {
		CLEANUP(freep) char *name = blob_name(LOAD_OCI_LAYOUT, image->layers[i].digest, "");
		if (tar_header(name, entry_bytes(&image->layers[i]), header, err) < 0)
			return err_wrap(err, "layer %zu", i + 1);
	}
	return 0;
}

static bool is_repeated(const struct load_archive *a, size_t i)
{
	for (size_t k = 0; k < i; k++)
		if (!a->left_out[k] && streq(a->image->layers[k].digest, a->image->layers[i].digest))
			return true;
	return false;
}

static struct load_archive *archive_new(enum load_layout layout, const struct store_image *image, const bool *skip,
					const char *fifos)
{
	struct load_archive *a = xcalloc(1, sizeof *a);

	a->layout = layout;
	a->image = image;
	a->fifos = fifos;
	a->left_out = xcalloc(image->n_layers, sizeof *a->left_out);
	a->repeated = xcalloc(image->n_layers, sizeof *a->repeated);
	a->staged = xmalloc(LOAD_ARCHIVE_STAGED_BYTES);
	for (size_t i = 0; i < image->n_layers; i++)
		a->left_out[i] = skip && skip[i];
	for (size_t i = 0; i < image->n_layers; i++)
		a->repeated[i] = is_repeated(a, i);
	enter_layer(a);
	return a;
}

int load_archive_new(enum load_layout layout, const struct store_image *image, const bool *skip,
		     struct load_archive **out, struct err *err)
{
	if (check_layers(image, err) < 0)
		return -1;
	*out = archive_new(layout, image, skip, NULL);
	return 0;
}

int load_archive_new_fifos(const struct store_image *image, const bool *skip, const char *prefix,
			   struct load_archive **out, struct err *err)
{
	CLEANUP(freep) char *longest = load_archive_fifo(prefix, LAYERS_MAX);
	uint8_t header[TAR_BLOCK_BYTES];

	if (check_layers(image, err) < 0 || tar_fifo_header(longest, header, err) < 0)
		return -1;
	*out = archive_new(LOAD_DOCKER_ARCHIVE, image, skip, prefix);
	return 0;
}

void load_archive_free(struct load_archive *a)
{
	if (!a)
		return;
	for (size_t i = 0; i < a->n_pieces; i++)
		free(a->pieces[i].owned);
	free(a->left_out);
	free(a->repeated);
	free(a->staged);
	free(a);
}

ssize_t load_archive_wants(const struct load_archive *a)
{
	return a->layer < a->image->n_layers ? (ssize_t)a->layer : -1;
}

bool load_archive_at_layer_start(const struct load_archive *a)
{
	return a->layer < a->image->n_layers && a->left == entry_bytes(&a->image->layers[a->layer]);
}

bool load_archive_has_room(const struct load_archive *a)
{
	return room(a) >= LOAD_ARCHIVE_STAGED_BYTES / 2;
}

size_t load_archive_put(struct load_archive *a, const void *bytes, size_t len)
{
	if (a->layer >= a->image->n_layers)
		return 0;
	if ((uint64_t)a->left < len)
		len = (size_t)a->left;
	if (!a->repeated[a->layer]) {
		if (len > room(a))
			len = room(a);
		stage(a, bytes, len);
	}
	a->left -= (int64_t)len;
	if (!a->left)
		leave_layer(a);
	return len;
}

static void add_piece(struct load_archive *a, const void *bytes, size_t len, void *owned)
{
	assert(a->n_pieces < PIECES_MAX);
	a->pieces[a->n_pieces++] = (struct piece){ bytes, len, owned };
}

/* owned: freed with the archive; or NULL where the bytes are the image's. */
static int add_document(struct load_archive *a, const char *name, const void *bytes, size_t len, void *owned,
			struct err *err)
{
	uint8_t *header = xmalloc(TAR_BLOCK_BYTES);

	add_piece(a, header, TAR_BLOCK_BYTES, header);
	add_piece(a, bytes, len, owned);
	add_piece(a, zeros, tar_padding((int64_t)len), NULL);
	return tar_header(name, (int64_t)len, header, err);
}

static int add_text(struct load_archive *a, const char *name, char *text, struct err *err)
{
	return add_document(a, name, text, strlen(text), text, err);
}

static char *layer_name(const struct load_archive *a, size_t i)
{
	return a->fifos ? load_archive_fifo(a->fifos, i)
			: blob_name(LOAD_DOCKER_ARCHIVE, a->image->layers[i].digest, ".tar");
}

/* Docker image specification v1.2, "Combined Image JSON + Filesystem Changeset Format". */
static char *docker_manifest(const struct load_archive *a, const char *config_name)
{
	const struct store_image *image = a->image;
	CLEANUP(json_freep) struct json *list = json_new_array();
	struct json *entry = json_new_object();

	json_set_str(entry, "Config", config_name);
	json_set(entry, "RepoTags", json_new_array());
	if (image->name)
		json_add_str(json_ensure_array(entry, "RepoTags"), image->full_name);
	struct json *layers = json_ensure_array(entry, "Layers");
	for (size_t i = 0; i < image->n_layers; i++) {
		CLEANUP(freep) char *name = layer_name(a, i);
		json_add_str(layers, name);
	}
	json_add(list, entry);
	return json_print(list, false);
}

static int finish_docker(struct load_archive *a, struct err *err)
{
	const struct store_document *config = &a->image->config;
	CLEANUP(freep) char *name = blob_name(a->layout, config->digest, ".json");

	if (add_document(a, name, config->bytes, config->len, NULL, err) < 0)
		return -1;
	return add_text(a, "manifest.json", docker_manifest(a, name), err);
}

/*
 * What the name points at. The annotation is containerd's: REPOSITORY@DIGEST, as `docker pull` of a
 * digest names it. A tag is not in it: containerd would move it to the image before it has unpacked
 * a single layer.
 */
static char *layout_index(const struct store_image *image)
{
	CLEANUP(json_freep) struct json *index = json_new_object();
	struct json *top = json_new_object();

	json_set_int(index, "schemaVersion", 2);
	json_set_str(index, "mediaType", "application/vnd.oci.image.index.v1+json");
	json_set_str(top, "mediaType", image->top.media_type);
	json_set_str(top, "digest", image->top.digest);
	json_set_int(top, "size", (int64_t)image->top.len);
	if (!image->name)
		json_set_str(json_ensure_object(top, "annotations"), "io.containerd.image.name", image->full_name);
	json_add(json_ensure_array(index, "manifests"), top);
	return json_print(index, false);
}

static int add_blob(struct load_archive *a, const struct store_document *d, struct err *err)
{
	CLEANUP(freep) char *name = blob_name(a->layout, d->digest, "");

	return add_document(a, name, d->bytes, d->len, NULL, err);
}

static int finish_layout(struct load_archive *a, struct err *err)
{
	const struct store_image *image = a->image;

	if (add_blob(a, &image->config, err) < 0 || add_blob(a, &image->manifest, err) < 0)
		return -1;
	if (!streq(image->top.digest, image->manifest.digest) && add_blob(a, &image->top, err) < 0)
		return -1;
	if (add_text(a, "oci-layout", xstrdup("{\"imageLayoutVersion\":\"1.0.0\"}"), err) < 0)
		return -1;
	return add_text(a, "index.json", layout_index(image), err);
}

int load_archive_finish(struct load_archive *a, struct err *err)
{
	assert(a->layer == a->image->n_layers && !a->finished);
	if ((a->layout == LOAD_OCI_LAYOUT ? finish_layout(a, err) : finish_docker(a, err)) < 0)
		return -1;
	add_piece(a, zeros, TAR_END_BYTES, NULL);
	a->finished = true;
	return 0;
}

static size_t read_staged(struct load_archive *a, uint8_t *out, size_t max)
{
	size_t len = a->len < max ? a->len : max;
	size_t first = LOAD_ARCHIVE_STAGED_BYTES - a->head;

	if (!len)
		return 0;
	if (first > len)
		first = len;
	memcpy(out, a->staged + a->head, first);
	memcpy(out + first, a->staged, len - first);
	a->head = (a->head + len) % LOAD_ARCHIVE_STAGED_BYTES;
	a->len -= len;
	return len;
}

static size_t read_pieces(struct load_archive *a, uint8_t *out, size_t max)
{
	size_t done = 0;

	while (a->piece < a->n_pieces && done < max) {
		struct piece *p = &a->pieces[a->piece];
		size_t len = p->len < max - done ? p->len : max - done;
		memcpy(out + done, p->bytes, len);
		done += len;
		p->bytes += len;
		p->len -= len;
		if (!p->len)
			a->piece++;
	}
	return done;
}

size_t load_archive_read(struct load_archive *a, void *out, size_t max)
{
	size_t done = read_staged(a, out, max);

	if (!a->len && a->layer == a->image->n_layers) {
		/* Nothing is staged any more, and the end may be held back for long. */
		free(a->staged);
		a->staged = NULL;
	}
	if (a->finished)
		done += read_pieces(a, (uint8_t *)out + done, max - done);
	return done;
}

bool load_archive_at_end(const struct load_archive *a)
{
	return a->finished && !a->len && a->piece == a->n_pieces;
}
