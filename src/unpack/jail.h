/*
 * What a worker may do once it has started. One that only inflates: read, write, map memory, exit.
 * One that unpacks: that, and make files below one directory. Their bytes are a stranger's. Fails
 * closed: no jail, no work.
 */
#ifndef BERTH_UNPACK_JAIL_H
#define BERTH_UNPACK_JAIL_H

#include <sys/types.h>

#include "base/err.h"

/* What is done once, by the process that those in jail are forked from, since it takes the kernel milliseconds. */
struct jail {
	pid_t parent;      /* who did it, and whoever is in jail dies with */
	bool apart;        /* it has namespaces of its own */
	struct err reason; /* kind ERR_NONE: and sees no file */
};

/*
 * In a process of one thread: closes every descriptor but the given ones (ascending); namespaces of
 * its own for network, mounts, IPC and host name; an empty read-only root. What is not permitted is
 * told to those who need it.
 */
void jail_prepare(const int *keep_fds, size_t n, struct jail *out);

/*
 * Called in the worker before its first byte of input: closes every descriptor but the
 * given ones (ascending), dies with the parent, unshares the network if it has not been, user
 * `nobody`-like ids where root, no-new-privs, rlimits (memory, no files, no processes, no core),
 * seccomp allow-list.
 */
int jail_enter(const struct jail *jail, const int *keep_fds, size_t n, struct err *err) MUST_CHECK;

/*
 * A mount of the directory that belongs to no namespace yet, to be given to the worker that unpacks
 * there. ERR_SYSTEM where that is not permitted.
 */
int jail_tree(int dir_fd, int *out, struct err *err) MUST_CHECK;
/*
 * The jail of a worker that unpacks, in two steps, so that it can start its threads in between. The
 * first leaves a process that sees nothing but the tree *root_fd (of jail_tree(), one of keep_fds):
 * mounted nodev, nosuid and noexec in a mount namespace of its own, the rest unmounted; no network;
 * of root's capabilities those that set owners and modes; *root_fd is closed and replaced by one
 * from inside, since the old one's ".." leads out. ERR_SYSTEM where namespaces are not permitted:
 * nothing else would hold it, so then nothing is unpacked.
 */
int jail_confine(const struct jail *jail, const int *keep_fds, size_t n, int *root_fd, struct err *err) MUST_CHECK;
/* The seccomp allow-list of a worker that unpacks, for all its threads. */
int jail_seal(struct err *err) MUST_CHECK;

#endif
