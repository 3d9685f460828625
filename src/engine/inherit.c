#include "engine/inherit.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

/* Linux's own limits (XATTR_LIST_MAX, XATTR_SIZE_MAX). */
#define XATTR_LIST_BYTES (64 * KIB)
#define XATTR_VALUE_BYTES (64 * KIB)

static int open_in_root(int root, const char *path, int flags)
{
	const struct open_how how = {
		.flags = (uint64_t)(flags | O_DIRECTORY | O_CLOEXEC),
		.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS,
	};

	return (int)syscall(SYS_openat2, root, path, &how, sizeof how);
}

static int copy_xattrs(int from, int to)
{
	CLEANUP(freep) char *names = xmalloc(XATTR_LIST_BYTES);
	CLEANUP(freep) char *value = xmalloc(XATTR_VALUE_BYTES);
	ssize_t len = flistxattr(from, names, XATTR_LIST_BYTES);

	if (len < 0)
		return errno == ENOTSUP ? 0 : -1;
	for (const char *name = names; name < names + len; name += strlen(name) + 1) {
		if (skip_prefix(name, "trusted.")) /* overlayfs's own marks */
			continue;
		ssize_t n = fgetxattr(from, name, value, XATTR_VALUE_BYTES);
		if (n < 0 || (fsetxattr(to, name, value, (size_t)n, 0) < 0 && errno != ENOTSUP))
			return -1;
	}
	return 0;
}

static bool is_empty(int fd)
{
	int copy = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = copy < 0 ? NULL : fdopendir(copy);
	const struct dirent *e;
	bool empty = true;

	if (!dir) {
		closep(&copy);
		return false;
	}
	while (empty && (e = readdir(dir)))
		empty = streq(e->d_name, ".") || streq(e->d_name, "..");
	(void)closedir(dir);
	return empty;
}

/* What containerd gives a directory that it makes on the way to an entry; the entry then changes its times. */
static int copy_directory(int from, int to, bool attributes_only)
{
	struct stat st;

	if (copy_xattrs(from, to) < 0 || fstat(from, &st) < 0)
		return -1;
	if (attributes_only)
		return 0;
	if (fchown(to, st.st_uid, st.st_gid) < 0 || fchmod(to, st.st_mode & 07777) < 0)
		return -1;
	const struct timespec times[] = { st.st_atim, st.st_mtim };
	return is_empty(to) ? futimens(to, times) : 0;
}

/* 1: done, or ended by something else of that name; 0: not there. */
static int inherit_from(const char *lower, const struct store_inherit *what, int to)
{
	CLEANUP(closep) int root = open(lower, O_PATH | O_DIRECTORY | O_CLOEXEC);
	CLEANUP(closep) int from = root < 0 ? -1 : open_in_root(root, what->path, O_RDONLY);

	if (from < 0)
		return errno == ENOENT && root >= 0 ? 0 : errno == ENOTDIR ? 1 : -1;
	return copy_directory(from, to, what->attributes_only) < 0 ? -1 : 1;
}

static int inherit_one(int layer, const struct store_inherit *what, const struct strv *lower, struct err *err)
{
	CLEANUP(closep) int to = open_in_root(layer, what->path, O_RDONLY);

	if (to < 0)
		/* A later entry of the layer took its place. */
		return errno == ENOENT || errno == ENOTDIR ? 0 : err_sys(err, errno, "open %s", what->path);
	for (size_t k = 0; k < lower->n; k++) {
		int result = inherit_from(lower->v[k], what, to);
		if (result < 0)
			return err_sys(err, errno, "%s as it is in %s", what->path, lower->v[k]);
		if (result)
			return 0;
	}
	return 0;
}

int inherit_all(int layer, const struct store_inherit *list, size_t n, const struct strv *lower, struct err *err)
{
	for (size_t i = 0; i < n; i++)
		if (inherit_one(layer, &list[i], lower, err) < 0)
			return -1;
	return 0;
}
