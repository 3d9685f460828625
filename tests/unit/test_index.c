/* Indexes: what they list, and which of it this machine runs. */
#include "table.h"

#include "documents.h"
#include "oci/manifest.h"

#define HEAD "{\"schemaVersion\":2,\"mediaType\":\"" OCI_INDEX "\",\"manifests\":["
#define TAIL "]}"
#define PLATFORM(os, arch, variant) \
	",\"platform\":{\"os\":\"" os "\",\"architecture\":\"" arch "\",\"variant\":\"" variant \
	"\"}"
#define ENTRY(digest, os, arch, variant) \
	DESC_AND(OCI_MANIFEST, digest, 100, PLATFORM(os, arch, variant))
#define BARE(digest) DESC(OCI_MANIFEST, digest, 100)
/* As BuildKit writes them: platform unknown/unknown, and an annotation. */
#define ATTESTATION(digest) ANNOTATED(digest, "unknown", "unknown")
#define ANNOTATED(digest, os, arch) \
	DESC_AND(OCI_MANIFEST, digest, 100, PLATFORM(os, arch, "") ANNOTATION)
#define ANNOTATION ",\"annotations\":{\"vnd.docker.reference.type\":\"attestation-manifest\"}"
#define HELM	   DESC("application/vnd.cncf.helm.config.v1+json", DIGEST_A, 100)

#define AMD64(digest) ENTRY(digest, "linux", "amd64", "")
#define ARM64(digest) ENTRY(digest, "linux", "arm64", "")

static void the_best_entry_is_chosen(void **state)
{
	static const struct {
		const char *what, *entries;
		struct platform host;
		const char *digest;
	} rows[] = {
		{ "the one that fits",
		  AMD64(DIGEST_A) "," ARM64(DIGEST_B),
		  { "linux", "arm64", "" },
		  DIGEST_B },
		{ "arm64 is arm64/v8",
		  ENTRY(DIGEST_A, "linux", "arm64", "v8"),
		  { "linux", "arm64", "" },
		  DIGEST_A },
		{ "first among equals",
		  ENTRY(DIGEST_A, "linux", "arm64", "v8") "," ARM64(DIGEST_B),
		  { "linux", "arm64", "" },
		  DIGEST_A },
		{ "arm/v7 before v6 and v5",
		  ENTRY(DIGEST_B, "linux", "arm", "v5") "," ENTRY(
			  DIGEST_B, "linux", "arm", "v6") "," ENTRY(DIGEST_A, "linux", "arm", "v7"),
		  { "linux", "arm", "v7" },
		  DIGEST_A },
		{ "amd64 before 386",
		  ENTRY(DIGEST_B, "linux", "386", "") "," AMD64(DIGEST_A),
		  { "linux", "amd64", "" },
		  DIGEST_A },
		{ "386 where there is no amd64",
		  ENTRY(DIGEST_A, "linux", "386", ""),
		  { "linux", "amd64", "" },
		  DIGEST_A },
		{ "amd64 and not amd64/v2 on a plain machine",
		  ENTRY(DIGEST_B, "linux", "amd64", "v2") "," AMD64(DIGEST_A),
		  { "linux", "amd64", "" },
		  DIGEST_A },
		{ "attestations are passed over",
		  ATTESTATION(DIGEST_B) "," AMD64(DIGEST_A),
		  { "linux", "amd64", "" },
		  DIGEST_A },
		{ "also with a platform that fits",
		  ANNOTATED(DIGEST_B, "linux", "amd64") "," AMD64(DIGEST_A),
		  { "linux", "amd64", "" },
		  DIGEST_A },
		{ "also without the annotation",
		  ENTRY(DIGEST_B, "unknown", "unknown", "") "," BARE(DIGEST_A),
		  { "linux", "amd64", "" },
		  DIGEST_A },
		{ "the only image has no platform",
		  BARE(DIGEST_A),
		  { "linux", "amd64", "" },
		  DIGEST_A },
		{ "the only image beside an attestation",
		  BARE(DIGEST_A) "," ATTESTATION(DIGEST_B),
		  { "linux", "amd64", "" },
		  DIGEST_A },
		{ "an empty platform is none",
		  ENTRY(DIGEST_A, "", "", ""),
		  { "linux", "amd64", "" },
		  DIGEST_A },
		{ "platform null",
		  DESC_AND(OCI_MANIFEST, DIGEST_A, 1, ",\"platform\":null"),
		  { "linux", "amd64", "" },
		  DIGEST_A },
		{ "one that fits before one without a platform",
		  BARE(DIGEST_B) "," AMD64(DIGEST_A),
		  { "linux", "amd64", "" },
		  DIGEST_A },
		{ "entries of unknown types are passed over",
		  HELM "," AMD64(DIGEST_B),
		  { "linux", "amd64", "" },
		  DIGEST_B },
		{ "an index in an index",
		  DESC_AND(OCI_INDEX, DIGEST_A, 9, PLATFORM("linux", "amd64", "")),
		  { "linux", "amd64", "" },
		  DIGEST_A },
		{ "os.version and features beside it",
		  DESC_AND(DOCKER_MANIFEST, DIGEST_A, 9,
			   ",\"platform\":{\"os\":\"linux\",\"architecture\":\"amd64\","
			   "\"os.version\":\"1\",\"os.features\":[],\"features\":[\"sse4\"]}"),
		  { "linux", "amd64", "" },
		  DIGEST_A },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		CLEANUP(index_free) struct index x = { 0 };
		CLEANUP(freep) char *text = xasprintf(HEAD "%s" TAIL, rows[i].entries);
		const struct index_entry *e = NULL;
		struct err err = { 0 };

		if (row_ok(rows[i].what, index_parse(text, strlen(text), NULL, &x, &err), &err) &&
		    row_ok(rows[i].what, index_choose(&x, &rows[i].host, &e, &err), &err))
			row_str(rows[i].what, "chosen", rows[i].digest, e->descriptor.digest.text);
	}
	table_end();
}

