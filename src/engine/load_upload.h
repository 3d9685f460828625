/* Private to the load store: one archive on its way through POST /images/load. */
#ifndef BERTH_ENGINE_LOAD_UPLOAD_H
#define BERTH_ENGINE_LOAD_UPLOAD_H

#include "engine/store.h"

/*
 * Neither side moves for so long: it hangs. A classic dockerd tells of each half megabyte that it
 * unpacks, and is silent only while a slow volume takes what it wrote last. A variable for the
 * tests.
 */
extern int64_t load_classic_idle_ms;

struct load_upload;

struct load_upload_request {
	struct docker *docker;
	const struct store_image *image; /* borrowed */
	const bool *skip;                /* copied */
	/* or NULL: as load_archive_new_fifos(); the caller then sees to it that nobody waits for ever */
	const char *fifos;
	store_event_fn *event;           /* there is room again, or it ended */
	void *arg;
};

int load_upload_start(const struct load_upload_request *req, struct load_upload **out, struct err *err) MUST_CHECK;
/* One that has not ended is cut: nothing comes of it, unless the engine has had the end of it already. NULL is fine. */
void load_upload_free(struct load_upload *u);

/* As load_archive_wants(), _at_layer_start() and _put(). */
ssize_t load_upload_wants(const struct load_upload *u);
bool load_upload_at_layer_start(const struct load_upload *u);
size_t load_upload_put(struct load_upload *u, const void *bytes, size_t len);

/* All its layers are in and good: what makes them an image goes out. Until then the engine only spools. */
int load_upload_finish(struct load_upload *u, struct err *err) MUST_CHECK;

/* The engine is done with it. *error: ERR_NONE, or what it said. */
bool load_upload_ended(const struct load_upload *u, struct err *error);
/* When the engine last had a word to say about what is in it, by clock_mono_ms(); -1: it has not. */
int64_t load_upload_heard_ms(const struct load_upload *u);

#endif
