/* The archive for POST /images/load: what is in it, in which order, and what is not there before the end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/tar.h"
#include "engine/load_archive.h"

#define HEX(c) c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c \
	c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c
#define A HEX("a")
#define B HEX("b")
#define C HEX("c")
#define CONFIG HEX("1")
#define MANIFEST HEX("2")
#define INDEX HEX("3")
#define LARGE_BYTES (3 * MIB + 77)

#define LAYER(hex, size) { .digest = "sha256:" hex, .diff_id = "sha256:" hex, .size_bytes = size }
#define DOCUMENT(hex, text) \
	{ .media_type = "application/x." text, .digest = "sha256:" hex, .bytes = text, .len = sizeof(text) - 1 }

static const struct store_layer layers[] = { LAYER(A, 5), LAYER(B, LARGE_BYTES), LAYER(A, 5), LAYER(C, 512) };
static const struct store_image image = {
	.name = "debian:12",
	.full_name = "docker.io/library/debian:12",
	.top = DOCUMENT(INDEX, "index"),
	.manifest = DOCUMENT(MANIFEST, "manifest"),
	.config = DOCUMENT(CONFIG, "config"),
	.layers = layers,
	.n_layers = ARRAY_LEN(layers),
};

struct made {
	struct buf tar;
	size_t bytes_before_finish;
};

static uint8_t byte_of(size_t layer, int64_t at)
{
	return (uint8_t)(at * 31 + at / 997 + (int64_t)layer);
}

static void read_some(struct load_archive *a, struct buf *tar, size_t max)
{
	CLEANUP(freep) uint8_t *out = xmalloc(max);
	struct err err;
	size_t n = load_archive_read(a, out, max);

	assert_in_range(n, 0, max);
	assert_int_equal(buf_append(tar, out, n, &err), 0);
}

/* The same blob has the same bytes, whichever layer it is. */
static size_t content_of(const struct store_image *img, size_t layer)
{
	for (size_t i = 0; i < layer; i++)
		if (streq(img->layers[i].digest, img->layers[layer].digest))
			return i;
	return layer;
}

static uint8_t *bytes_of(const struct store_image *img, size_t layer)
{
	size_t len = (size_t)img->layers[layer].size_bytes;
	uint8_t *bytes = xmalloc(len);

	for (size_t i = 0; i < len; i++)
		bytes[i] = byte_of(content_of(img, layer), (int64_t)i);
	return bytes;
}

/* put: bytes offered at once; get: bytes asked for at once. */
static void make(enum load_layout layout, const struct store_image *img, const bool *skip, size_t put, size_t get,
		 struct made *out)
{
	CLEANUP(freep) uint8_t *bytes = NULL;
	struct load_archive *a;
	size_t given = 0;
	struct err err;
	ssize_t at, of = -1; /* the layer that comes next; the one that has these bytes */

	out->tar = BUF_INIT(16 * MIB);
	assert_int_equal(load_archive_new(layout, img, skip, &a, &err), 0);
	while ((at = load_archive_wants(a)) >= 0) {
		if (at != of) {
			free(bytes);
			bytes = bytes_of(img, (size_t)at);
			given = 0;
			of = at;
		}
		size_t left = (size_t)img->layers[at].size_bytes - given, len = left < put ? left : put;
		size_t taken = load_archive_put(a, bytes + given, len);
		given += taken;
		if (taken < len)
			read_some(a, &out->tar, get);
	}
	while (!load_archive_has_room(a))
		read_some(a, &out->tar, get);
	for (size_t before = ~(size_t)0; before != out->tar.len;) {
		before = out->tar.len;
		read_some(a, &out->tar, get);
	}
	assert_false(load_archive_at_end(a));
	out->bytes_before_finish = out->tar.len;
	assert_int_equal(load_archive_finish(a, &err), 0);
	while (!load_archive_at_end(a))
		read_some(a, &out->tar, get);
	load_archive_free(a);
}

/* "name size\n" of each entry; the archive must be whole. */
static char *listing(const struct buf *tar)
{
	struct buf text = BUF_INIT(64 * KIB);
	static const char zero[TAR_END_BYTES];
	struct err err;
	size_t at = 0;

	assert_int_equal(tar->len % TAR_BLOCK_BYTES, 0);
	while (tar->data[at]) {
		unsigned long long size;
		assert_int_equal(sscanf(tar->data + at + 124, "%llo", &size), 1);
		assert_int_equal(buf_printf(&text, &err, "%.100s %llu\n", tar->data + at, size), 0);
		at += TAR_BLOCK_BYTES + size + tar_padding((int64_t)size);
		assert_true(at < tar->len);
	}
	assert_int_equal(tar->len - at, TAR_END_BYTES);
	assert_memory_equal(tar->data + at, zero, TAR_END_BYTES);
	return text.data;
}

