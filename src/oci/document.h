/* What manifests and indexes have in common; for manifest.c and index.c only. */
#ifndef BERTH_OCI_DOCUMENT_H
#define BERTH_OCI_DOCUMENT_H

#include "oci/descriptor.h"
#include "oci/platform.h"

/* Bytes of at most MANIFEST_MAX_BYTES → a document of that kind; *doc_out is the caller's. */
int document_parse(const void *bytes, size_t len, const char *content_type, enum media_kind kind,
		   struct json **doc_out, const struct media_type **media_out, struct err *err) MUST_CHECK;

/* A member that must be an array of at most max; null, as Go writes an empty list, gives NULL and 0. */
int document_array(const struct json *doc, const char *name, size_t max, const struct json **out, size_t *n,
		   struct err *err) MUST_CHECK;

/* A "platform" member, or a config's own "os", "architecture", "variant": absent ones become "". */
int document_platform(const struct json *v, struct platform *out, struct err *err) MUST_CHECK;

#endif
