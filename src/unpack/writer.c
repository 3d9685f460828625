#include "unpack/writer.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "unpack/below.h"
#include "unpack/writer_private.h"

struct writer *writer_new(int root_fd, bool bottom, struct deferred *deferred)
{
	struct writer *w = xcalloc(1, sizeof *w);

	w->dirs = dirs_new(root_fd);
	w->deferred = deferred;
	w->bottom = bottom;
	w->fd = -1;
	return w;
}

void writer_free(struct writer *w)
{
	if (!w)
		return;
	closep(&w->fd);
	dirs_free(w->dirs);
	while (w->n_lost)
		free(w->lost[--w->n_lost]);
	free(w->lost);
	free(w);
}

int writer_fail(struct err *err, int errnum, const char *what, const char *path)
{
	/* These say that there is something wrong with the machine; all others, with the layer. */
	static const int machine[] = { EACCES, EDQUOT, EFBIG, EIO, EMFILE, ENFILE, ENOMEM, ENOSPC, ENOSYS, EROFS };

	for (size_t i = 0; i < ARRAY_LEN(machine); i++)
		if (errnum == machine[i])
			return err_sys(err, errnum, "%s %s", what, path);
	(void)err_sys(err, errnum, "%s %s", what, path);
	err->kind = ERR_REFUSED;
	return -1;
}

int writer_note(struct writer *w, const struct deferred_item *item, struct err *err)
{
	w->has_deferred = true;
	return deferred_add(w->deferred, item, err);
}

static int make_dir(struct writer *w, struct spot *at, const struct writer_entry *e, struct err *err)
{
	size_t len = strlen(at->path);
	struct dir *d = dirs_find(w->dirs, at->path, len);

	if (d)
		return writer_set_dir_meta(w, d, e, err);
	int result = mkdirat(at->fd, at->name, e->mode & 01777);
	if (result < 0 && errno == EEXIST) {
		if (writer_remove(w, at, err) < 0)
			return -1;
		result = mkdirat(at->fd, at->name, e->mode & 01777);
	}
	if (result < 0)
		return writer_fail(err, errno, "making the directory", at->path);
	if (dirs_add(w->dirs, at->dir, at->name, strlen(at->name), &d, err) < 0)
		return -1;
	d->mode = e->mode & 01777;
	return writer_set_dir_meta(w, d, e, err);
}

static int begin_file(struct writer *w, struct spot *at, const struct writer_entry *e, struct err *err)
{
	int flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW;
	int fd = below_open(at->fd, at->name, flags, e->mode);

	if (fd < 0 && errno == EEXIST) {
		if (writer_remove(w, at, err) < 0)
			return -1;
		fd = below_open(at->fd, at->name, flags, e->mode);
	}
	if (fd < 0)
		return writer_fail(err, errno, "making the file", at->path);
	w->fd = fd;
	w->entry = *e;
	w->file_end = 0;
	w->total_bytes += e->size_bytes;
	if (w->total_bytes > WRITER_MAX_BYTES)
		return err_set(err, ERR_LIMIT, "the files are larger than %lld GiB together",
			       (long long)(WRITER_MAX_BYTES / (int64_t)GIB));
	return 0;
}

int writer_data(struct writer *w, int64_t offset, const void *bytes, size_t len, struct err *err)
{
	const char *p = bytes;

	if (offset < 0 || (int64_t)len > w->entry.size_bytes || offset > w->entry.size_bytes - (int64_t)len)
		return err_set(err, ERR_REFUSED, "%s is larger than its header says", w->path);
	while (len) {
		ssize_t n = pwrite(w->fd, p, len, offset);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return writer_fail(err, errno, "writing", w->path);
		p += n;
		offset += n;
		len -= (size_t)n;
	}
	if (offset > w->file_end)
		w->file_end = offset;
	return 0;
}

int writer_file_end(struct writer *w, struct err *err)
{
	const struct writer_entry *e = &w->entry;
	bool chown = e->uid || e->gid, chmod = w->has_default_acl || (chown && e->mode & 06000);

	/* Attributes behind the data: writing takes a file's capabilities away. */
	if (w->file_end < e->size_bytes && ftruncate(w->fd, e->size_bytes) < 0)
		return writer_fail(err, errno, "writing", w->path);
	if (chown && fchown(w->fd, e->uid, e->gid) < 0)
		return writer_fail(err, errno, "setting the owner of", w->path);
	if (e->n_xattrs && writer_set_xattrs(w, w->fd, w->path, e, &chmod, err) < 0)
		return -1;
	if ((chmod && fchmod(w->fd, e->mode) < 0) || futimens(w->fd, e->times) < 0)
		return writer_fail(err, errno, "setting mode and times of", w->path);
	closep(&w->fd);
	w->fd = -1;
	return 0;
}

