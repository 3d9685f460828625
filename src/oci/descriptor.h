/* Content descriptors and media types (OCI image-spec descriptor.md, Docker schema 2). Pure. */
#ifndef BERTH_OCI_DESCRIPTOR_H
#define BERTH_OCI_DESCRIPTOR_H

#include "base/json.h"
#include "oci/digest.h"

enum media_kind { MEDIA_UNKNOWN, MEDIA_INDEX, MEDIA_MANIFEST, MEDIA_CONFIG, MEDIA_LAYER };
enum compression { COMPRESSION_NONE, COMPRESSION_GZIP, COMPRESSION_ZSTD };

struct media_type {
	const char *name; /* "application/vnd.oci.image.layer.v1.tar+gzip" */
	enum media_kind kind;
	enum compression compression;
	bool docker;  /* schema 2 rather than OCI */
};

/* The table's row, or NULL. Parameters (";charset=…") are cut off before. */
const struct media_type *media_type_find(const char *name, size_t len);
/* ERR_REFUSED for a type that is not in the table: by its own words where it is known (encrypted, schema 1, …). */
int media_type_refuse(const char *name, struct err *err);

/* A blob may not be larger than this: what EBS volumes and patience hold. */
#define BLOB_MAX_BYTES ((int64_t)64 * 1024 * 1024 * 1024)

struct descriptor {
	const struct media_type *media; /* never NULL */
	struct digest digest;
	int64_t size; /* bytes */
};

/*
 * Reads {"mediaType","digest","size"}; refuses unknown media types (naming them:
 * encrypted, foreign and schema 1 with their own words), sizes outside
 * [0, max_size], descriptors with "urls" on layers (foreign layers).
 */
int descriptor_parse(const struct json *v, enum media_kind expected, int64_t max_size, struct descriptor *out,
		     struct err *err) MUST_CHECK;

#endif
