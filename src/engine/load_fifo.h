/*
 * Private to the load stores: a load into the classic store whose layers dockerd reads from FIFOs
 * in its own spool directory, and so registers as they come, where it would spool all of them
 * first. That it does so is documented nowhere: moby, image/tarexport/load.go, makes what the
 * archive has and opens what its manifest names (seen from 20.10 to 28.5).
 *
 * The archive has the FIFOs alone until they are seen to be there; only then is dockerd told what
 * to open, and nothing else is between it and waiting for ever than that somebody writes. The last
 * bytes of each layer are held back until it is verified: dockerd compares diff_ids itself, and
 * what is cut has another one.
 */
#ifndef BERTH_ENGINE_LOAD_FIFO_H
#define BERTH_ENGINE_LOAD_FIFO_H

#include "engine/load_upload.h"

struct load_fifo;

struct load_fifo_request {
	struct docker *docker;
	struct loop *loop;
	const struct store_image *image; /* borrowed */
	const bool *skip;                /* copied; or NULL */
	store_event_fn *event;           /* it takes bytes again, or it ended */
	void *arg;
};

/*
 * Waits, up to a few seconds, until the FIFOs are seen. ERR_CONFIG, here and below: it does not
 * work here, or the engine would not take the image this way; nothing of it is left.
 */
int load_fifo_begin(const struct load_fifo_request *req, struct load_fifo **out,
		    struct err *err) MUST_CHECK;
/* The layer whose bytes come next, or -1: all are in. */
ssize_t load_fifo_wants(const struct load_fifo *f);
bool load_fifo_at_layer_start(const struct load_fifo *f);
/* As feed() of a store. */
ssize_t load_fifo_feed(struct load_fifo *f, const void *bytes, size_t len,
		       struct err *err) MUST_CHECK;
void load_fifo_verified(struct load_fifo *f, size_t i);
/* All layers are in and verified. Waits until the engine has the image, or not. */
int load_fifo_finish(struct load_fifo *f, struct loop *loop, struct err *err) MUST_CHECK;
/* Where it is not over, dockerd gets the end of a file at once, and some seconds to notice. */
void load_fifo_end(struct load_fifo *f, struct loop *loop);

#endif
