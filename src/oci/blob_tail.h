/*
 * The last bytes of blobs, before the rest: gzip ends with its length (RFC 1952 §2.3.1). A hint,
 * never more: nothing here is verified.
 */
#ifndef BERTH_OCI_BLOB_TAIL_H
#define BERTH_OCI_BLOB_TAIL_H

#include "oci/registry.h"

#define BLOB_TAIL_BYTES 8
#define BLOB_TAIL_TIMEOUT_MS 5000 /* a hint is not worth waiting for */
#define BLOB_TAILS_PARALLEL 8

struct blob_tail {
	bool known;
	uint8_t bytes[BLOB_TAIL_BYTES];
};

/*
 * Asks for the tails of the wanted blobs, several at once; tails[i].known stays false where the
 * registry does not answer with just these bytes, whatever the reason. Only ERR_CANCELLED.
 */
int blob_tails(struct registry *r, struct loop *loop, const struct descriptor *blobs, const bool *wanted, size_t n,
	       struct blob_tail *tails, struct err *err) MUST_CHECK;

#endif
