/*
 * Where layers are unpacked before they are snapshots, on the snapshotter's own file system. Either
 * one directory, with one below it per layer, and a finished layer moves by one rename; or a
 * directory for each, where it stays.
 */
#ifndef BERTH_ENGINE_STAGING_H
#define BERTH_ENGINE_STAGING_H

#include "engine/store.h"

struct staging;

/*
 * path: the upper directory of an active snapshot. A directory for each of n layers but those in
 * skip. ERR_CONFIG: there is no such directory where we are, or we may not write there.
 */
int staging_open(const char *path, const bool *skip, size_t n, struct staging **out, struct err *err) MUST_CHECK;
/* For directories of their own: none yet. n: layers. */
struct staging *staging_new(size_t n);
/*
 * path: the upper directory of an active snapshot, empty, that will be layer i. The mode and owner
 * of the first are those of all in the end. Errors as staging_open().
 */
int staging_add(struct staging *s, size_t i, const char *path, struct err *err) MUST_CHECK;
/* Makes (on), or removes, a directory in that of layer i, which is still empty: to see who else sees it. */
int staging_mark(const struct staging *s, size_t i, bool on, struct err *err) MUST_CHECK;

/* NULL is fine; the files go with the snapshot. */
void staging_close(struct staging *s);

/* O_PATH; -1: the layer has none. */
int staging_layer(const struct staging *s, size_t i);
/* files and directories that staging_open() left there, path itself among them */
size_t staging_inodes(const struct staging *s);

/*
 * Layer i is complete, in a directory of its own, which gets back the mode and owner that
 * containerd gives it (a layer's own entry for its root counts for nothing there). inherit, lower:
 * as inherit_all().
 */
int staging_settle(struct staging *s, size_t i, const struct store_inherit *inherit, size_t n_inherit,
		   const struct strv *lower, struct err *err) MUST_CHECK;
/* The same of a layer below the one directory; it becomes the contents of upper, an empty directory. */
int staging_move(struct staging *s, size_t i, const struct store_inherit *inherit, size_t n_inherit,
		 const struct strv *lower, const char *upper, struct err *err) MUST_CHECK;

/* All that was written is on the disk when this returns; waits on the loop. */
int staging_sync(const struct staging *s, struct loop *loop, struct err *err) MUST_CHECK;

#endif
