/*
 * The compressed layers of an image that runs already: the containerd store needs them to list,
 * save and push it, not to run it.
 */
#ifndef BERTH_AGENT_BACKFILL_H
#define BERTH_AGENT_BACKFILL_H

#include "agent/context.h"
#include "agent/progress.h"
#include "engine/store.h"
#include "oci/registry.h"

/* All borrowed, until backfill_free(). */
struct backfill_request {
	struct registry *registry;
	const struct store_image *image;
	const struct image *resolved;
	const bool *lacks;         /* by layer: the engine has not got its blob */
	struct progress *progress; /* or NULL */
	int64_t rate_bytes_per_s;  /* no more than that on average, whole buffers aside; 0: as fast as it goes */
};

struct backfill;

/* Fetches those blobs and hands them to the engine as they come, from the loop. */
int backfill_start(struct context *c, const struct backfill_request *req, struct backfill **out,
		   struct err *err) MUST_CHECK;
bool backfill_settled(const struct backfill *b); /* nothing happens any more until backfill_finish() */
/*
 * Waits on the loop until it is settled and the engine has seen that each blob is of its digest.
 * *bytes: received.
 */
int backfill_finish(struct backfill *b, int64_t *bytes, struct err *err) MUST_CHECK;
void backfill_free(struct backfill *b); /* cancels what runs; NULL is fine */

#endif
