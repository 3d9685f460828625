/*
 * Puts the entries of one layer into a directory, in the form that overlayfs wants, as containerd's
 * overlay differ does it (core/diff/apply/apply_linux.go and pkg/archive/tar.go of containerd say
 * what happens in every odd case; what they refuse is refused). Owns the directory while it works;
 * it must be empty. umask must be 0.
 */
#ifndef BERTH_UNPACK_WRITER_H
#define BERTH_UNPACK_WRITER_H

#include <sys/types.h>

#include "unpack/deferred.h"
#include "unpack/strict.h"

enum writer_type {
	WRITER_FILE,
	WRITER_DIR,
	WRITER_LINK, /* hard */
	WRITER_SYMLINK,
	WRITER_CHAR,
	WRITER_BLOCK,
	WRITER_FIFO,
};

struct writer_entry {
	enum writer_type type;
	const char *path; /* as in the tar */
	const char *link; /* of links: the target */
	mode_t mode;      /* permission and set-id bits */
	uid_t uid;
	gid_t gid;
	struct timespec times[2]; /* access, modification */
	unsigned int major, minor;
	int64_t size_bytes; /* of files */
	const struct strict_xattr *xattrs;
	size_t n_xattrs;
};

/* Files of one layer together, holes counted: what an engine would write to a disk. */
#define WRITER_MAX_BYTES ((int64_t)256 * 1024 * 1024 * 1024)

struct writer;

/*
 * root_fd is borrowed. bottom: the layer has none below it, so whiteouts remove what the layer
 * itself has, and leave no mark. What cannot be done here goes to *deferred, which is borrowed too.
 */
struct writer *writer_new(int root_fd, bool bottom, struct deferred *deferred);
void writer_free(struct writer *w);

/*
 * Begins an entry. For a file, data and then writer_file_end() follow; *wants_data says so
 * (whiteouts are files without). ERR_REFUSED for what the layer may not do, ERR_SYSTEM for what the
 * machine cannot.
 */
int writer_add(struct writer *w, const struct writer_entry *entry, bool *wants_data, struct err *err) MUST_CHECK;
int writer_data(struct writer *w, int64_t offset, const void *bytes, size_t len, struct err *err) MUST_CHECK;
int writer_file_end(struct writer *w, struct err *err) MUST_CHECK;

/* The directories that an entry of this name would need are made, and no more. */
int writer_add_parents(struct writer *w, const char *path, struct err *err) MUST_CHECK;

/* After the last entry: modes and times of directories. */
int writer_end(struct writer *w, struct err *err) MUST_CHECK;

#endif
