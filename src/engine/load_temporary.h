/*
 * Private to the load store: images of an image's first layers, which the engine registers while it
 * waits for the rest. They have no name, and a label that says which process made them.
 */
#ifndef BERTH_ENGINE_LOAD_TEMPORARY_H
#define BERTH_ENGINE_LOAD_TEMPORARY_H

#include "engine/store.h"

#define LOAD_TEMPORARY_LABEL "io.berth.temporary" /* its value: holder_self() */

/* The config of the image that has the first n of the layers; *text, which out shows, is the caller's to free. */
int load_temporary_config(const struct store_image *image, size_t n, struct store_document *out, char **text,
			  struct err *err) MUST_CHECK;

/* Removes those of processes that are gone and, with own, of this one. Layers that another image has stay. */
int load_temporary_remove(struct docker *d, bool own, int64_t timeout_ms, struct err *err) MUST_CHECK;

#endif
