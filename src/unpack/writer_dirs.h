/*
 * Private to writer*.c: the directories that a layer has made so far, by name, with descriptors of
 * those in use. The tree starts empty and nobody else writes to it, so that a name found here is a
 * directory whose every parent is one too: no link needs to be looked for.
 */
#ifndef BERTH_UNPACK_WRITER_DIRS_H
#define BERTH_UNPACK_WRITER_DIRS_H

#include <sys/types.h>

#include "base/err.h"

/* In one layer; each takes some 200 bytes here. */
#define DIRS_MAX 500000

struct dir {
	struct dir *parent, *children, *next, **link; /* link: what points at it among its siblings */
	struct dir *newer, *older;                    /* of those with a descriptor */
	struct dir *same_bucket;
	int fd; /* -1: not open */
	mode_t mode; /* as the layer says; the set-id bits reach the disk at the end */
	uid_t uid;
	gid_t gid;
	struct timespec times[2];
	bool is_explicit, was_implicit, is_opaque, has_times;
	uint32_t hash;
	uint16_t path_len, name_at;
	char path[]; /* no leading slash; "" for the top */
};

static inline const char *dir_name(const struct dir *d)
{
	return d->path + d->name_at;
}

struct dirs;

struct dirs *dirs_new(int root_fd); /* borrowed */
void dirs_free(struct dirs *t);
struct dir *dirs_top(struct dirs *t);

/* NULL: there is none. */
struct dir *dirs_find(const struct dirs *t, const char *path, size_t len);
/* parent/name, which must not be there yet; ERR_LIMIT, ERR_REFUSED for a path that is too long. */
int dirs_add(struct dirs *t, struct dir *parent, const char *name, size_t len, struct dir **out,
	     struct err *err) MUST_CHECK;
/* Forgets it; it must have no children. */
void dirs_drop(struct dirs *t, struct dir *d);
/* -1 with errno. The descriptor stays open until hundreds of others have been asked for. */
int dirs_open(struct dirs *t, struct dir *d);
/* Each after its parent, beginning with the top; NULL behind the last. */
struct dir *dirs_next(struct dirs *t, const struct dir *d);

#endif
