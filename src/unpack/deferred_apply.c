/* The parent's side: it has all capabilities, so every name is resolved below the layer's directory. */
#include "unpack/deferred.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/mem.h"
#include "unpack/below.h"

struct place {
	int dir_fd;
	const char *name; /* in it */
};

static void close_place(struct place *p)
{
	closep(&p->dir_fd);
}

/* The directory that holds the path. It was made by the worker: links in it lead nowhere. */
static int find(int root_fd, const char *path, struct place *out, struct err *err)
{
	char dir[DEFERRED_PATH_MAX];
	const char *slash = strrchr(path, '/');

	(void)snprintf(dir, sizeof dir, "%.*s", slash ? (int)(slash - path) : 1, slash ? path : ".");
	int fd = below_open(root_fd, dir, O_RDONLY | O_DIRECTORY, 0);
	if (fd < 0)
		return err_sys(err, errno, "%s", dir);
	*out = (struct place){ fd, slash ? slash + 1 : path };
	return 0;
}

/* A link to the earlier name, if that still is what it was. */
static bool link_device(const struct place *at, const struct deferred_item *item, dev_t dev, int root_fd)
{
	CLEANUP(close_place) struct place first = { -1, NULL };
	struct err unheard;
	struct stat st;

	return *item->device.link && find(root_fd, item->device.link, &first, &unheard) == 0 &&
	       fstatat(first.dir_fd, first.name, &st, AT_SYMLINK_NOFOLLOW) == 0 && st.st_rdev == dev &&
	       (st.st_mode & S_IFMT) == (item->device.mode & S_IFMT) &&
	       linkat(first.dir_fd, first.name, at->dir_fd, at->name, 0) == 0;
}

/* In place of the placeholder. The directory's times are set already. */
static int make_device(const struct place *at, const struct deferred_item *item, int root_fd, struct err *err)
{
	dev_t dev = makedev(item->device.major, item->device.minor);
	struct stat dir;

	if (fstat(at->dir_fd, &dir) < 0 || unlinkat(at->dir_fd, at->name, 0) < 0 ||
	    (!link_device(at, item, dev, root_fd) &&
	     mknodat(at->dir_fd, at->name, item->device.mode & S_IFMT, dev) < 0) ||
	    fchownat(at->dir_fd, at->name, item->device.uid, item->device.gid, AT_SYMLINK_NOFOLLOW) < 0 ||
	    fchmodat(at->dir_fd, at->name, item->device.mode & 07777, 0) < 0 ||
	    utimensat(at->dir_fd, at->name, item->device.times, AT_SYMLINK_NOFOLLOW) < 0)
		return err_sys(err, errno, "making the device node %s", item->path);

	const struct timespec times[] = { dir.st_atim, dir.st_mtim };
	return futimens(at->dir_fd, times) < 0 ? err_sys(err, errno, "%s", item->path) : 0;
}

/* By the descriptor's name in /proc, which works for links and does not open what it names. */
static int set_attribute(const struct place *at, const char *path, const char *name, const void *value, size_t len,
			 struct err *err)
{
	char link[sizeof "/proc/self/fd/" + 12];
	CLEANUP(closep) int fd = below_open(at->dir_fd, at->name, O_PATH | O_NOFOLLOW, 0);

	if (fd < 0)
		return err_sys(err, errno, "%s", path);
	(void)snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
	return setxattr(link, name, value, len, 0) < 0 ? err_sys(err, errno, "attribute %s of %s", name, path) : 0;
}

static int apply_item(const struct deferred_item *item, int root_fd, struct err *err)
{
	CLEANUP(close_place) struct place at = { -1, NULL };

	if (item->kind == DEFERRED_IMPLICIT_DIR)
		return 0;
	if (find(root_fd, item->path, &at, err) < 0)
		return -1;
	if (item->kind == DEFERRED_DEVICE)
		return make_device(&at, item, root_fd, err);
	if (item->kind == DEFERRED_OPAQUE)
		return set_attribute(&at, item->path, "trusted.overlay.opaque", "y", 1, err);
	int result = set_attribute(&at, item->path, item->xattr.name, item->xattr.value, item->xattr.len, err);
	/* What the file system does not have, engines leave out too. */
	return result < 0 && err->errnum != ENOTSUP ? -1 : 0;
}

int deferred_apply(const struct deferred *d, int root_fd, struct err *err)
{
	struct deferred_item item;
	size_t at = 0;

	while (deferred_next(d, &at, &item))
		if (apply_item(&item, root_fd, err) < 0)
			return err_wrap(err, "what the unpack worker left to do");
	return 0;
}
