/*
 * The compressed layers of an image that runs already: the containerd store needs them to list, save and push it, not
 * to run it.
 */
#ifndef BERTH_AGENT_BACKFILL_H
#define BERTH_AGENT_BACKFILL_H

#include "agent/context.h"
#include "agent/progress.h"
#include "engine/store.h"
#include "oci/registry.h"

struct backfill_request {
	struct registry *registry;
	const struct store_image *image;
	const struct image *resolved;
	const bool *lacks; /* by layer: the engine has not got its blob */
	struct progress *progress;
};

/*
 * Fetches those blobs and hands them to the engine, on the loop; each is checked against its digest before the
 * engine gets to know what it is for. *bytes: received.
 */
int backfill_run(struct context *c, const struct backfill_request *req, int64_t *bytes, struct err *err) MUST_CHECK;

#endif
