/*
 * Where layers are unpacked before they are snapshots: a directory on the snapshotter's own file system, with
 * one below it per layer. A finished layer moves by one rename.
 */
#ifndef BERTH_ENGINE_STAGING_H
#define BERTH_ENGINE_STAGING_H

#include "engine/store.h"

struct staging;

/*
 * path: the upper directory of an active snapshot. A directory for each of n layers but those in skip. ERR_CONFIG: there is no such
 * directory where we are, or we may not write there.
 */
int staging_open(const char *path, const bool *skip, size_t n, struct staging **out, struct err *err) MUST_CHECK;
/* NULL is fine; the files go with the snapshot. */
void staging_close(struct staging *s);

/* O_PATH; -1: the layer has none. */
int staging_layer(const struct staging *s, size_t i);
size_t staging_inodes(const struct staging *s); /* files and directories that staging_open() left there, path itself among them */

/*
 * Layer i becomes the contents of upper, an empty directory, which keeps its mode and owner as containerd has it (a layer's
 * own entry for its root counts for nothing there). inherit: directories that the layer made without an
 * entry of their own take after the nearest of `lower` that has them (containerd's archive.Apply, "Parents").
 */
int staging_move(struct staging *s, size_t i, const struct store_inherit *inherit, size_t n_inherit,
		 const struct strv *lower, const char *upper, struct err *err) MUST_CHECK;

/* All that was written is on the disk when this returns; waits on the loop. */
int staging_sync(const struct staging *s, struct loop *loop, struct err *err) MUST_CHECK;

#endif
