/*
 * What a worker may not do itself, because its capabilities or its mount do not allow it: device
 * nodes, opaque marks, attributes that need CAP_SYS_ADMIN, and directories whose owner and mode
 * only the layers below know. The worker notes them, sends the list behind its answer, and the
 * parent applies it when the worker has gone. The worker may have been taken over by its input:
 * whatever comes from it is checked as it is read, and done below the layer's directory.
 */
#ifndef BERTH_UNPACK_DEFERRED_H
#define BERTH_UNPACK_DEFERRED_H

#include <sys/types.h>

#include "base/buf.h"

/* Encoded bytes: an image whose every directory is implied (some builders write such) has a few hundred KiB. */
#define DEFERRED_MAX_BYTES (16 * MIB)
#define DEFERRED_PATH_MAX 4096
#define DEFERRED_XATTR_NAME_MAX 255           /* XATTR_NAME_MAX of linux/limits.h */
#define DEFERRED_XATTR_VALUE_MAX (64 * KIB)   /* XATTR_SIZE_MAX */

enum deferred_kind {
	DEFERRED_DEVICE,       /* a placeholder file is there; it becomes a device node */
	DEFERRED_OPAQUE,       /* trusted.overlay.opaque=y on a directory, which may be "." */
	DEFERRED_XATTR,        /* an attribute of the security class, or one of a link */
	DEFERRED_IMPLICIT_DIR, /* made because something is in it: takes owner, mode and attributes from below */
	DEFERRED_KINDS
};

/* One of the list. Strings are NUL-terminated; paths have no leading slash and no "", "." or ".." in them. */
struct deferred_item {
	enum deferred_kind kind;
	const char *path;
	union {
		struct {
			mode_t mode; /* with the type: S_IFCHR or S_IFBLK */
			uid_t uid;
			gid_t gid;
			unsigned int major, minor;
			struct timespec times[2]; /* access, modification */
			const char *link; /* the same node under an earlier name; "": it is the first */
		} device;
		struct {
			const char *name;
			const void *value;
			size_t len;
		} xattr;
		/* The layer has an entry for it after all, which came later: only the attributes come from below. */
		bool attributes_only;
	};
};

struct deferred; /* a list in the order in which things were noted */

struct deferred *deferred_new(void);
void deferred_free(struct deferred *d);

/* ERR_LIMIT when it would pass DEFERRED_MAX_BYTES. */
int deferred_add(struct deferred *d, const struct deferred_item *item, struct err *err) MUST_CHECK;
/* Takes out what concerns path and what is below it. */
void deferred_forget(struct deferred *d, const char *path);

/* *at is 0 first; false at the end. Items are valid until the next change. */
bool deferred_next(const struct deferred *d, size_t *at, struct deferred_item *out);

/* The encoded list, for a pipe between two processes of one program. */
const void *deferred_bytes(const struct deferred *d, size_t *len);
/* Takes foreign bytes only if they are a list as this file writes it: ERR_PROTOCOL. Pure. */
int deferred_parse(const void *bytes, size_t len, struct deferred **out, struct err *err) MUST_CHECK;

/*
 * Does all but the implicit directories below root_fd, never leaving it, and leaves the times of
 * directories as they are. ERR_SYSTEM; ERR_PROTOCOL when something is not there.
 */
int deferred_apply(const struct deferred *d, int root_fd, struct err *err) MUST_CHECK;

#endif
