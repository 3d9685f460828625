/*
 * Large blobs: several at once, lowest first, each delivered in order. When the reader of one larger than a few
 * MiB starves behind its connection, it comes in ranges over several, more of them while that brings more; a
 * server that answers a range request with all of it is read to the end in one piece. Bytes pass SHA-256 as soon
 * as they have no gap; blob_peek() hands them out before the end is known, so whoever uses them must hold the
 * result back until BLOB_VERIFIED. A cut transfer is resumed by Range from its last byte; a stalled one (no byte
 * for BLOB_STALL_MS, or under 1 KiB/s over 30 s while we are reading) is cut and resumed; retries are bounded by
 * progress. Where a redirect leads is remembered for the blob; an expired URL (403 there) is resolved again, once
 * for all its ranges.
 */
#ifndef BERTH_OCI_BLOB_H
#define BERTH_OCI_BLOB_H

#include "oci/registry.h"

#define BLOB_CONNECTIONS_MAX 16              /* at once, of all blobs together */
#define BLOB_BUFFERED_MAX_BYTES (32 * MIB)   /* of all blobs together: asked for or received, and not yet read */
#define BLOB_STALL_MS 20000
#define BLOB_ATTEMPTS_MAX 5                  /* of a range, in a row without a new byte */

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
bool blob_set_verified(const struct blob_set *set); /* all of them, but those that are left out */
ssize_t blob_set_failed(const struct blob_set *set); /* the lowest BLOB_FAILED one, or -1 */
const struct err *blob_error(const struct blob_set *set, size_t i); /* of a BLOB_FAILED blob */
/*
 * Of a BLOB_FAILED blob: what was taken of it turned out wrong, and one fetch from its first byte may help. What was
 * refused before any byte of it was taken has been asked for again already, also without ranges.
 */
bool blob_wants_refetch(const struct blob_set *set, size_t i);
int64_t blob_received_bytes(const struct blob_set *set, size_t i); /* for progress */

/* Bytes in order that wait to be read: *len 0 when there are none now. Valid until the next call on the set. */
void blob_peek(const struct blob_set *set, size_t i, const void **bytes, size_t *len);
void blob_consume(struct blob_set *set, size_t i, size_t len); /* lets the transfer go on */

#endif
