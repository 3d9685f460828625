/*
 * Private to --fast-load: the directory below Docker's data root into which dockerd unpacks what is
 * loaded, and FIFOs of berth's in it. Where dockerd would open a FIFO as a layer, it waits until
 * somebody opens the other end, and nothing else wakes it: whoever made it is named in the FIFO's
 * name, and whoever comes after his death lets dockerd go.
 */
#ifndef BERTH_ENGINE_LOAD_SPOOL_H
#define BERTH_ENGINE_LOAD_SPOOL_H

#include "engine/docker.h"

/*
 * The directory that has one for each load. ERR_CONFIG: not seen from here, or Docker is not on
 * this machine.
 */
int load_spool_open(struct docker *d, int *fd, struct err *err) MUST_CHECK;

/* What names of this process's FIFOs begin with, another each time. Caller frees. */
int load_spool_prefix(char **out, struct err *err) MUST_CHECK;

/* The directory of the load that has such a FIFO (a descriptor, the caller's), or -1: none has. */
int load_spool_find(int spool, const char *fifo);

/* The end to write to, non-blocking, if somebody has the other open or waits for it; else -1. */
int load_spool_writer(int load, const char *fifo);

/*
 * Shows an end to whoever waits for one of the FIFOs that begin so, until dockerd has removed them;
 * at most patience_ms. In the main line; also where the loop is cancelled.
 */
void load_spool_release(int load, const char *prefix, struct loop *loop, int64_t patience_ms);

/*
 * Releases what processes that are gone, or earlier sessions of this one, left waiting. Costs two
 * system calls where nobody did.
 */
void load_spool_tidy(struct docker *d);

#endif
