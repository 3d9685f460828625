/* Owners, modes, times, attributes: only the calls that change something. */
#include "unpack/writer_private.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/mem.h"
#include "unpack/below.h"

/* linux/capability.h has no name for it. */
#define XATTR_NAME_CAPS "security.capability"

enum xattr_way { XATTR_SET, XATTR_NOTE, XATTR_SKIP };

/*
 * containerd leaves out the trusted class. The other attributes of the security class need
 * CAP_SYS_ADMIN, which the worker does not have.
 */
static enum xattr_way way_of(const char *name)
{
	if (skip_prefix(name, "trusted."))
		return XATTR_SKIP;
	if (skip_prefix(name, "security.") && !streq(name, XATTR_NAME_CAPS))
		return XATTR_NOTE;
	return XATTR_SET;
}

static int note(struct writer *w, const char *path, const struct strict_xattr *x, struct err *err)
{
	const struct deferred_item item = {
		.kind = DEFERRED_XATTR,
		.path = path,
		.xattr = { x->name, x->value, x->len },
	};

	if (strlen(x->name) > DEFERRED_XATTR_NAME_MAX || x->len > DEFERRED_XATTR_VALUE_MAX)
		return writer_fail(err, ERANGE, "an attribute of", path);
	return writer_note(w, &item, err);
}

int writer_set_xattrs(struct writer *w, int fd, const char *path, const struct writer_entry *e, bool *sets_mode,
		      struct err *err)
{
	for (size_t i = 0; i < e->n_xattrs; i++) {
		const struct strict_xattr *x = &e->xattrs[i];
		enum xattr_way way = way_of(x->name);
		if (way == XATTR_NOTE && note(w, path, x, err) < 0)
			return -1;
		/* What the file system does not have, containerd leaves out with a warning. */
		if (way == XATTR_SET && fsetxattr(fd, x->name, x->value, x->len, 0) < 0 && errno != ENOTSUP)
			return writer_fail(err, errno, "an attribute of", path);
		*sets_mode |= streq(x->name, "system.posix_acl_access");
		w->has_default_acl |= streq(x->name, "system.posix_acl_default");
	}
	return 0;
}

int writer_note_xattrs(struct writer *w, const char *path, const struct writer_entry *e, struct err *err)
{
	/* Links and special files have no others: xattr(7). */
	for (size_t i = 0; i < e->n_xattrs; i++)
		if (skip_prefix(e->xattrs[i].name, "security.") && note(w, path, &e->xattrs[i], err) < 0)
			return -1;
	return 0;
}

int writer_set_meta(struct writer *w, const struct spot *at, const struct writer_entry *e, struct err *err)
{
	bool chown = e->uid || e->gid;
	bool chmod = e->type != WRITER_SYMLINK && ((chown && e->mode & 06000) || w->has_default_acl);

	if ((chown && fchownat(at->fd, at->name, e->uid, e->gid, AT_SYMLINK_NOFOLLOW) < 0) ||
	    (chmod && fchmodat(at->fd, at->name, e->mode, 0) < 0) ||
	    utimensat(at->fd, at->name, e->times, AT_SYMLINK_NOFOLLOW) < 0)
		return writer_fail(err, errno, "setting owner, mode and times of", at->path);
	return e->n_xattrs ? writer_note_xattrs(w, at->path, e, err) : 0;
}

static bool same_time(struct timespec a, struct timespec b)
{
	return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

/* uid_t and gid_t -1 mean "as it is" to chown(2), for containerd too. */
static bool same_owner(const struct stat *st, const struct writer_entry *e)
{
	return (st->st_uid == e->uid || e->uid == (uid_t)-1) && (st->st_gid == e->gid || e->gid == (gid_t)-1);
}

static int set_link_xattrs(struct writer *w, const struct spot *at, const struct stat *st, const struct writer_entry *e,
			   struct err *err)
{
	bool sets_mode = false;

	if (!S_ISREG(st->st_mode))
		return writer_note_xattrs(w, at->path, e, err);
	CLEANUP(closep) int fd = below_open(at->fd, at->name, O_WRONLY | O_NOFOLLOW, 0);
	if (fd < 0)
		return writer_fail(err, errno, "opening", at->path);
	return writer_set_xattrs(w, fd, at->path, e, &sets_mode, err);
}

int writer_set_link_meta(struct writer *w, const struct spot *at, const struct writer_entry *e, struct err *err)
{
	struct stat st;

	if (fstatat(at->fd, at->name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return writer_fail(err, errno, "looking at", at->path);
	bool is_link = S_ISLNK(st.st_mode), chown = !same_owner(&st, e);
	if (chown && fchownat(at->fd, at->name, e->uid, e->gid, AT_SYMLINK_NOFOLLOW) < 0)
		return writer_fail(err, errno, "setting the owner of", at->path);
	if (e->n_xattrs && set_link_xattrs(w, at, &st, e, err) < 0)
		return -1;
	/* chown(2) clears the set-id bits. */
	if (!is_link && (chown || (st.st_mode & 07777) != e->mode) && fchmodat(at->fd, at->name, e->mode, 0) < 0)
		return writer_fail(err, errno, "setting the mode of", at->path);
	if ((!same_time(st.st_mtim, e->times[1]) || chown) &&
	    utimensat(at->fd, at->name, e->times, AT_SYMLINK_NOFOLLOW) < 0)
		return writer_fail(err, errno, "setting the times of", at->path);
	return 0;
}

int writer_set_dir_meta(struct writer *w, struct dir *d, const struct writer_entry *e, struct err *err)
{
	uid_t uid = e->uid == (uid_t)-1 ? d->uid : e->uid;
	gid_t gid = e->gid == (gid_t)-1 ? d->gid : e->gid;
	bool sets_mode = w->has_default_acl;
	bool chown = uid != d->uid || gid != d->gid, chmod = e->mode != d->mode;
	int fd = -1;

	if ((chown || chmod || e->n_xattrs || sets_mode) && (fd = dirs_open(w->dirs, d)) < 0)
		return writer_fail(err, errno, "opening the directory", d->path);
	if (chown && fchown(fd, uid, gid) < 0)
		return writer_fail(err, errno, "setting the owner of", d->path);
	if (e->n_xattrs && writer_set_xattrs(w, fd, d->path, e, &sets_mode, err) < 0)
		return -1;
	/* The set-id bits at the end: what is made in a set-gid directory gets its group. */
	if ((chmod || sets_mode) && fchmod(fd, e->mode & 01777) < 0)
		return writer_fail(err, errno, "setting the mode of", d->path);
	d->uid = uid;
	d->gid = gid;
	d->mode = e->mode;
	memcpy(d->times, e->times, sizeof d->times);
	d->is_explicit = true;
	return 0;
}