/* The entry's bytes. */
static const char *entry(const struct buf *tar, const char *name, size_t *len)
{
	for (size_t at = 0; tar->data[at];) {
		unsigned long long size;
		assert_int_equal(sscanf(tar->data + at + 124, "%llo", &size), 1);
		*len = size;
		if (!strncmp(tar->data + at, name, 100))
			return tar->data + at + TAR_BLOCK_BYTES;
		at += TAR_BLOCK_BYTES + size + tar_padding((int64_t)size);
	}
	fail_msg("no entry %s", name);
	return NULL;
}

static void assert_entry(const struct buf *tar, const char *name, const char *want)
{
	size_t len;
	const char *bytes = entry(tar, name, &len);
	CLEANUP(freep) char *got = xstrndup(bytes, len);

	assert_string_equal(got, want);
}

static void test_docker_archive(void **state)
{
	struct made m;

	(void)state;
	make(LOAD_DOCKER_ARCHIVE, &image, NULL, 64 * KIB, 64 * KIB, &m);
	CLEANUP(freep) char *list = listing(&m.tar);
	assert_string_equal(list, A ".tar 5\n" B ".tar 3145805\n" C ".tar 512\n" CONFIG ".json 6\nmanifest.json 422\n");
	assert_entry(&m.tar, CONFIG ".json", "config");
	assert_entry(&m.tar, "manifest.json",
		     "[{\"Config\":\"" CONFIG ".json\",\"RepoTags\":[\"docker.io/library/debian:12\"],\"Layers\":[\"" A
		     ".tar\",\"" B ".tar\",\"" A ".tar\",\"" C ".tar\"]}]");
	buf_free(&m.tar);
}

static void test_oci_layout(void **state)
{
	struct made m;

	(void)state;
	make(LOAD_OCI_LAYOUT, &image, NULL, 64 * KIB, 64 * KIB, &m);
	CLEANUP(freep) char *list = listing(&m.tar);
	assert_string_equal(list, "blobs/sha256/" A " 5\nblobs/sha256/" B " 3145805\nblobs/sha256/" C " 512\n"
				  "blobs/sha256/" CONFIG " 6\nblobs/sha256/" MANIFEST " 8\nblobs/sha256/" INDEX " 5\n"
				  "oci-layout 30\nindex.json 215\n");
	assert_entry(&m.tar, "oci-layout", "{\"imageLayoutVersion\":\"1.0.0\"}");
	assert_entry(&m.tar, "index.json",
		     "{\"schemaVersion\":2,\"mediaType\":\"application/vnd.oci.image.index.v1+json\",\"manifests\":[{"
		     "\"mediaType\":\"application/x.index\",\"digest\":\"sha256:" INDEX "\",\"size\":5}]}");
	buf_free(&m.tar);
}

static void test_bytes_arrive_as_they_were_put(void **state)
{
	static const size_t sizes[] = { 1, 511, 4096, 65536, 2 * 1024 * 1024 };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		for (size_t k = 1; k < ARRAY_LEN(sizes); k++) {
			struct made m;
			size_t len;
			make(LOAD_DOCKER_ARCHIVE, &image, NULL, sizes[i], sizes[k], &m);
			const char *bytes = entry(&m.tar, B ".tar", &len);
			assert_int_equal(len, LARGE_BYTES);
			for (size_t at = 0; at < len; at++)
				if ((uint8_t)bytes[at] != byte_of(1, (int64_t)at))
					fail_msg("put %zu, get %zu: byte %zu differs", sizes[i], sizes[k], at);
			buf_free(&m.tar);
		}
	}
}

static void test_nothing_names_an_image_before_the_end(void **state)
{
	static const char *const names[] = { CONFIG, "manifest.json", "index.json", "oci-layout" };

	(void)state;
	for (int layout = LOAD_DOCKER_ARCHIVE; layout <= LOAD_OCI_LAYOUT; layout++) {
		struct made m;
		make((enum load_layout)layout, &image, NULL, 4096, 4096, &m);
		for (size_t i = 0; i < ARRAY_LEN(names); i++)
			assert_null(memmem(m.tar.data, m.bytes_before_finish, names[i], strlen(names[i])));
		buf_free(&m.tar);
	}
}

/* A repetition of a skipped layer is not a repetition: the first one sent carries the bytes. */
static void test_skipped_layers_are_named_and_left_out(void **state)
{
	static const bool skip[] = { true, true, false, false };
	struct made m;

	(void)state;
	make(LOAD_DOCKER_ARCHIVE, &image, skip, 4096, 4096, &m);
	CLEANUP(freep) char *list = listing(&m.tar);
	assert_string_equal(list, A ".tar 5\n" C ".tar 512\n" CONFIG ".json 6\nmanifest.json 422\n");
	buf_free(&m.tar);
}

