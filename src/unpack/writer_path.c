/* Names to directories: lexical cleaning, links inside the layer, directories that are only implied. */
#include "unpack/writer_private.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"

/* As many as containerd follows (continuity/fs, walkLink). */
#define LINKS_MAX 255

ssize_t writer_clean(const char *path, char *out, size_t size)
{
	size_t len = 0;

	while (*path) {
		size_t n = strcspn(path, "/");
		if (n == 2 && path[0] == '.' && path[1] == '.') {
			while (len && out[--len] != '/')
				;
		} else if (n && !(n == 1 && path[0] == '.')) {
			if (len + 1 + n >= size)
				return -1;
			if (len)
				out[len++] = '/';
			memcpy(out + len, path, n);
			len += n;
		}
		path += n;
		path += *path == '/';
	}
	out[len] = '\0';
	return (ssize_t)len;
}

/* Without an entry: root's, or of the group that the directory above hands down. */
static int make_implied(struct writer *w, struct dir *parent, const char *name, size_t len, struct dir **out,
			struct err *err)
{
	struct dir *d;

	if (dirs_add(w->dirs, parent, name, len, &d, err) < 0)
		return -1;
	int fd = dirs_open(w->dirs, parent);
	d->mode = 0755;
	d->gid = parent->mode & S_ISGID ? parent->gid : 0;
	d->was_implicit = true;
	if (fd < 0 || mkdirat(fd, dir_name(d), d->mode) < 0 ||
	    (d->gid && fchownat(fd, dir_name(d), (uid_t)-1, d->gid, AT_SYMLINK_NOFOLLOW) < 0)) {
		int errnum = errno;
		(void)writer_fail(err, errnum, "making the directory", d->path);
		dirs_drop(w->dirs, d);
		return -1;
	}
	*out = d;
	return 0;
}

/* A way to a directory, part of it gone already. */
struct walk {
	struct dir *at;
	char rest[2 * DEFERRED_PATH_MAX];
	char scratch[2 * DEFERRED_PATH_MAX];
	size_t links;
};

/* The link `name` in walk->at leads to `target`: start again from the top with what it stands for. */
static int follow(struct writer *w, struct walk *walk, const char *target, const char *rest, struct err *err)
{
	bool absolute = target[0] == '/';
	char clean[DEFERRED_PATH_MAX];

	if (++walk->links > LINKS_MAX)
		return err_set(err, ERR_REFUSED, "too many links: %s", w->path);
	(void)snprintf(walk->scratch, sizeof walk->scratch, "%s/%s", absolute ? "" : walk->at->path, target);
	if (writer_clean(walk->scratch, clean, sizeof clean) < 0)
		return writer_fail(err, ENAMETOOLONG, "following links", w->path);
	/* `rest` points into walk->rest. */
	int n = snprintf(walk->scratch, sizeof walk->scratch, "%s/%s", clean, rest);
	if (n < 0 || (size_t)n >= sizeof walk->scratch)
		return writer_fail(err, ENAMETOOLONG, "following links", w->path);
	memcpy(walk->rest, walk->scratch, (size_t)n + 1);
	walk->at = dirs_top(w->dirs);
	return 0;
}

/* One part of the way that is no directory of the layer. */
static int step_aside(struct writer *w, struct walk *walk, char *name, size_t len, const char *rest, bool make,
		      struct err *err)
{
	char target[DEFERRED_PATH_MAX];
	char kept = name[len];
	int fd = dirs_open(w->dirs, walk->at);

	if (fd < 0)
		return writer_fail(err, errno, "opening the directory", walk->at->path);
	name[len] = '\0';
	ssize_t n = readlinkat(fd, name, target, sizeof target - 1);
	int errnum = errno;
	name[len] = kept;
	if (n >= 0) {
		target[n] = '\0';
		return follow(w, walk, target, rest, err);
	}
	if (errnum != ENOENT || !make)
		return writer_fail(err, errnum == EINVAL ? ENOTDIR : errnum, "a directory on the way to", w->path);
	return make_implied(w, walk->at, name, len, &walk->at, err);
}

static struct dir *child_of(struct writer *w, const struct dir *d, const char *name, size_t len)
{
	char path[2 * DEFERRED_PATH_MAX];
	size_t at = d->path_len;

	memcpy(path, d->path, at);
	if (at)
		path[at++] = '/';
	memcpy(path + at, name, len);
	return dirs_find(w->dirs, path, at + len);
}

static int walk_dirs(struct writer *w, const char *path, size_t len, bool make, struct dir **out, struct err *err)
{
	struct walk walk = { .at = dirs_top(w->dirs) };

	memcpy(walk.rest, path, len);
	for (char *p = walk.rest; *p;) {
		size_t n = strcspn(p, "/");
		char *after = p + n + (p[n] == '/');
		size_t links = walk.links;
		struct dir *child = n && n < DEFERRED_PATH_MAX ? child_of(w, walk.at, p, n) : NULL;
		if (child)
			walk.at = child;
		else if (n && step_aside(w, &walk, p, n, after, make, err) < 0)
			return -1;
		p = walk.links == links ? after : walk.rest;
	}
	*out = walk.at;
	return 0;
}

int writer_find_dir(struct writer *w, const char *path, size_t len, bool make, struct dir **out, struct err *err)
{
	if (w->last && len == w->last_len && memcmp(path, w->last_path, len) == 0) {
		*out = w->last;
		return 0;
	}
	struct dir *d = dirs_find(w->dirs, path, len);
	if (!d && walk_dirs(w, path, len, make, &d, err) < 0)
		return -1;
	memcpy(w->last_path, path, len);
	w->last_len = len;
	w->last = d;
	*out = d;
	return 0;
}
