/*
 * The moving part of a pull: blobs → workers and store, byte for byte in lockstep, until
 * every layer is in the store's hands and verified.
 */
#ifndef BERTH_AGENT_TRANSFER_H
#define BERTH_AGENT_TRANSFER_H

#include "agent/context.h"
#include "agent/progress.h"
#include "agent/pull.h"
#include "engine/store.h"
#include "oci/blob.h"

struct transfer_request {
	struct registry *registry;
	const struct store *store;
	const struct store_image *image;
	const struct image *resolved;
	const bool *skip; /* layers that the engine has */
	struct progress *progress;
	const struct pull_hooks *hooks;
};

/* What a failure means for a second attempt. */
enum transfer_trouble {
	TRANSFER_HOPELESS,     /* nothing but what the error says */
	TRANSFER_BAD_BYTES,    /* the transfer, not the image, may be to blame */
	TRANSFER_BAD_HINT,     /* a layer's raw_bytes was not its size: without hints it may work */
	TRANSFER_ENGINE_LACKS, /* the engine has not got something that was left out */
	TRANSFER_INCAPABLE,    /* the store cannot serve here: its fallback may */
	TRANSFER_ENGINE_HANGS, /* the engine neither takes nor says anything */
	TRANSFER_TROUBLES
};

struct transfer_result {
	size_t n_fetched;
	int64_t bytes;
	enum transfer_trouble trouble; /* where it failed */
};

/* Runs on the loop until the store has committed. The engine holds nothing of it otherwise. */
int transfer_run(struct context *c, const struct transfer_request *req, struct transfer_result *out,
		 struct err *err) MUST_CHECK;

#endif