static void no_entry_fits(void **state)
{
	static const struct {
		const char *entries, *why;
	} rows[] = {
		{ "", "index: no image for linux/amd64; it has none at all" },
		{ ATTESTATION(DIGEST_A), "it has none at all" },
		{ HELM, "it has none at all" },
		{ ENTRY(DIGEST_A, "linux", "arm64", "v8") "," ENTRY(DIGEST_B, "windows", "amd64",
								    ""),
		  "index: no image for linux/amd64; it has linux/arm64/v8, windows/amd64" },
		{ ENTRY(DIGEST_A, "linux", "amd64", "v2"), "it has linux/amd64/v2" },
		{ BARE(DIGEST_A) "," BARE(DIGEST_B), "it has no platform, no platform" },
		{ BARE(DIGEST_A) "," ENTRY(DIGEST_B, "linux", "arm64", ""),
		  "it has no platform, linux/arm64" },
		{ ENTRY(DIGEST_A, "linux\\u001b[2J", "arm64", ""), "it has linux?[2J/arm64" },
	};
	const struct platform host = { "linux", "amd64", "" };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		CLEANUP(index_free) struct index x = { 0 };
		CLEANUP(freep) char *text = xasprintf(HEAD "%s" TAIL, rows[i].entries);
		const struct index_entry *e = NULL;
		struct err err = { 0 };

		if (!row_ok(rows[i].why, index_parse(text, strlen(text), NULL, &x, &err), &err))
			continue;
		row_refused(rows[i].why, index_choose(&x, &host, &e, &err), ERR_REFUSED,
			    rows[i].why, &err);
		row_int(rows[i].why, "out is untouched", 1, e == NULL);
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
		{ "{\"schemaVersion\":2,\"manifests\":[]}", NULL, ERR_REFUSED,
		  "index: neither a mediaType" },
		{ HEAD TAIL, DOCKER_LIST, ERR_REFUSED, "but it was sent as \"" DOCKER_LIST "\"" },
		{ "{\"schemaVersion\":2,\"manifests\":[],\"layers\":[]}", OCI_INDEX, ERR_REFUSED,
		  "an index with \"layers\": it could be read in two ways" },
		{ "{\"schemaVersion\":2,\"manifests\":[],\"config\":{}}", DOCKER_LIST, ERR_REFUSED,
		  "an index with \"config\"" },
		{ "{\"schemaVersion\":2,\"manifests\":[],\"fsLayers\":[]}", OCI_INDEX, ERR_REFUSED,
		  "an index with \"fsLayers\"" },
		{ "{\"schemaVersion\":2,\"layers\":[]}", OCI_MANIFEST, ERR_REFUSED,
		  "came where an index was expected" },
		{ "{\"schemaVersion\":2}", OCI_INDEX, ERR_PROTOCOL, "manifests: missing" },
		{ "{\"schemaVersion\":2,\"manifests\":{}}", OCI_INDEX, ERR_PROTOCOL,
		  "manifests: not an array" },
		{ HEAD "7" TAIL, NULL, ERR_PROTOCOL, "manifests[0]: not an object" },
		{ HEAD "{}" TAIL, NULL, ERR_PROTOCOL, "manifests[0]: mediaType: missing" },
		{ HEAD HELM "," DESC(OCI_MANIFEST, DIGEST_A, -1) TAIL, NULL, ERR_PROTOCOL,
		  "manifests[1]: size: -1 is not between 0 and 4194304" },
		{ HEAD DESC(OCI_MANIFEST, DIGEST_A, 4194305) TAIL, NULL, ERR_PROTOCOL,
		  "size: 4194305 is not between" },
		{ HEAD DESC(OCI_MANIFEST, "sha256:x", 1) TAIL, NULL, ERR_REFUSED,
		  "manifests[0]: digest \"sha256:x\"" },
		{ HEAD DESC(OCI_LAYER, DIGEST_A, 1) TAIL, NULL, ERR_REFUSED,
		  "manifests[0]: media type \"" OCI_LAYER "\" is a layer, not a manifest" },
		{ HEAD DESC_AND(OCI_MANIFEST, DIGEST_A, 1, ",\"platform\":[]") TAIL, NULL,
		  ERR_PROTOCOL, "platform: not an object" },
		{ HEAD DESC_AND(OCI_MANIFEST, DIGEST_A, 1, ",\"platform\":{\"os\":7}") TAIL, NULL,
		  ERR_PROTOCOL, "platform: os: not a string" },
		{ HEAD ENTRY(DIGEST_A, "linux", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "") TAIL, NULL,
		  ERR_PROTOCOL, "platform: architecture: longer than 31 characters" },
		{ HEAD DESC_AND(OCI_MANIFEST, DIGEST_A, 1, ",\"annotations\":[]") TAIL, NULL,
		  ERR_PROTOCOL, "annotations: not an object" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct index x = { .n_entries = 4711 };
		struct err err = { 0 };

		row_refused(rows[i].text,
			    index_parse(rows[i].text, strlen(rows[i].text), rows[i].content_type,
					&x, &err),
			    rows[i].kind, rows[i].why, &err);
		row_int(rows[i].text, "out is untouched", 4711, (int64_t)x.n_entries);
	}
	table_end();
}

