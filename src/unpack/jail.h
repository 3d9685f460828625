/*
 * What a worker may do once it has started: read, write, map memory, exit. Its
 * bytes are a stranger's. Fails closed: no jail, no work.
 */
#ifndef BERTH_UNPACK_JAIL_H
#define BERTH_UNPACK_JAIL_H

#include "base/err.h"

/*
 * Called in the worker before its first byte of input: closes every descriptor but the
 * given ones (ascending), dies with the parent, unshares the network, user `nobody`-like ids where root,
 * no-new-privs, rlimits (memory, no files, no processes, no core), seccomp allow-list.
 */
int jail_enter(const int *keep_fds, size_t n, struct err *err) MUST_CHECK;

#endif
