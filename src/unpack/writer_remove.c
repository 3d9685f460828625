/* Taking away what an earlier entry of the same layer has made. */
#include "unpack/writer_private.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/mem.h"

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

static int remember(struct writer *w, const struct dir *d, struct err *err)
{
	if (w->n_lost == DIRS_MAX)
		return err_set(err, ERR_LIMIT, "more than %d directories", DIRS_MAX);
	if (w->n_lost == w->max_lost) {
		w->max_lost = w->max_lost ? 2 * w->max_lost : 16;
		w->lost = xreallocarray(w->lost, w->max_lost, sizeof *w->lost);
	}
	struct lost_dir *lost = xmalloc(sizeof *lost + d->path_len + 1);
	memcpy(lost->times, d->times, sizeof lost->times);
	memcpy(lost->path, d->path, d->path_len + (size_t)1);
	w->lost[w->n_lost++] = lost;
	return 0;
}

/* The last part of its name is no directory: a link to one, or something else. */
static int end_lost_name(struct writer *w, const struct lost_dir *lost, const struct dir *parent, const char *name,
			 struct err *err)
{
	struct dir *d;
	struct stat st;
	int fd = dirs_open(w->dirs, (struct dir *)parent);

	if (fd < 0 || fstatat(fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return writer_fail(err, errno, "setting the times of", lost->path);
	if (!S_ISLNK(st.st_mode))
		return utimensat(fd, name, lost->times, AT_SYMLINK_NOFOLLOW) < 0
			       ? writer_fail(err, errno, "setting the times of", lost->path)
			       : 0;
	if (writer_find_dir(w, lost->path, strlen(lost->path), false, &d, err) < 0)
		return -1;
	return utimensat(dirs_open(w->dirs, d), ".", lost->times, 0) < 0
		       ? writer_fail(err, errno, "setting the times of", lost->path)
		       : 0;
}

int writer_end_lost(struct writer *w, struct err *err)
{
	w->last = NULL;
	for (size_t i = 0; i < w->n_lost; i++) {
		const struct lost_dir *lost = w->lost[i];
		const char *slash = strrchr(lost->path, '/');
		struct dir *d = dirs_find(w->dirs, lost->path, strlen(lost->path));
		if (d && !d->is_explicit) {
			memcpy(d->times, lost->times, sizeof d->times);
			d->has_times = true;
		}
		if (d)
			continue;
		if (writer_find_dir(w, lost->path, slash ? (size_t)(slash - lost->path) : 0, false, &d, err) < 0 ||
		    end_lost_name(w, lost, d, slash ? slash + 1 : lost->path, err) < 0)
			return -1;
	}
	return 0;
}

/* It has no directories in it any more. */
static int remove_leaf(struct writer *w, struct dir *d, struct err *err)
{
	bool found = true;
	int fd = dirs_open(w->dirs, d);

	if (d->is_explicit && remember(w, d, err) < 0)
		return -1;
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
