/*
 * Generations of the service's container. Docker is the database: the serving one is called
 * NAME, one being made NAME-next, the one before NAME-prev. Whoever starts rebuilds
 * the truth from names and labels.
 */
#ifndef BERTH_AGENT_GENERATION_H
#define BERTH_AGENT_GENERATION_H

#include "agent/deployment.h"

enum generation_found {
	GENERATION_NONE,  /* nothing called NAME */
	GENERATION_SAME,  /* ours, of this configuration and image */
	GENERATION_OTHER, /* ours, of another */
};

/*
 * Looks, and first mends what a death left: no NAME but a NAME-prev → it is NAME again; a NAME-next is
 * removed. ERR_CONFLICT when NAME is a stranger's container, which is never touched.
 */
int generation_find(struct deployment *d, enum generation_found *found, struct container_state *state,
		    struct err *err) MUST_CHECK;

/* Starts NAME. One that the engine cannot start any more is removed, for find() to see: retryable. */
int generation_start(struct deployment *d, struct err *err) MUST_CHECK;

/* Makes and starts NAME from the image, replacing (stopping, keeping as NAME-prev) one that `old` shows; old may be NULL. */
int generation_make(struct deployment *d, const struct acquired *image, const struct container_state *old,
		    struct err *err) MUST_CHECK;

/* Removes NAME and brings NAME-prev back, after a replacement whose new container was no good. */
int generation_restore(struct deployment *d, struct err *err) MUST_CHECK;

#endif
