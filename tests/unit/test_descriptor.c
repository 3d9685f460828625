/* Content descriptors: media types, sizes, digests, and the kinds that are refused by name. */
#include "table.h"

#include "oci/descriptor.h"

#define ABC	"sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
#define D	",\"digest\":\"" ABC "\""
#define T(type) "{\"mediaType\":\"" type "\""
#define OCI	"application/vnd.oci.image."
#define DOCKER	"application/vnd.docker."
#define LAYER	T(OCI "layer.v1.tar+gzip")

static void media_types_are_known(void **state)
{
	static const struct {
		const char *name;
		enum media_kind kind; /* MEDIA_UNKNOWN: not found */
		enum compression compression;
		bool docker;
	} rows[] = {
		{ OCI "index.v1+json", MEDIA_INDEX, COMPRESSION_NONE, false },
		{ OCI "manifest.v1+json", MEDIA_MANIFEST, COMPRESSION_NONE, false },
		{ OCI "config.v1+json", MEDIA_CONFIG, COMPRESSION_NONE, false },
		{ OCI "layer.v1.tar", MEDIA_LAYER, COMPRESSION_NONE, false },
		{ OCI "layer.v1.tar+gzip", MEDIA_LAYER, COMPRESSION_GZIP, false },
		{ OCI "layer.v1.tar+zstd", MEDIA_LAYER, COMPRESSION_ZSTD, false },
		{ DOCKER "distribution.manifest.list.v2+json", MEDIA_INDEX, COMPRESSION_NONE,
		  true },
		{ DOCKER "distribution.manifest.v2+json", MEDIA_MANIFEST, COMPRESSION_NONE, true },
		{ DOCKER "container.image.v1+json", MEDIA_CONFIG, COMPRESSION_NONE, true },
		{ DOCKER "image.rootfs.diff.tar.gzip", MEDIA_LAYER, COMPRESSION_GZIP, true },
		{ DOCKER "image.rootfs.diff.tar", MEDIA_LAYER, COMPRESSION_NONE, true },
		/* Parameters of a Content-Type. */
		{ OCI "index.v1+json; charset=utf-8", MEDIA_INDEX, COMPRESSION_NONE, false },
		{ OCI "index.v1+json \t;charset=utf-8", MEDIA_INDEX, COMPRESSION_NONE, false },
		{ OCI "index.v1+json ", MEDIA_INDEX, COMPRESSION_NONE, false },
		/* None of ours. */
		{ "", MEDIA_UNKNOWN, COMPRESSION_NONE, false },
		{ ";", MEDIA_UNKNOWN, COMPRESSION_NONE, false },
		{ "application/json", MEDIA_UNKNOWN, COMPRESSION_NONE, false },
		{ OCI "index.v1", MEDIA_UNKNOWN, COMPRESSION_NONE, false },
		{ OCI "index.v1+jsonx", MEDIA_UNKNOWN, COMPRESSION_NONE, false },
		{ OCI "INDEX.v1+json", MEDIA_UNKNOWN, COMPRESSION_NONE, false },
		{ OCI "layer.v1.tar+gzip+encrypted", MEDIA_UNKNOWN, COMPRESSION_NONE, false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const struct media_type *m = media_type_find(rows[i].name, strlen(rows[i].name));

		row_int(rows[i].name, "kind", rows[i].kind, m ? m->kind : MEDIA_UNKNOWN);
		row_int(rows[i].name, "compression", rows[i].compression,
			m ? m->compression : COMPRESSION_NONE);
		row_int(rows[i].name, "docker", rows[i].docker, m && m->docker);
	}
	table_end();
}

static void descriptors_are_read(void **state)
{
	static const struct {
		const char *text;
		enum media_kind expected;
		int64_t size;
	} rows[] = {
		{ LAYER D ",\"size\":0}", MEDIA_LAYER, 0 },
		{ LAYER D ",\"size\":1000}", MEDIA_LAYER, 1000 },
		{ LAYER D ",\"size\":1,\"urls\":[]}", MEDIA_LAYER, 1 },
		{ LAYER D ",\"size\":1,\"urls\":null}", MEDIA_LAYER, 1 },
		{ LAYER D ",\"size\":1,\"annotations\":{\"a\":\"b\"},\"data\":\"\"}", MEDIA_LAYER,
		  1 },
		{ T(OCI "config.v1+json") D ",\"size\":2,\"urls\":[\"https://x/\"]}", MEDIA_CONFIG,
		  2 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		CLEANUP(json_freep) struct json *v = NULL;
		struct descriptor d = { 0 };
		struct err err = { 0 };
		const char *text = rows[i].text;

		assert_int_equal(json_parse(text, strlen(text), &json_default_limits, &v, &err), 0);
		if (!row_ok(text, descriptor_parse(v, rows[i].expected, 1000, &d, &err), &err))
			continue;
		row_int(text, "size", rows[i].size, d.size);
		row_int(text, "kind", rows[i].expected, d.media->kind);
		row_str(text, "digest", ABC, d.digest.text);
	}
	table_end();
}

static void other_descriptors_are_refused(void **state)
{
	static const struct {
		const char *text;
		enum err_kind kind;
		const char *why;
	} rows[] = {
		{ "[]", ERR_PROTOCOL, "not an object" },
		{ "\"" ABC "\"", ERR_PROTOCOL, "not an object" },
		{ "{}", ERR_PROTOCOL, "mediaType: missing" },
		{ "{\"mediaType\":null}", ERR_PROTOCOL, "mediaType: missing" },
		{ "{\"mediaType\":1}", ERR_PROTOCOL, "mediaType: not a string" },
		{ T("") "}", ERR_REFUSED, "media type \"\" is not supported" },
		{ T("text/plain") "}", ERR_REFUSED, "media type \"text/plain\" is not supported" },
		{ T(OCI "layer.v1.tar+gzip+encrypted") "}", ERR_REFUSED, "encrypted layers" },
		{ T(OCI "layer.nondistributable.v1.tar+gzip") "}", ERR_REFUSED, "foreign" },
		{ T(DOCKER "image.rootfs.foreign.diff.tar.gzip") "}", ERR_REFUSED,
		  "foreign layers" },
		{ T(DOCKER "distribution.manifest.v1+prettyjws") "}", ERR_REFUSED,
		  "schema 1 images" },
		{ T(DOCKER "distribution.manifest.v1+json") "}", ERR_REFUSED, "schema 1 images" },
		{ T(DOCKER "plugin.v1+json") "}", ERR_REFUSED, "a Docker plugin is not an image" },
		{ T("application/vnd.cncf.helm.config.v1+json") "}", ERR_REFUSED, "a Helm chart" },
		{ T("application/vnd.oci.empty.v1+json") "}", ERR_REFUSED,
		  "an artifact is not an image" },
		{ T(OCI "config.v1+json") D ",\"size\":1}", ERR_REFUSED,
		  "is an image config, not a layer" },
		{ T(OCI "index.v1+json") D ",\"size\":1}", ERR_REFUSED,
		  "is an index, not a layer" },
		/* Sizes. */
		{ LAYER D "}", ERR_PROTOCOL, "size: missing" },
		{ LAYER D ",\"size\":null}", ERR_PROTOCOL, "size: missing" },
		{ LAYER D ",\"size\":-1}", ERR_PROTOCOL, "size: -1 is not between 0 and 1000" },
		{ LAYER D ",\"size\":1001}", ERR_PROTOCOL, "size: 1001 is not between 0 and 1000" },
		{ LAYER D ",\"size\":1.5}", ERR_PROTOCOL, "size: 1.5 is not a whole number" },
		{ LAYER D ",\"size\":9007199254740993}", ERR_PROTOCOL, "too large" },
		{ LAYER D ",\"size\":1e300}", ERR_PROTOCOL, "too large" },
		{ LAYER D ",\"size\":\"12\"}", ERR_PROTOCOL, "size: not a number" },
		{ LAYER D ",\"size\":[12]}", ERR_PROTOCOL, "size: not a number" },
		{ LAYER D ",\"Size\":12}", ERR_PROTOCOL, "size: missing" },
		/* Digests; those of other shapes are test_digest.c's. */
		{ LAYER ",\"size\":1}", ERR_PROTOCOL, "digest: missing" },
		{ LAYER ",\"size\":1,\"digest\":7}", ERR_PROTOCOL, "digest: not a string" },
		{ LAYER ",\"size\":1,\"digest\":\"\"}", ERR_REFUSED, "is not sha256:" },
		{ LAYER ",\"size\":1,\"digest\":\"sha256:../..\"}", ERR_REFUSED,
		  "not a hex digit" },
		/* Foreign layers. */
		{ LAYER D ",\"size\":1,\"urls\":[\"https://x/\"]}", ERR_REFUSED, "foreign layers" },
		{ LAYER D ",\"size\":1,\"urls\":\"https://x/\"}", ERR_PROTOCOL,
		  "urls: not an array" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		CLEANUP(json_freep) struct json *v = NULL;
		struct descriptor d = { .size = -7 };
		struct err err = { 0 };
		const char *text = rows[i].text;

		assert_int_equal(json_parse(text, strlen(text), &json_default_limits, &v, &err), 0);
		row_refused(text, descriptor_parse(v, MEDIA_LAYER, 1000, &d, &err), rows[i].kind,
			    rows[i].why, &err);
		row_int(text, "out is untouched", -7, d.size);
	}
	table_end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(media_types_are_known),
		cmocka_unit_test(descriptors_are_read),
		cmocka_unit_test(other_descriptors_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
