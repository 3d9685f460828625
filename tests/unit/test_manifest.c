/* Manifests: what a document is, and what an image needs of it. */
#include "table.h"

#include "documents.h"
#include "oci/manifest.h"

#define V2		      "{\"schemaVersion\":2"
#define OCI_V2		      V2 TYPE(OCI_MANIFEST)
#define TYPE(type)	      ",\"mediaType\":\"" type "\""
#define CONFIG_OF(descriptor) ",\"config\":" descriptor
#define CONFIG(type)	      CONFIG_OF(DESC(type, DIGEST_A, 7))
#define LAYERS_OF(list)	      ",\"layers\":[" list "]"
#define NO_LAYERS	      LAYERS_OF("")
#define OCI_BODY	      CONFIG(OCI_CONFIG) LAYERS_OF(GZIP_LAYER)
#define DOCKER_BODY	      CONFIG(DOCKER_CONFIG) LAYERS_OF(DESC(DOCKER_LAYER, DIGEST_B, 32))
#define EMPTY_CONFIG	      "application/vnd.oci.empty.v1+json"
#define HELM_CONFIG	      "application/vnd.cncf.helm.config.v1+json"
#define WITH_LAYERS(list)     OCI_V2 CONFIG(OCI_CONFIG) LAYERS_OF(list) "}"

