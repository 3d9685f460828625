/*
 * Looks at every header of a tar before libarchive does, as Go's archive/tar would, since that is
 * what decides in the
 * engines: what Go's reader or containerd refuses is refused here, and so is what the two readers
 * would understand differently. Says of each entry what libarchive does not tell. Pure.
 */
#ifndef BERTH_UNPACK_STRICT_H
#define BERTH_UNPACK_STRICT_H

#include "base/buf.h"

/* Of one extended header or long name: Go's maxSpecialFileSize. */
#define STRICT_SPECIAL_MAX_BYTES (1 * MIB)
/* Of one file: Linux' XATTR_LIST_MAX would hold no more. */
#define STRICT_XATTRS_MAX 1024
#define STRICT_BLOCK_BYTES 512

enum strict_type {
	STRICT_FILE = '0',
	STRICT_LINK = '1',
	STRICT_SYMLINK = '2',
	STRICT_CHAR = '3',
	STRICT_BLOCK = '4',
	STRICT_DIR = '5',
	STRICT_FIFO = '6',
	/* Not an entry to libarchive; to containerd a name whose directories it makes. */
	STRICT_GLOBAL = 'g',
};

struct strict_xattr {
	const char *name;
	const void *value;
	size_t len;
};

struct strict_entry {
	enum strict_type type;
	int64_t size_bytes;        /* in the tar */
	bool is_sparse;            /* the file is larger than that */
	bool is_old;               /* of a kind of tar where directories are files with a slash behind their name */
	uint32_t major, minor;     /* of devices */
	const char *name;          /* of STRICT_GLOBAL only */
	struct strict_xattr *xattrs;
	size_t n_xattrs;
};

struct strict;

struct strict *strict_new(void);
void strict_free(struct strict *s);

/*
 * The next bytes of the tar: a multiple of 512, but for the last. Headers that libarchive would
 * understand otherwise than Go, of hard links with a size and of long links, are changed in them.
 * ERR_REFUSED.
 */
int strict_feed(struct strict *s, void *bytes, size_t len, struct err *err) MUST_CHECK;
/*
 * The input has ended: ERR_REFUSED when that is in the middle of an entry. *missing: bytes of the
 * last padding that Go does not miss; fewer than 512.
 */
int strict_end(struct strict *s, size_t *missing, struct err *err) MUST_CHECK;

/*
 * The entries seen, each once, in order: false when there is none left. *out is valid until the
 * next call of anything.
 */
bool strict_next(struct strict *s, struct strict_entry *out);

#endif