/* mknodat(2), or what else makes something at the spot, once more when something is there. */
typedef int make_fn(const struct spot *at, const void *what);

static int make_anew(struct writer *w, struct spot *at, make_fn *make, const void *what, struct err *err)
{
	int result = make(at, what);

	if (result < 0 && errno == EEXIST) {
		if (writer_remove(w, at, err) < 0)
			return -1;
		result = make(at, what);
	}
	return result < 0 ? writer_fail(err, errno, "making", at->path) : 0;
}

static int symlink_at(const struct spot *at, const void *what)
{
	return symlinkat(what, at->fd, at->name);
}

static int make_symlink(struct writer *w, struct spot *at, const struct writer_entry *e, struct err *err)
{
	return make_anew(w, at, symlink_at, e->link, err) < 0 ? -1 : writer_set_meta(w, at, e, err);
}

/* The placeholder of a device has another name now, which will have to be one of the device. */
static int note_device_link(struct writer *w, const struct spot *at, const struct dir *dir, const char *name,
			    const struct writer_entry *e, struct err *err)
{
	CLEANUP(freep) char *first = xasprintf("%s%s%s", dir->path, dir->path_len ? "/" : "", name);
	struct deferred_item item;

	for (size_t offset = 0; deferred_next(w->deferred, &offset, &item);) {
		if (item.kind != DEFERRED_DEVICE || !streq(item.path, first))
			continue;
		item.path = at->path;
		item.device.mode = (item.device.mode & S_IFMT) | e->mode;
		item.device.uid = e->uid;
		item.device.gid = e->gid;
		memcpy(item.device.times, e->times, sizeof item.device.times);
		item.device.link = first;
		return writer_note(w, &item, err);
	}
	return 0;
}

/* 1: something is at the spot. */
static int try_link(struct writer *w, struct spot *at, const struct writer_entry *e, struct err *err)
{
	char target[DEFERRED_PATH_MAX];
	struct dir *dir;
	ssize_t len = writer_clean(e->link, target, sizeof target);

	if (len <= 0)
		return writer_fail(err, len < 0 ? ENAMETOOLONG : EPERM, "linking to", e->link);
	const char *slash = memrchr(target, '/', (size_t)len);
	if (writer_find_dir(w, target, slash ? (size_t)(slash - target) : 0, false, &dir, err) < 0)
		return -1;
	int fd = dirs_open(w->dirs, dir);
	at->fd = dirs_open(w->dirs, at->dir);
	if (fd < 0 || at->fd < 0)
		return writer_fail(err, errno, "opening the directories of", at->path);
	if (linkat(fd, slash ? slash + 1 : target, at->fd, at->name, 0) < 0)
		return errno == EEXIST ? 1 : writer_fail(err, errno, "linking to", e->link);
	return w->has_deferred ? note_device_link(w, at, dir, slash ? slash + 1 : target, e, err) : 0;
}

static int make_link(struct writer *w, struct spot *at, const struct writer_entry *e, struct err *err)
{
	int result = try_link(w, at, e, err);

	/* What is replaced may hold the target, which is then looked for in vain, as the engines do. */
	if (result == 1)
		result = writer_remove(w, at, err) < 0 ? -1 : try_link(w, at, e, err);
	if (result == 1)
		return writer_fail(err, EEXIST, "linking to", e->link);
	return result < 0 ? err_wrap(err, "hard link %s", at->path) : writer_set_link_meta(w, at, e, err);
}

struct node {
	mode_t mode;
	dev_t dev;
};

static int node_at(const struct spot *at, const void *what)
{
	const struct node *node = what;

	return mknodat(at->fd, at->name, node->mode, node->dev);
}

/* What the kernel's 32 bits for a device hold. Go's unix.Mkdev() makes more, and mknod(2) cuts them off. */
#define MAJOR_MASK 0xfffu
#define MINOR_MASK 0xfffffu

/* The worker may make FIFOs and 0:0, which is overlayfs' whiteout; others get a placeholder. */
static int make_node(struct writer *w, struct spot *at, const struct writer_entry *e, struct err *err)
{
	unsigned int major = e->major & MAJOR_MASK, minor = e->minor & MINOR_MASK;
	bool is_device = e->type == WRITER_BLOCK || (e->type == WRITER_CHAR && (major || minor));
	const struct node node = {
		(is_device ? S_IFREG : e->type == WRITER_CHAR ? S_IFCHR : S_IFIFO) | e->mode, 0
	};
	const struct deferred_item item = {
		.kind = DEFERRED_DEVICE,
		.path = at->path,
		.device = { .mode = (e->type == WRITER_BLOCK ? S_IFBLK : S_IFCHR) | e->mode,
			    .uid = e->uid, .gid = e->gid, .major = major, .minor = minor,
			    .times = { e->times[0], e->times[1] }, .link = "" },
	};

	if (make_anew(w, at, node_at, &node, err) < 0 || (is_device && writer_note(w, &item, err) < 0))
		return -1;
	return writer_set_meta(w, at, e, err);
}

