/* Taking away what an earlier entry of the same layer has made. */
#include "unpack/writer_private.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

/* getdents64(2) by itself: readdir(3) would need more system calls than the jail allows. */
#define ENTRIES_BYTES (16 * KIB)

struct entry64 {
	uint64_t ino;
	int64_t off;
	uint16_t size;
	uint8_t type;
	char name[];
};

static int unlink_entries(int fd, const char *path, bool *found, struct err *err)
{
	_Alignas(struct entry64) char entries[ENTRIES_BYTES];
	long n = syscall(SYS_getdents64, fd, entries, sizeof entries);

	*found = false;
	if (n < 0)
		return writer_fail(err, errno, "reading the directory", path);
	for (long at = 0; at < n;) {
		const struct entry64 *e = (const struct entry64 *)(entries + at);
		at += e->size;
		if ((e->name[0] == '.' && !e->name[1]) || (e->name[0] == '.' && e->name[1] == '.' && !e->name[2]))
			continue;
		if (unlinkat(fd, e->name, 0) < 0)
			return writer_fail(err, errno, "removing what was in", path);
		*found = true;
	}
	return 0;
}

/* It has no directories in it any more. */
static int remove_leaf(struct writer *w, struct dir *d, struct err *err)
{
	bool found = true;
	int fd = dirs_open(w->dirs, d);

	if (fd < 0)
		return writer_fail(err, errno, "opening the directory", d->path);
	while (found)
		if (lseek(fd, 0, SEEK_SET) < 0 || unlink_entries(fd, d->path, &found, err) < 0)
			return -1;
	fd = dirs_open(w->dirs, d->parent);
	if (fd < 0 || unlinkat(fd, dir_name(d), AT_REMOVEDIR) < 0)
		return writer_fail(err, errno, "removing the directory", d->path);
	dirs_drop(w->dirs, d);
	return 0;
}

int writer_remove_dir(struct writer *w, struct dir *d, struct err *err)
{
	struct dir *parent = d->parent;

	w->last = NULL;
	if (w->has_deferred)
		deferred_forget(w->deferred, d->path);
	while (d != parent) {
		struct dir *up = d->parent;
		if (d->children) {
			d = d->children;
			continue;
		}
		bool is_last = up == parent;
		if (remove_leaf(w, d, err) < 0)
			return -1;
		d = is_last ? parent : up;
	}
	return 0;
}

int writer_remove(struct writer *w, struct spot *at, struct err *err)
{
	struct dir *d = dirs_find(w->dirs, at->path, strlen(at->path));

	w->last = NULL; /* it may be a link to a directory */
	if (!d && unlinkat(at->fd, at->name, 0) < 0)
		return writer_fail(err, errno, "replacing", at->path);
	if (!d && w->has_deferred)
		deferred_forget(w->deferred, at->path);
	if (d && writer_remove_dir(w, d, err) < 0)
		return -1;
	at->fd = dirs_open(w->dirs, at->dir);
	return at->fd < 0 ? writer_fail(err, errno, "opening the directory of", at->path) : 0;
}
