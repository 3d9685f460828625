/*
 * Layers where a snapshot can come upon its parent as late as it is committed
 * (containerd_rebases()): each is unpacked into a snapshot of its own, and nothing is moved.
 */
#ifndef BERTH_ENGINE_REBASE_H
#define BERTH_ENGINE_REBASE_H

#include "engine/containerd.h"
#include "engine/store.h"

struct rebase;

/*
 * prefix: of the snapshots' keys, this one's own. The layers below first are there. Waits for the
 * first snapshot, the others are made while all else goes on. ERR_CONFIG: their directories are not
 * seen or written from here; ERR_NOT_FOUND: the layer below is gone.
 */
int rebase_begin(struct containerd *c, const char *prefix, const struct store_image *image, size_t first,
		 containerd_event_fn *event, void *arg, struct rebase **out, struct err *err) MUST_CHECK;
/* As staging(), layer(), of struct store. */
int rebase_staging(const struct rebase *r, size_t i, int *fd, struct err *err) MUST_CHECK;
int rebase_layer(struct rebase *r, size_t i, const struct store_inherit *inherit, size_t n_inherit,
		 struct err *err) MUST_CHECK;
/* All that was written is on the disk when this returns; waits on the loop. */
int rebase_sync(const struct rebase *r, struct loop *loop, struct err *err) MUST_CHECK;
/* Removes what is not committed, as far as that works: the rest goes with the lease. NULL is fine. */
void rebase_end(struct rebase *r);

#endif
