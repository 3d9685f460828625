/*
 * Private to the load stores: what is looked at before bytes go to the engine, and after it has
 * said yes.
 */
#ifndef BERTH_ENGINE_LOAD_CHECKS_H
#define BERTH_ENGINE_LOAD_CHECKS_H

#include "engine/store.h"

/* The ID that the engine will give to an image that is loaded: store.h, image_id(). */
void load_image_id(struct docker *d, const struct store_image *image, char out[80]);

/*
 * The first bytes of a layer: ERR_REFUSED where the engine's own pull could not unpack such ones
 * either.
 */
int load_check_compression(const struct docker_info *info, const void *bytes, size_t len,
			   struct err *err) MUST_CHECK;

/* The engine's words about a load, with what to do about them. Returns -1. */
int load_explain(struct err *err);

struct load_outcome {
	struct docker *docker;
	const struct store_image *image;
	bool incomplete;   /* layers were left out */
	bool layers_known; /* false: documents alone were sent, and the engine may say nothing of
			      layers and content */
};

/*
 * The engine says that it has the image: is it that one? Then it gets its name, where the load did
 * not give it. ERR_REFUSED: it is another one. ERR_NOT_FOUND: it lacks a layer that was left out.
 * What failed is removed.
 */
int load_check_outcome(const struct load_outcome *o, struct err *err) MUST_CHECK;
/* The engine said that it could not take the image, and may have kept it nevertheless. */
void load_drop_failed(struct docker *d, const struct store_image *image);

#endif