static int parse_with_entries(size_t n, struct index *x, struct err *err)
{
	struct buf text = BUF_INIT(4 * MIB);
	int ok = buf_append(&text, HEAD, strlen(HEAD), err);

	for (size_t i = 0; i < n && ok == 0; i++)
		ok = buf_printf(&text, err, "%s%s", i ? "," : "",
				ENTRY(DIGEST_A, "linux", "s390x", ""));
	if (ok == 0)
		ok = buf_append(&text, TAIL, strlen(TAIL), err);
	assert_int_equal(ok, 0);
	ok = index_parse(text.data, text.len, NULL, x, err);
	buf_free(&text);
	return ok;
}

static void indexes_have_limits(void **state)
{
	CLEANUP(index_free) struct index x = { 0 };
	const struct platform host = { "linux", "amd64", "" };
	const struct index_entry *e;
	struct err err = { 0 };

	(void)state;
	row_refused("10,000 entries", parse_with_entries(10000, &x, &err), ERR_LIMIT,
		    "index: manifests: 10000 entries; at most 1000 are read", &err);
	row_refused("1,001 entries", parse_with_entries(1001, &x, &err), ERR_LIMIT, "1001 entries",
		    &err);
	if (row_ok("1,000 entries", parse_with_entries(1000, &x, &err), &err)) {
		row_int("1,000 entries", "entries", 1000, (int64_t)x.n_entries);
		row_refused("a long list is cut", index_choose(&x, &host, &e, &err), ERR_REFUSED,
			    "linux/s390x and more", &err);
	}
	table_end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_best_entry_is_chosen),
		cmocka_unit_test(no_entry_fits),
		cmocka_unit_test(other_documents_are_refused),
		cmocka_unit_test(indexes_have_limits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
