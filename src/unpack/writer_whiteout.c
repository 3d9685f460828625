/* Marks of what a layer hides (OCI image-spec layer.md, "Whiteouts"), in the form that overlayfs has for them. */
#include "unpack/writer_private.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"

/* Below is nothing that could show through: what has no entry of its own goes, as containerd does it. */
static int clear_dir(struct writer *w, struct dir *top, struct err *err)
{
	struct dir *d = top->children;

	while (d && d != top) {
		struct dir *up = d->parent, *next = d->next ? d->next : up;
		if (d->is_explicit && d->children)
			next = d->children;
		else if (!d->is_explicit && writer_remove_dir(w, d, err) < 0)
			return -1;
		while (next != top && next == up) {
			next = up->next ? up->next : up->parent;
			up = up->parent;
		}
		d = next;
	}
	return 0;
}

int writer_make_opaque(struct writer *w, struct dir *d, struct err *err)
{
	if (w->bottom)
		return clear_dir(w, d, err);
	d->is_opaque = true;
	return 0;
}

static int remove_if_there(struct writer *w, struct spot *at, struct err *err)
{
	if (writer_remove(w, at, err) < 0) {
		if (err->errnum != ENOENT)
			return -1;
		err_clear(err);
	}
	return 0;
}

int writer_make_whiteout(struct writer *w, const struct spot *at, const struct writer_entry *e, struct err *err)
{
	struct spot hidden = *at;
	const char *name = at->name + strlen(WHITEOUT_PREFIX);
	CLEANUP(freep) char *path = xasprintf("%.*s%s", (int)(at->name - at->path), at->path, name);

	if (!*name || streq(name, ".") || streq(name, ".."))
		return err_set(err, ERR_REFUSED, "invalid whiteout %s", at->path);
	hidden.path = path;
	hidden.name = path + (at->name - at->path);
	if (w->bottom)
		return remove_if_there(w, &hidden, err);
	/* containerd refuses a whiteout of what the layer itself has. */
	if (mknodat(hidden.fd, hidden.name, S_IFCHR, 0) < 0)
		return writer_fail(err, errno, "hiding", path);
	if ((e->uid || e->gid) && fchownat(hidden.fd, hidden.name, e->uid, e->gid, AT_SYMLINK_NOFOLLOW) < 0)
		return writer_fail(err, errno, "setting the owner of", path);
	return 0;
}