static void manifests_are_read(void **state)
{
	static const struct {
		const char *what, *text, *content_type, *media;
		size_t n_layers;
	} rows[] = {
		{ "OCI", OCI_V2 OCI_BODY "}", OCI_MANIFEST, OCI_MANIFEST, 1 },
		{ "Docker", V2 TYPE(DOCKER_MANIFEST) DOCKER_BODY "}", DOCKER_MANIFEST,
		  DOCKER_MANIFEST, 1 },
		{ "OCI without mediaType", V2 OCI_BODY "}", OCI_MANIFEST, OCI_MANIFEST, 1 },
		{ "mediaType null", V2 ",\"mediaType\":null" OCI_BODY "}", OCI_MANIFEST,
		  OCI_MANIFEST, 1 },
		{ "mediaType empty", V2 ",\"mediaType\":\"\"" OCI_BODY "}", OCI_MANIFEST,
		  OCI_MANIFEST, 1 },
		{ "Content-Type with parameters", V2 OCI_BODY "}", OCI_MANIFEST "; charset=utf-8",
		  OCI_MANIFEST, 1 },
		{ "no Content-Type", OCI_V2 OCI_BODY "}", NULL, OCI_MANIFEST, 1 },
		{ "Content-Type of no use", OCI_V2 OCI_BODY "}", "application/json", OCI_MANIFEST,
		  1 },
		{ "Docker layers in an OCI manifest", OCI_V2 DOCKER_BODY "}", NULL, OCI_MANIFEST,
		  1 },
		{ "no layers (FROM scratch)", WITH_LAYERS(""), NULL, OCI_MANIFEST, 0 },
		{ "layers null", OCI_V2 CONFIG(OCI_CONFIG) ",\"layers\":null}", NULL, OCI_MANIFEST,
		  0 },
		{ "the same layer twice, and zstd and plain ones",
		  WITH_LAYERS(GZIP_LAYER "," GZIP_LAYER "," ZSTD_LAYER "," PLAIN_LAYER), NULL,
		  OCI_MANIFEST, 4 },
		{ "annotations, subject, artifactType beside an image config",
		  OCI_V2 OCI_BODY ",\"annotations\":{\"a\":\"b\"},\"artifactType\":\"x/y\","
				  "\"subject\":" DESC(OCI_MANIFEST, DIGEST_A, 3) "}",
		  NULL, OCI_MANIFEST, 1 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		CLEANUP(manifest_free) struct manifest m = { 0 };
		struct err err = { 0 };

		if (!row_ok(rows[i].what,
			    manifest_parse(rows[i].text, strlen(rows[i].text), rows[i].content_type,
					   &m, &err),
			    &err))
			continue;
		row_str(rows[i].what, "media type", rows[i].media, m.media->name);
		row_int(rows[i].what, "layers", (int64_t)rows[i].n_layers, (int64_t)m.n_layers);
		row_str(rows[i].what, "config", DIGEST_A, m.config.digest.text);
		row_int(rows[i].what, "config's size", 7, m.config.size);
		if (m.n_layers) {
			row_str(rows[i].what, "layer", DIGEST_B, m.layers[0].digest.text);
			row_int(rows[i].what, "layer's size", 32, m.layers[0].size);
			row_int(rows[i].what, "compression", COMPRESSION_GZIP,
				m.layers[0].media->compression);
		}
	}
	table_end();
}

static void other_documents_are_refused(void **state)
{
	static const struct {
		const char *text, *content_type;
		enum err_kind kind;
		const char *why;
	} rows[] = {
		{ "", NULL, ERR_PROTOCOL, "manifest: not JSON: empty" },
		{ "{", NULL, ERR_PROTOCOL, "manifest: not JSON: it ends" },
		{ "[]", OCI_MANIFEST, ERR_PROTOCOL, "manifest: not an object" },
		{ "null", OCI_MANIFEST, ERR_PROTOCOL, "manifest: not an object" },
		{ "<html>", "text/html", ERR_PROTOCOL, "manifest: not JSON" },
		/* What it is. */
		{ "{}", OCI_MANIFEST, ERR_PROTOCOL, "schemaVersion: missing" },
		{ "{\"schemaVersion\":\"2\"}", OCI_MANIFEST, ERR_PROTOCOL,
		  "schemaVersion: not a number" },
		{ "{\"schemaVersion\":3}", OCI_MANIFEST, ERR_REFUSED,
		  "schemaVersion 3 is not supported" },
		{ V2 OCI_BODY "}", NULL, ERR_REFUSED, "neither a mediaType nor a Content-Type" },
		{ V2 OCI_BODY "}", "application/json", ERR_REFUSED,
		  "\"application/json\" is not supported" },
		{ V2 OCI_BODY "}", "", ERR_REFUSED, "media type \"\" is not supported" },
		{ V2 OCI_BODY "}", OCI_LAYER, ERR_REFUSED, "is neither a manifest nor an index" },
		{ V2 TYPE(OCI_LAYER) OCI_BODY "}", NULL, ERR_REFUSED,
		  "is neither a manifest nor an index" },
		{ OCI_V2 OCI_BODY "}", DOCKER_MANIFEST, ERR_REFUSED,
		  "its mediaType is \"" OCI_MANIFEST "\", but it was sent as \"" DOCKER_MANIFEST
		  "\"" },
		{ V2 TYPE(OCI_INDEX) ",\"manifests\":[]}", OCI_MANIFEST, ERR_REFUSED,
		  "but it was sent as" },
		{ V2 TYPE(OCI_INDEX) ",\"manifests\":[]}", NULL, ERR_REFUSED,
		  "came where a manifest was expected" },
		{ V2 ",\"mediaType\":7" OCI_BODY "}", OCI_MANIFEST, ERR_PROTOCOL,
		  "mediaType: not a string" },
		{ V2 TYPE("x/y") OCI_BODY "}", OCI_MANIFEST, ERR_REFUSED,
		  "\"x/y\" is not supported" },
		/* Two readings (CVE-2021-41190). */
		{ OCI_V2 OCI_BODY ",\"manifests\":[]}", NULL, ERR_REFUSED,
		  "a manifest with \"manifests\": it could be read in two ways" },
		{ V2 OCI_BODY ",\"manifests\":[]}", OCI_MANIFEST, ERR_REFUSED,
		  "a manifest with \"manifests\"" },
		{ V2 OCI_BODY ",\"manifests\":null}", OCI_MANIFEST, ERR_REFUSED,
		  "a manifest with \"manifests\"" },
		{ V2 OCI_BODY ",\"fsLayers\":[]}", OCI_MANIFEST, ERR_REFUSED,
		  "a manifest with \"fsLayers\"" },
		{ OCI_V2 OCI_BODY NO_LAYERS "}", NULL, ERR_PROTOCOL,
		  "name \"layers\" twice in one object" },
		/* Schema 1. */
		{ "{\"schemaVersion\":1,\"fsLayers\":[],\"history\":[]}", SCHEMA1, ERR_REFUSED,
		  "schema 1 images are not supported" },
		{ "{\"schemaVersion\":1}", OCI_MANIFEST, ERR_REFUSED, "schema 1 images" },
		{ "{\"schemaVersion\":1" TYPE(SCHEMA1) "}", NULL, ERR_REFUSED, "schema 1 images" },
		/* Artifacts. */
		{ OCI_V2 ",\"artifactType\":\"application/x\"" CONFIG(EMPTY_CONFIG) NO_LAYERS "}",
		  NULL, ERR_REFUSED, "an artifact of type \"application/x\" is not an image" },
		{ OCI_V2 CONFIG(HELM_CONFIG) NO_LAYERS "}", NULL, ERR_REFUSED,
		  "manifest: config: media type \"" HELM_CONFIG
		  "\": a Helm chart is not an image" },
		{ OCI_V2 CONFIG("application/x") NO_LAYERS "}", NULL, ERR_REFUSED,
		  "config: media type \"application/x\" is not supported" },
		{ V2 TYPE("application/vnd.oci.artifact.manifest.v1+json") ",\"blobs\":[]}", NULL,
		  ERR_REFUSED, "an artifact is not an image" },
		/* Members. */
		{ OCI_V2 "}", NULL, ERR_PROTOCOL, "config: missing" },
		{ OCI_V2 ",\"config\":[]}", NULL, ERR_PROTOCOL, "config: not an object" },
		{ OCI_V2 CONFIG(OCI_CONFIG) "}", NULL, ERR_PROTOCOL, "layers: missing" },
		{ OCI_V2 CONFIG(OCI_CONFIG) ",\"layers\":{}}", NULL, ERR_PROTOCOL,
		  "layers: not an array" },
		{ WITH_LAYERS("null"), NULL, ERR_PROTOCOL, "layers[0]: not an object" },
		{ WITH_LAYERS(GZIP_LAYER "," DESC(OCI_LAYER, DIGEST_B, -1)), NULL, ERR_PROTOCOL,
		  "manifest: layers[1]: size: -1 is not between 0 and 68719476736" },
		{ WITH_LAYERS(DESC(OCI_LAYER, DIGEST_B, 68719476737)), NULL, ERR_PROTOCOL,
		  "layers[0]: size: 68719476737 is not between" },
		{ WITH_LAYERS(DESC(OCI_LAYER, DIGEST_B, 1e400)), NULL, ERR_PROTOCOL,
		  "number too large or too small" },
		{ WITH_LAYERS(DESC(OCI_LAYER "+encrypted", DIGEST_B, 1)), NULL, ERR_REFUSED,
		  "layers[0]: media type \"" OCI_LAYER "+encrypted\": encrypted layers" },
		{ WITH_LAYERS(DESC(OCI_LAYER, "sha512:00", 1)), NULL, ERR_REFUSED,
		  "layers[0]: digest algorithm \"sha512\" is not supported" },
		{ WITH_LAYERS(DESC(OCI_LAYER, DIGEST_B "\\u0000", 1)), NULL, ERR_PROTOCOL,
		  "NUL in a string" },
		{ OCI_V2 CONFIG_OF(DESC(OCI_CONFIG, DIGEST_A, 8388609)) NO_LAYERS "}", NULL,
		  ERR_PROTOCOL, "config: size: 8388609 is not between 0 and 8388608" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct manifest m = { .n_layers = 4711 };
		struct err err = { 0 };

		row_refused(rows[i].text,
			    manifest_parse(rows[i].text, strlen(rows[i].text), rows[i].content_type,
					   &m, &err),
			    rows[i].kind, rows[i].why, &err);
		row_int(rows[i].text, "out is untouched", 4711, (int64_t)m.n_layers);
	}
	table_end();
}

static int parse_with_layers(size_t n, size_t padding, struct manifest *m, struct err *err)
{
	struct buf text = BUF_INIT(8 * MIB);
	int ok = buf_printf(&text, err, "%s", OCI_V2 CONFIG(OCI_CONFIG) ",\"layers\":[");

	for (size_t i = 0; i < n && ok == 0; i++)
		ok = buf_printf(&text, err, "%s%s", i ? "," : "", GZIP_LAYER);
	if (ok == 0)
		ok = buf_printf(&text, err, "]%*s}", (int)padding, "");
	assert_int_equal(ok, 0);
	ok = manifest_parse(text.data, text.len, NULL, m, err);
	buf_free(&text);
	return ok;
}

static void manifests_have_limits(void **state)
{
	CLEANUP(manifest_free) struct manifest m = { 0 };
	struct err err = { 0 };

	(void)state;
	row_refused("513 layers", parse_with_layers(513, 0, &m, &err), ERR_LIMIT,
		    "layers: 513 entries; at most 512 are read", &err);
	row_refused("4 MiB and more", parse_with_layers(1, 4 * MIB, &m, &err), ERR_LIMIT,
		    "at most 4194304 are read", &err);
	if (row_ok("512 layers", parse_with_layers(512, 0, &m, &err), &err))
		row_int("512 layers", "layers", 512, (int64_t)m.n_layers);
	table_end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(manifests_are_read),
		cmocka_unit_test(other_documents_are_refused),
		cmocka_unit_test(manifests_have_limits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
