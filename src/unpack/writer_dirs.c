#include "unpack/writer_dirs.h"

#include <fcntl.h>
#include <unistd.h>

#include "base/mem.h"
#include "unpack/below.h"
#include "unpack/deferred.h"

/* Tars list files directory by directory: few are in use at a time. */
#define OPEN_MAX_DIRS 256
#define FIRST_BUCKETS 1024

struct dirs {
	struct dir *top;
	struct dir **buckets; /* a power of two of them */
	size_t n_buckets, n;
	struct dir *newest, *oldest; /* descriptors by use; not the top's */
	size_t n_open;
};

/* FNV-1a. */
static uint32_t hash_of(const char *path, size_t len)
{
	uint32_t h = 2166136261U;

	for (size_t i = 0; i < len; i++)
		h = (h ^ (uint8_t)path[i]) * 16777619U;
	return h;
}

struct dirs *dirs_new(int root_fd)
{
	struct dirs *t = xcalloc(1, sizeof *t);

	t->n_buckets = FIRST_BUCKETS;
	t->buckets = xcalloc(t->n_buckets, sizeof(struct dir *));
	t->top = xcalloc(1, sizeof *t->top + 1);
	t->top->fd = root_fd;
	return t;
}

static void unlist(struct dirs *t, struct dir *d)
{
	*(d->newer ? &d->newer->older : &t->newest) = d->older;
	*(d->older ? &d->older->newer : &t->oldest) = d->newer;
	d->newer = d->older = NULL;
}

static void list_first(struct dirs *t, struct dir *d)
{
	d->older = t->newest;
	*(d->older ? &d->older->newer : &t->oldest) = d;
	t->newest = d;
}

static void close_dir(struct dirs *t, struct dir *d)
{
	if (d->fd < 0)
		return;
	unlist(t, d);
	(void)close(d->fd);
	d->fd = -1;
	t->n_open--;
}

void dirs_drop(struct dirs *t, struct dir *d)
{
	struct dir **at = &t->buckets[d->hash & (t->n_buckets - 1)];

	while (*at != d)
		at = &(*at)->same_bucket;
	*at = d->same_bucket;
	*d->link = d->next;
	if (d->next)
		d->next->link = d->link;
	close_dir(t, d);
	t->n--;
	free(d);
}

void dirs_free(struct dirs *t)
{
	struct dir *d;

	if (!t)
		return;
	for (size_t i = 0; i < t->n_buckets; i++)
		while ((d = t->buckets[i])) {
			t->buckets[i] = d->same_bucket;
			closep(&d->fd);
			free(d);
		}
	free(t->buckets);
	free(t->top);
	free(t);
}

struct dir *dirs_top(struct dirs *t)
{
	return t->top;
}

struct dir *dirs_find(const struct dirs *t, const char *path, size_t len)
{
	if (!len)
		return t->top;
	uint32_t h = hash_of(path, len);
	struct dir *d = t->buckets[h & (t->n_buckets - 1)];
	while (d && (d->hash != h || d->path_len != len || memcmp(d->path, path, len) != 0))
		d = d->same_bucket;
	return d;
}

static void grow(struct dirs *t)
{
	size_t n = 2 * t->n_buckets;
	struct dir **buckets = xcalloc(n, sizeof(struct dir *)), *d;

	for (size_t i = 0; i < t->n_buckets; i++)
		while ((d = t->buckets[i])) {
			t->buckets[i] = d->same_bucket;
			d->same_bucket = buckets[d->hash & (n - 1)];
			buckets[d->hash & (n - 1)] = d;
		}
	free(t->buckets);
	t->buckets = buckets;
	t->n_buckets = n;
}

static struct dir *make(struct dir *parent, const char *name, size_t len)
{
	size_t name_at = parent->path_len ? parent->path_len + (size_t)1 : 0;
	struct dir *d = xcalloc(1, sizeof *d + name_at + len + 1);

	d->name_at = (uint16_t)name_at;
	d->path_len = (uint16_t)(name_at + len);
	memcpy(d->path, parent->path, parent->path_len);
	if (name_at)
		d->path[name_at - 1] = '/';
	memcpy(d->path + name_at, name, len);
	d->hash = hash_of(d->path, d->path_len);
	d->fd = -1;
	return d;
}

int dirs_add(struct dirs *t, struct dir *parent, const char *name, size_t len, struct dir **out, struct err *err)
{
	if (parent->path_len + 1 + len >= DEFERRED_PATH_MAX)
		return err_set(err, ERR_REFUSED, "a name is too long: %.*s...", 64, parent->path);
	if (t->n == DIRS_MAX)
		return err_set(err, ERR_LIMIT, "more than %d directories", DIRS_MAX);
	if (t->n == t->n_buckets)
		grow(t);

	struct dir *d = make(parent, name, len);
	struct dir **bucket = &t->buckets[d->hash & (t->n_buckets - 1)];
	d->same_bucket = *bucket;
	*bucket = d;
	d->parent = parent;
	d->next = parent->children;
	d->link = &parent->children;
	if (d->next)
		d->next->link = &d->next;
	parent->children = d;
	t->n++;
	*out = d;
	return 0;
}

int dirs_open(struct dirs *t, struct dir *d)
{
	if (d->fd >= 0) {
		if (d != t->top && d != t->newest) {
			unlist(t, d);
			list_first(t, d);
		}
		return d->fd;
	}
	/* From the nearest directory that is open: usually the parent. */
	const struct dir *from = d->parent;
	while (from->fd < 0)
		from = from->parent;
	d->fd = below_open(from->fd, d->path + (from->path_len ? from->path_len + (size_t)1 : 0),
			   O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
	if (d->fd < 0)
		return -1;
	list_first(t, d);
	if (++t->n_open > OPEN_MAX_DIRS)
		close_dir(t, t->oldest);
	return d->fd;
}

struct dir *dirs_next(struct dirs *t, const struct dir *d)
{
	if (d->children)
		return d->children;
	while (d != t->top && !d->next)
		d = d->parent;
	return d == t->top ? NULL : d->next;
}