/* Where the entry goes; *at is not set for the top directory itself. */
static int find_spot(struct writer *w, const char *path, struct spot *at, struct err *err)
{
	ssize_t len = writer_clean(path, w->path, sizeof w->path);

	if (len < 0)
		return err_set(err, ERR_REFUSED, "a name is too long: %.64s...", path);
	if (len == 0)
		return 0;
	const char *slash = memrchr(w->path, '/', (size_t)len);
	size_t dir_len = slash ? (size_t)(slash - w->path) : 0;
	if (writer_find_dir(w, w->path, dir_len, true, &at->dir, err) < 0)
		return -1;
	at->fd = dirs_open(w->dirs, at->dir);
	if (at->fd < 0)
		return writer_fail(err, errno, "opening the directory of", w->path);
	at->name = slash ? slash + 1 : w->path;
	at->path = w->path;
	if (at->dir->path_len == dir_len && memcmp(at->dir->path, w->path, dir_len) == 0)
		return 0;
	/* A link was on the way: what is noted must have the name that needs none. */
	char name[DEFERRED_PATH_MAX];
	size_t name_len = strlen(at->name);
	memcpy(name, at->name, name_len + 1);
	if (at->dir->path_len + 1 + name_len >= sizeof w->path)
		return writer_fail(err, ENAMETOOLONG, "a name", w->path);
	(void)snprintf(w->path, sizeof w->path, "%s%s%s", at->dir->path, at->dir->path_len ? "/" : "", name);
	at->name = w->path + at->dir->path_len + (at->dir->path_len > 0);
	return 0;
}

int writer_add(struct writer *w, const struct writer_entry *e, bool *wants_data, struct err *err)
{
	struct spot at = { 0 };

	*wants_data = false;
	if (find_spot(w, e->path, &at, err) < 0)
		return -1;
	if (!at.dir)
		return 0; /* the top directory is the engine's */
	if (streq(at.name, WHITEOUT_OPAQUE))
		return writer_make_opaque(w, at.dir, err);
	if (skip_prefix(at.name, WHITEOUT_PREFIX))
		return writer_make_whiteout(w, &at, e, err);
	switch (e->type) {
	case WRITER_FILE:
		*wants_data = true;
		return begin_file(w, &at, e, err);
	case WRITER_DIR:
		return make_dir(w, &at, e, err);
	case WRITER_LINK:
		return make_link(w, &at, e, err);
	case WRITER_SYMLINK:
		return make_symlink(w, &at, e, err);
	case WRITER_CHAR:
	case WRITER_BLOCK:
	case WRITER_FIFO:
		return make_node(w, &at, e, err);
	}
	return err_set(err, ERR_REFUSED, "unknown type %d", (int)e->type);
}

int writer_add_parents(struct writer *w, const char *path, struct err *err)
{
	struct spot at = { 0 };

	return find_spot(w, path, &at, err);
}

static int end_dir(struct writer *w, const struct dir *d, int root_fd, struct err *err)
{
	const struct deferred_item opaque = { .kind = DEFERRED_OPAQUE, .path = d->path_len ? d->path : "." };
	const struct deferred_item implicit = {
		.kind = DEFERRED_IMPLICIT_DIR,
		.path = d->path,
		.attributes_only = d->is_explicit,
	};

	if (d->mode & 06000 && fchmodat(root_fd, d->path, d->mode, 0) < 0)
		return writer_fail(err, errno, "setting the mode of", d->path);
	if ((d->is_explicit || d->has_times) && utimensat(root_fd, d->path, d->times, AT_SYMLINK_NOFOLLOW) < 0)
		return writer_fail(err, errno, "setting the times of", d->path);
	if (d->is_opaque && writer_note(w, &opaque, err) < 0)
		return -1;
	return d->was_implicit && !w->bottom ? writer_note(w, &implicit, err) : 0;
}

int writer_end(struct writer *w, struct err *err)
{
	int root_fd = dirs_open(w->dirs, dirs_top(w->dirs));

	if (writer_end_lost(w, err) < 0)
		return -1;
	for (struct dir *d = dirs_top(w->dirs); d; d = dirs_next(w->dirs, d))
		if (end_dir(w, d, root_fd, err) < 0)
			return -1;
	return 0;
}
