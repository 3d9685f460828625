#include "engine/staging.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/disk_sync.h"
#include "engine/inherit.h"

#define LAYER_NAME_SIZE 24

struct staging {
	char *path;
	int fd; /* O_PATH; of the first, where each layer has its own */
	int *layers;
	size_t n, made;
	struct stat root; /* what containerd made of the first, where each has its own */
};

static char *layer_name(size_t i, char out[LAYER_NAME_SIZE])
{
	(void)snprintf(out, LAYER_NAME_SIZE, "%zu", i);
	return out;
}

static int make_layer(struct staging *s, size_t i, struct err *err)
{
	char name[LAYER_NAME_SIZE];

	layer_name(i, name);
	/* The umask is the caller's. */
	if (mkdirat(s->fd, name, 0755) < 0 || fchmodat(s->fd, name, 0755, 0) < 0)
		return err_sys(err, errno, "make %s/%s", s->path, name);
	s->layers[i] = openat(s->fd, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (s->layers[i] < 0)
		return err_sys(err, errno, "open %s/%s", s->path, name);
	s->made++;
	return 0;
}

/* *fd is the staging's own, also on failure. */
static int open_upper(const char *path, int *fd, struct err *err)
{
	*fd = open(path, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (*fd < 0)
		return err_set(err, ERR_CONFIG, "containerd's directory %s cannot be opened from here (%s)", path,
			       strerrordesc_np(errno));
	if (faccessat(*fd, ".", W_OK | X_OK, AT_EACCESS) < 0)
		return err_set(err, ERR_CONFIG, "containerd's directory %s cannot be written (%s)", path,
			       strerrordesc_np(errno));
	return 0;
}

struct staging *staging_new(size_t n)
{
	struct staging *s = xcalloc(1, sizeof *s);

	*s = (struct staging){ .fd = -1, .layers = xcalloc(n + 1, sizeof *s->layers), .n = n };
	for (size_t i = 0; i < n; i++)
		s->layers[i] = -1;
	return s;
}

static int open_all(struct staging *s, const bool *skip, struct err *err)
{
	if (open_upper(s->path, &s->fd, err) < 0)
		return -1;
	for (size_t i = 0; i < s->n; i++)
		if (!(skip && skip[i]) && make_layer(s, i, err) < 0)
			return -1;
	return 0;
}

int staging_open(const char *path, const bool *skip, size_t n, struct staging **out, struct err *err)
{
	struct staging *s = staging_new(n);

	s->path = xstrdup(path);
	if (open_all(s, skip, err) < 0) {
		staging_close(s);
		return -1;
	}
	*out = s;
	return 0;
}

static int note_first(struct staging *s, int fd, const char *path, struct err *err)
{
	s->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (s->fd < 0 || fstat(fd, &s->root) < 0)
		return err_sys(err, errno, "look at %s", path);
	s->path = xstrdup(path);
	return 0;
}

int staging_add(struct staging *s, size_t i, const char *path, struct err *err)
{
	if (open_upper(path, &s->layers[i], err) < 0)
		return -1;
	return s->path ? 0 : note_first(s, s->layers[i], path, err);
}

int staging_mark(const struct staging *s, size_t i, bool on, struct err *err)
{
	if ((on ? mkdirat(s->layers[i], "mark", 0700) : unlinkat(s->layers[i], "mark", AT_REMOVEDIR)) < 0)
		return err_sys(err, errno, "%s a directory in %s", on ? "make" : "remove", s->path);
	return 0;
}

void staging_close(struct staging *s)
{
	if (!s)
		return;
	for (size_t i = 0; i < s->n; i++)
		closep(&s->layers[i]);
	closep(&s->fd);
	free(s->layers);
	free(s->path);
	free(s);
}

int staging_layer(const struct staging *s, size_t i)
{
	return s->layers[i];
}

size_t staging_inodes(const struct staging *s)
{
	return 1 + s->made;
}

static int complete(const struct staging *s, size_t i, const struct store_inherit *inherit, size_t n_inherit,
		    const struct strv *lower, const struct stat *root, struct err *err)
{
	int layer = s->layers[i];

	if (inherit_all(layer, inherit, n_inherit, lower, err) < 0)
		return -1;
	if (fchownat(layer, "", root->st_uid, root->st_gid, AT_EMPTY_PATH) < 0 ||
	    fchmodat(layer, ".", root->st_mode & 07777, 0) < 0)
		return err_sys(err, errno, "mode and owner of layer %zu's directory", i + 1);
	return 0;
}

int staging_settle(struct staging *s, size_t i, const struct store_inherit *inherit, size_t n_inherit,
		   const struct strv *lower, struct err *err)
{
	if (complete(s, i, inherit, n_inherit, lower, &s->root, err) < 0)
		return -1;
	closep(&s->layers[i]);
	s->layers[i] = -1;
	return 0;
}

int staging_move(struct staging *s, size_t i, const struct store_inherit *inherit, size_t n_inherit,
		 const struct strv *lower, const char *upper, struct err *err)
{
	char name[LAYER_NAME_SIZE];
	struct stat root;

	if (lstat(upper, &root) < 0)
		return err_sys(err, errno, "stat %s", upper);
	if (complete(s, i, inherit, n_inherit, lower, &root, err) < 0)
		return -1;
	if (renameat(s->fd, layer_name(i, name), AT_FDCWD, upper) < 0)
		return err_sys(err, errno, "rename %s/%s to %s", s->path, name, upper);
	closep(&s->layers[i]);
	s->layers[i] = -1;
	return 0;
}

int staging_sync(const struct staging *s, struct loop *loop, struct err *err)
{
	CLEANUP(closep) int fd = openat(s->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return err_sys(err, errno, "open %s", s->path);
	return disk_sync(loop, fd, err);
}
