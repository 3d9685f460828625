/*
 * Large blobs: several at once, lowest first, each delivered in order. Bytes pass
 * SHA-256 as they arrive; blob_read() hands them out before the end is known, so
 * whoever uses them must hold the result back until BLOB_VERIFIED. A cut transfer
 * is resumed by Range from the last byte; a stalled one (no byte for BLOB_STALL_MS, or
 * under 1 KiB/s over 30 s while we are reading) is cut and resumed; retries are
 * bounded per blob by progress. An expired URL (403 from a redirect target) is resolved again.
 */
#ifndef BERTH_OCI_BLOB_H
#define BERTH_OCI_BLOB_H

#include "oci/registry.h"

#define BLOB_PARALLEL_MAX 6                  /* transfers at once */
#define BLOB_BUFFERED_MAX_BYTES (32 * MIB)   /* of all blobs together, received and not yet read */
#define BLOB_STALL_MS 20000
#define BLOB_ATTEMPTS_MAX 5                  /* in a row without a new byte */

struct blob_set; /* the blobs of one pull */

enum blob_state { BLOB_WAITING, BLOB_RUNNING, BLOB_VERIFIED, BLOB_FAILED };

/*
 * Called from the loop when blob i has new bytes, ended, or failed. Must not wait, nor free the set.
 * Readers take the blobs in order, 0 first, or all as they come: a reader that waits for a higher blob
 * while a lower one has bytes may wait for ever, since the lower one's bytes fill the buffer.
 */
typedef void blob_event_fn(void *arg, size_t i);

/* Descriptors are copied; skip[i] (may be NULL) leaves blob i out. Starts at once. */
int blob_set_start(struct registry *r, struct http *http, struct loop *loop, const struct descriptor *blobs,
		   const bool *skip, size_t n, blob_event_fn *event, void *event_arg, struct blob_set **out,
		   struct err *err) MUST_CHECK;
void blob_set_free(struct blob_set *set); /* cancels what runs */

enum blob_state blob_state(const struct blob_set *set, size_t i);
const struct err *blob_error(const struct blob_set *set, size_t i); /* of a BLOB_FAILED blob */
/*
 * Of a BLOB_FAILED blob: what was taken of it turned out wrong, or its rest was refused. One fetch from its first
 * byte may help; what was refused before any byte of it was taken has been asked for again already.
 */
bool blob_wants_refetch(const struct blob_set *set, size_t i);
int64_t blob_received_bytes(const struct blob_set *set, size_t i); /* for progress */

/* Bytes in order that wait to be read: *len 0 when there are none now. Valid until the next call on the set. */
void blob_peek(const struct blob_set *set, size_t i, const void **bytes, size_t *len);
void blob_consume(struct blob_set *set, size_t i, size_t len); /* lets the transfer go on */

#endif
