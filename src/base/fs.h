/* Files: bounded reads, atomic writes, directories, locks. */
#ifndef BERTH_BASE_FS_H
#define BERTH_BASE_FS_H

#include <sys/types.h>

#include "base/buf.h"

/*
 * Reads the whole file into out (its cap applies). ENOENT is ERR_NOT_FOUND, a
 * file that is not regular (or a socket, FIFO, device) ERR_CONFIG, the rest
 * ERR_SYSTEM with errnum.
 */
int fs_read(const char *path, struct buf *out, struct err *err) MUST_CHECK;

/*
 * Writes path.new, fsyncs it and renames it over path: a reader sees the old
 * bytes or the new, and a symlink at path is replaced, not followed. One writer
 * at a time: the caller holds a lock. The directory must exist. A writer that is
 * killed leaves path.new, which the next one replaces.
 */
int fs_write_atomic(const char *path, const void *bytes, size_t len, mode_t mode,
		    struct err *err) MUST_CHECK;

/* Removes what a writer of path left that was killed; for whoever holds the lock that writers of path take. */
void fs_forget_unfinished(const char *path);

/* mkdir -p with mode 0755 for what is missing. */
int fs_mkdirs(const char *path, struct err *err) MUST_CHECK;

/*
 * Takes an exclusive lock on path (created 0600), which goes with the open file. Waits until deadline_ms of
 * clock_mono_ms(), or not at all for 0: ERR_CONFLICT. *fd_out is the caller's.
 */
int fs_lock(const char *path, int64_t deadline_ms, int *fd_out, struct err *err) MUST_CHECK;

/* True when somebody holds path as fs_lock() takes it; false also when it does not exist. Takes nothing. */
bool fs_locked(const char *path);

/* Writes all bytes to a blocking descriptor. */
int fs_write_all(int fd, const void *bytes, size_t len, struct err *err) MUST_CHECK;

#endif
