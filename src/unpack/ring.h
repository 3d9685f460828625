/*
 * Blocks of bytes between two threads of a process: one fills them, one takes them, in order. What must be seen in
 * order but by nobody in particular (a hash) is done by the side that is ahead: by the filling one when there is no
 * room, else by the taking one when it takes a block.
 */
#ifndef BERTH_UNPACK_RING_H
#define BERTH_UNPACK_RING_H

#include <sys/types.h>

#include "base/err.h"

struct ring;

/* Sees each block once, in order, from either thread, never from both at once. */
typedef void ring_see_fn(void *arg, const void *bytes, size_t len);

/* Allocates all that it will ever need. see may be NULL. */
struct ring *ring_new(size_t n_blocks, size_t block_bytes, ring_see_fn *see, void *see_arg);
void ring_free(struct ring *r);

/*
 * The filling side: where its next bytes go and how many have room there, waiting for a block if need be. -1 when the
 * other side has failed; its error is in *err.
 */
int ring_room(struct ring *r, void **room, size_t *len, struct err *err) MUST_CHECK;
/* It has put len bytes there. Blocks are handed over when they are full. */
void ring_put(struct ring *r, size_t len);
/* Nothing follows: hands over what there is; why is what went wrong, or NULL. */
void ring_end(struct ring *r, const struct err *why);

/*
 * The taking side: waits for the next block, which is its own until the next call, and was seen. How many bytes it
 * holds, 0 at the end, or -1 with the filling side's error.
 */
ssize_t ring_take(struct ring *r, void **bytes, struct err *err) MUST_CHECK;
/* It takes no more: why is what went wrong, or NULL. */
void ring_close(struct ring *r, const struct err *why);

/* The filling side waits until the other one has closed: -1 with what went wrong there. */
int ring_wait_closed(struct ring *r, struct err *err) MUST_CHECK;

#endif
