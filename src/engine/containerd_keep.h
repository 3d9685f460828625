/* The layers of an image as they come, into containerd's content store while they are unpacked. */
#ifndef BERTH_ENGINE_CONTAINERD_KEEP_H
#define BERTH_ENGINE_CONTAINERD_KEEP_H

#include "engine/containerd_write.h"
#include "engine/store.h"

struct containerd_keeper;

/*
 * prefix: of the references of unfinished blobs, this keeper's own. Blobs that containerd has come
 * under the current lease, and are not written again; layers in skip are left out.
 */
int containerd_keep_start(struct containerd *c, const char *prefix, const struct store_image *image, const bool *skip,
			  containerd_event_fn *event, void *arg, struct containerd_keeper **out,
			  struct err *err) MUST_CHECK;
/* As containerd_write_feed(), for layer i. */
ssize_t containerd_keep_feed(struct containerd_keeper *k, size_t i, const void *bytes, size_t len,
			     struct err *err) MUST_CHECK;
/* Once all has been fed: waits on the loop until containerd has all of it. */
int containerd_keep_finish(struct containerd_keeper *k, struct loop *loop, struct err *err) MUST_CHECK;
void containerd_keep_free(struct containerd_keeper *k); /* NULL is fine; what is unfinished goes with the lease */

/* Puts those blobs of the first n layers that containerd has under the current lease. */
int containerd_keep_present(struct containerd *c, const struct store_image *image, size_t n,
			    struct err *err) MUST_CHECK;

#endif
