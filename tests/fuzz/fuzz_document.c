/*
 * A registry's documents. The first byte says which kind (m, i, c) and the second
 * which Content-Type comes with it; the rest are the bytes.
 */
#include "fuzz.h"

#include "oci/manifest.h"

static const char *const content_types[] = {
	NULL,
	"application/json",
	"application/vnd.oci.image.manifest.v1+json",
	"application/vnd.oci.image.index.v1+json; charset=utf-8",
	"application/vnd.docker.distribution.manifest.v2+json",
	"application/vnd.docker.distribution.manifest.list.v2+json",
};

static bool known_kind(const struct err *err)
{
	return (err->kind == ERR_PROTOCOL || err->kind == ERR_LIMIT || err->kind == ERR_REFUSED) &&
	       err->msg[0];
}

static void check_descriptor(const struct descriptor *d, int64_t max)
{
	struct digest again;
	struct err err;

	MUST(d->media && d->size >= 0 && d->size <= max);
	MUST(digest_parse(d->digest.text, strlen(d->digest.text), &again, &err) == 0);
}

static void try_manifest(const void *bytes, size_t len, const char *content_type)
{
	CLEANUP(manifest_free) struct manifest m = { 0 };
	struct err err = { 0 };

	if (manifest_parse(bytes, len, content_type, &m, &err) < 0) {
		MUST(known_kind(&err));
		return;
	}
	MUST(m.media->kind == MEDIA_MANIFEST && m.n_layers <= MANIFEST_LAYERS_MAX);
	check_descriptor(&m.config, (int64_t)CONFIG_MAX_BYTES);
	for (size_t i = 0; i < m.n_layers; i++) {
		check_descriptor(&m.layers[i], BLOB_MAX_BYTES);
		MUST(m.layers[i].media->kind == MEDIA_LAYER);
	}
}

static void try_index(const void *bytes, size_t len, const char *content_type)
{
	static const struct platform hosts[] = { { "linux", "amd64", "" },
						 { "linux", "arm64", "v8" },
						 { "linux", "arm", "v7" } };
	CLEANUP(index_free) struct index x = { 0 };
	struct err err = { 0 };

	if (index_parse(bytes, len, content_type, &x, &err) < 0) {
		MUST(known_kind(&err));
		return;
	}
	MUST(x.media->kind == MEDIA_INDEX && x.n_entries <= INDEX_ENTRIES_MAX);
	for (size_t i = 0; i < x.n_entries; i++)
		check_descriptor(&x.entries[i].descriptor, (int64_t)MANIFEST_MAX_BYTES);
	for (size_t i = 0; i < ARRAY_LEN(hosts); i++) {
		const struct index_entry *e = NULL;
		if (index_choose(&x, &hosts[i], &e, &err) < 0)
			MUST(err.kind == ERR_REFUSED);
		else
			MUST(e >= x.entries && e < x.entries + x.n_entries && !e->attestation);
	}
}

static void try_config(const void *bytes, size_t len, size_t n_layers)
{
	CLEANUP(image_config_free) struct image_config c = { 0 };
	struct err err = { 0 };

	if (image_config_parse(bytes, len, n_layers, &c, &err) < 0)
		MUST(known_kind(&err));
	else
		MUST(c.n_diff_ids == n_layers && json_is_object(c.config));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 2)
		return 0;
	const char *content_type = content_types[data[1] % ARRAY_LEN(content_types)];
	if (data[0] == 'm')
		try_manifest(data + 2, size - 2, content_type);
	else if (data[0] == 'i')
		try_index(data + 2, size - 2, content_type);
	else
		try_config(data + 2, size - 2, data[1] % 4);
	return 0;
}
