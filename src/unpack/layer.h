/*
 * A layer's tar into a directory: the only owner of libarchive, which reads it; writer.h says what
 * becomes of the entries.
 */
#ifndef BERTH_UNPACK_LAYER_H
#define BERTH_UNPACK_LAYER_H

#include "unpack/deferred.h"

/*
 * The next bytes of the tar in *bytes, valid until the next call: how many, 0 at the end, -1. A
 * multiple of 512, but for the last; they may be changed.
 */
typedef ssize_t layer_read_fn(void *arg, void **bytes, struct err *err);

/*
 * Applies the tar below root_fd (an empty directory, borrowed) and reads to the end of the input.
 * bottom: the image has nothing below this layer. What the process may not do itself goes to
 * *deferred. ERR_REFUSED for what containerd refuses, ERR_SYSTEM, ERR_LIMIT; the reader's own
 * errors are passed on. umask must be 0.
 */
int layer_apply(int root_fd, bool bottom, layer_read_fn *read, void *arg, struct deferred *deferred,
		struct err *err) MUST_CHECK;

/* Has libarchive do once what it does at first use, before the process is in a jail. */
void layer_warm_up(void);

#endif