/* "name type\n" of each header of an archive whose entries have no bytes, up to `end`. */
static char *types(const struct buf *tar, size_t end)
{
	struct buf text = BUF_INIT(64 * KIB);
	struct err err;

	for (size_t at = 0; at < end; at += TAR_BLOCK_BYTES)
		assert_int_equal(buf_printf(&text, &err, "%.100s %c\n", tar->data + at, tar->data[at + 156]), 0);
	return text.data;
}

/* A layer that comes twice has two: each is opened for itself. */
static void test_fifos_come_before_what_names_them(void **state)
{
	static const bool skip[] = { false, true, false, false };
	struct buf tar = BUF_INIT(64 * KIB);
	struct load_archive *a;
	struct err err;

	(void)state;
	assert_int_equal(load_archive_new_fifos(&image, skip, "me", &a, &err), 0);
	assert_int_equal(load_archive_wants(a), -1);
	read_some(a, &tar, 4096);
	assert_false(load_archive_at_end(a));
	assert_int_equal(tar.len, 3 * TAR_BLOCK_BYTES);
	CLEANUP(freep) char *before = types(&tar, tar.len);
	assert_string_equal(before, "me.0 6\nme.2 6\nme.3 6\n");
	assert_int_equal(load_archive_finish(a, &err), 0);
	while (!load_archive_at_end(a))
		read_some(a, &tar, 4096);
	CLEANUP(freep) char *list = listing(&tar);
	assert_non_null(strstr(list, "me.3 0\n" CONFIG ".json 6\nmanifest.json "));
	assert_entry(&tar, "manifest.json",
		     "[{\"Config\":\"" CONFIG ".json\",\"RepoTags\":[\"docker.io/library/debian:12\"],\"Layers\":["
		     "\"me.0\",\"me.1\",\"me.2\",\"me.3\"]}]");
	load_archive_free(a);
	buf_free(&tar);
}

static void test_all_layers_skipped(void **state)
{
	static const bool skip[] = { true, true, true, true };
	struct made m;

	(void)state;
	make(LOAD_DOCKER_ARCHIVE, &image, skip, 4096, 4096, &m);
	CLEANUP(freep) char *list = listing(&m.tar);
	assert_string_equal(list, CONFIG ".json 6\nmanifest.json 422\n");
	buf_free(&m.tar);
}

static void test_by_digest_only_there_is_no_tag(void **state)
{
	struct store_image plain = image;
	struct made m;

	(void)state;
	plain.name = NULL;
	plain.full_name = "docker.io/library/debian@sha256:" MANIFEST;
	plain.top = plain.manifest;
	make(LOAD_DOCKER_ARCHIVE, &plain, NULL, 4096, 4096, &m);
	size_t len;
	const char *bytes = entry(&m.tar, "manifest.json", &len);
	assert_non_null(memmem(bytes, len, "\"RepoTags\":[]", 13));
	buf_free(&m.tar);

	make(LOAD_OCI_LAYOUT, &plain, NULL, 4096, 4096, &m);
	bytes = entry(&m.tar, "index.json", &len);
	assert_non_null(memmem(bytes, len, "\"docker.io/library/debian@sha256:222", 36));
	assert_null(memmem(bytes, len, "ref.name", 8));
	CLEANUP(freep) char *list = listing(&m.tar);
	assert_null(strstr(list, INDEX));
	buf_free(&m.tar);
}

static void test_many_empty_layers(void **state)
{
	enum { N = 500 };
	struct store_layer *many = xcalloc(N + 1, sizeof *many);
	struct store_image img = image;
	struct load_archive *a;
	struct err err;
	struct made m;

	(void)state;
	for (size_t i = 0; i <= N; i++)
		(void)snprintf(many[i].digest, sizeof many[i].digest, "sha256:%064zu", i);
	many[0].size_bytes = LARGE_BYTES;
	img.layers = many;
	img.n_layers = N;
	make(LOAD_DOCKER_ARCHIVE, &img, NULL, 65536, 4096, &m);
	CLEANUP(freep) char *list = listing(&m.tar);
	size_t lines = 0;
	for (const char *p = list; *p; p++)
		lines += *p == '\n';
	assert_int_equal(lines, N + 2);
	buf_free(&m.tar);

	img.n_layers = N + 1;
	assert_int_equal(load_archive_new(LOAD_DOCKER_ARCHIVE, &img, NULL, &a, &err), -1);
	assert_int_equal(err.kind, ERR_LIMIT);
	free(many);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_docker_archive),
		cmocka_unit_test(test_oci_layout),
		cmocka_unit_test(test_bytes_arrive_as_they_were_put),
		cmocka_unit_test(test_nothing_names_an_image_before_the_end),
		cmocka_unit_test(test_skipped_layers_are_named_and_left_out),
		cmocka_unit_test(test_fifos_come_before_what_names_them),
		cmocka_unit_test(test_all_layers_skipped),
		cmocka_unit_test(test_by_digest_only_there_is_no_tag),
		cmocka_unit_test(test_many_empty_layers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
