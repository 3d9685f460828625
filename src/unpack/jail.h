/*
 * What a worker may do once it has started. One that only inflates: read, write, map memory, exit. One that unpacks:
 * that, and make files below one directory. Their bytes are a stranger's. Fails closed: no jail, no work.
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

/*
 * The jail of a worker that unpacks, in two steps, so that it can start its threads in between. The first leaves a
 * process that sees nothing but the directory *root_fd (one of keep_fds): mounted nodev, nosuid and noexec in a
 * mount namespace of its own, the rest unmounted; no network; of root's capabilities those that set owners and
 * modes; *root_fd is closed and replaced by one from inside, since the old one's ".." leads out. ERR_SYSTEM where
 * namespaces are not permitted: nothing else would hold it, so then nothing is unpacked.
 */
int jail_confine(const int *keep_fds, size_t n, int *root_fd, struct err *err) MUST_CHECK;
/* The seccomp allow-list of a worker that unpacks, for all its threads. */
int jail_seal(struct err *err) MUST_CHECK;

#endif
