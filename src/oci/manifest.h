/*
 * Manifests, indexes and image configs: bytes → structs (OCI image-spec
 * manifest.md, image-index.md, config.md; Docker schema 2). Pure; refuses what it
 * does not know.
 */
#ifndef BERTH_OCI_MANIFEST_H
#define BERTH_OCI_MANIFEST_H

#include "oci/descriptor.h"
#include "oci/platform.h"

#define MANIFEST_MAX_BYTES (4 * MIB)      /* distribution-spec: registries should accept 4 MiB */
#define CONFIG_MAX_BYTES (8 * MIB)
#define MANIFEST_LAYERS_MAX 512           /* overlay2 stops at 128; margin for other drivers */
#define INDEX_ENTRIES_MAX 1000

struct manifest {
	const struct media_type *media;
	struct descriptor config;
	struct descriptor *layers;
	size_t n_layers;
};

struct index_entry {
	struct descriptor descriptor; /* a manifest or an index */
	struct platform platform;
	bool has_platform;
	bool attestation; /* annotation vnd.docker.reference.type, or platform unknown/unknown */
};

struct index {
	const struct media_type *media;
	struct index_entry *entries;
	size_t n_entries;
};

/*
 * The media type of a document: its "mediaType" member where it has one, else
 * the Content-Type; they must agree where both are known types; a document with
 * both "manifests" and "layers" is refused (CVE-2021-41190), schema 1 by name,
 * artifact manifests (artifactType, config of another type) by name. content_type may be NULL.
 */
int document_media_type(const struct json *doc, const char *content_type, const struct media_type **out,
			struct err *err) MUST_CHECK;

int manifest_parse(const void *bytes, size_t len, const char *content_type, struct manifest *out,
		   struct err *err) MUST_CHECK;
void manifest_free(struct manifest *m);
int index_parse(const void *bytes, size_t len, const char *content_type, struct index *out,
		struct err *err) MUST_CHECK;
void index_free(struct index *x);
/* The best entry for the platform, first among equals, attestations never; ERR_REFUSED listing what there is. */
int index_choose(const struct index *x, const struct platform *host, const struct index_entry **out,
		 struct err *err) MUST_CHECK;

/* What berth itself needs of a config; engines read the rest from its bytes. */
struct image_config {
	struct platform platform;
	struct digest *diff_ids;
	size_t n_diff_ids;
	bool has_healthcheck;     /* config.Healthcheck with a Test other than NONE */
	struct json *config;      /* the whole document */
};

/* n_layers: the manifest's; another number of diff_ids is refused. */
int image_config_parse(const void *bytes, size_t len, size_t n_layers, struct image_config *out,
		       struct err *err) MUST_CHECK;
void image_config_free(struct image_config *c);

#endif
