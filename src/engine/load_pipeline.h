/*
 * Private to the load store: an image in one load, or in several of which the engine registers one
 * while the bytes of the next arrive. The end of each is held back until the one before it is done
 * and its own layers are verified.
 */
#ifndef BERTH_ENGINE_LOAD_PIPELINE_H
#define BERTH_ENGINE_LOAD_PIPELINE_H

#include "engine/load_upload.h"

struct load_pipeline;

struct load_pipeline_request {
	struct docker *docker;
	const struct store_image *image; /* borrowed */
	const bool *skip;                /* copied; or NULL */
	bool in_parts;                   /* load_plan(); classic dockerd only */
	store_event_fn *event;           /* there is room again, or it ended */
	void *arg;
};

int load_pipeline_begin(const struct load_pipeline_request *req, struct load_pipeline **out,
			struct err *err) MUST_CHECK;
/* The layer whose bytes come next, or -1: all are in. */
ssize_t load_pipeline_wants(const struct load_pipeline *p);
/*
 * What takes them. Errors, here and below, are the engine's: ERR_NOT_FOUND: it has not got a layer
 * that was left out. ERR_CONFIG: it would not hear of a load in parts; in one it may.
 */
int load_pipeline_upload(struct load_pipeline *p, struct load_upload **out, struct err *err) MUST_CHECK;
void load_pipeline_verified(struct load_pipeline *p, size_t i);
/* All layers are in and verified. Waits until the engine has the image, or not. */
int load_pipeline_finish(struct load_pipeline *p, struct loop *loop, struct err *err) MUST_CHECK;
/*
 * A cut upload comes to nothing: without manifest.json or index.json no image comes of it, and the
 * classic store and Podman delete what they had spooled. The containerd store keeps whole blobs
 * under a lease of Docker's own for a day, as after any load or pull that is cut; a second attempt
 * finds them. Temporary images stay, for that too: see load_temporary.h.
 */
void load_pipeline_end(struct load_pipeline *p, struct loop *loop);

#endif
