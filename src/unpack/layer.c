#include "unpack/layer.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <sys/stat.h>

#include "base/mem.h"
#include "unpack/writer.h"

/* Go's time.Unix(0, math.MaxInt64), beyond which containerd takes 1970. */
#define LAST_SECOND 9223372036

struct layer {
	layer_read_fn *read;
	void *arg;
	struct err *err;     /* of the call in work */
	bool read_failed;    /* by the reader, who has said why */
	bool ended;
	struct archive *archive;
	struct writer *writer;
	struct writer_xattr *xattrs;
	size_t n_xattrs, max_xattrs;
};

static ssize_t next_block(struct layer *l, void **bytes)
{
	ssize_t n = l->ended ? 0 : l->read(l->arg, bytes, l->err);

	l->ended = n <= 0;
	l->read_failed = n < 0;
	return n;
}

static la_ssize_t on_read(struct archive *a, void *arg, const void **bytes)
{
	struct layer *l = arg;
	void *block = NULL;
	ssize_t n = next_block(l, &block);

	*bytes = block;
	if (n < 0)
		archive_set_error(a, EIO, "%s", l->err->msg);
	return n;
}

static int bad_tar(struct layer *l)
{
	if (l->read_failed)
		return -1;
	const char *why = archive_error_string(l->archive);
	return err_set(l->err, ERR_REFUSED, "tar: %s", why ? why : "malformed");
}

static struct timespec bounded(int64_t seconds, long nanoseconds)
{
	if (seconds < 0 || seconds > LAST_SECOND)
		return (struct timespec){ 0, 0 };
	return (struct timespec){ seconds, nanoseconds };
}

static bool is_before(struct timespec a, struct timespec b)
{
	return a.tv_sec < b.tv_sec || (a.tv_sec == b.tv_sec && a.tv_nsec < b.tv_nsec);
}

/* The access time is the later one of the two that the tar has, as with containerd. */
static void set_times(struct archive_entry *ae, struct timespec out[2])
{
	out[1] = bounded(archive_entry_mtime(ae), archive_entry_mtime_nsec(ae));
	out[0] = bounded(archive_entry_atime(ae), archive_entry_atime_nsec(ae));
	if (!archive_entry_atime_is_set(ae) || is_before(out[0], out[1]))
		out[0] = out[1];
}

static int set_type(struct archive_entry *ae, struct writer_entry *e, struct err *err)
{
	static const struct {
		unsigned int filetype;
		enum writer_type type;
	} types[] = {
		{ AE_IFREG, WRITER_FILE }, { AE_IFDIR, WRITER_DIR },   { AE_IFLNK, WRITER_SYMLINK },
		{ AE_IFCHR, WRITER_CHAR }, { AE_IFBLK, WRITER_BLOCK }, { AE_IFIFO, WRITER_FIFO },
	};

	if (archive_entry_hardlink(ae)) {
		e->type = WRITER_LINK;
		e->link = archive_entry_hardlink(ae);
		return 0;
	}
	for (size_t i = 0; i < ARRAY_LEN(types); i++)
		if (types[i].filetype == archive_entry_filetype(ae)) {
			e->type = types[i].type;
			e->link = archive_entry_symlink(ae);
			return 0;
		}
	return err_set(err, ERR_REFUSED, "tar: unknown type of entry %s", e->path);
}

static void set_xattrs(struct layer *l, struct archive_entry *ae, struct writer_entry *e)
{
	size_t n = (size_t)archive_entry_xattr_reset(ae);

	if (n > l->max_xattrs) {
		l->xattrs = xreallocarray(l->xattrs, n, sizeof *l->xattrs);
		l->max_xattrs = n;
	}
	for (size_t i = 0; i < n; i++) {
		struct writer_xattr *x = &l->xattrs[i];
		(void)archive_entry_xattr_next(ae, &x->name, &x->value, &x->len);
	}
	e->xattrs = l->xattrs;
	e->n_xattrs = n;
}

static int copy_data(struct layer *l)
{
	const void *bytes;
	size_t len;
	la_int64_t offset;
	int result;

	while ((result = archive_read_data_block(l->archive, &bytes, &len, &offset)) == ARCHIVE_OK)
		if (len && writer_data(l->writer, offset, bytes, len, l->err) < 0)
			return -1;
	return result == ARCHIVE_EOF ? 0 : bad_tar(l);
}

static int apply_entry(struct layer *l, struct archive_entry *ae)
{
	const char *path = archive_entry_pathname(ae);
	struct writer_entry e = {
		.path = path ? path : "",
		.mode = archive_entry_mode(ae) & 07777,
		.uid = (uid_t)archive_entry_uid(ae),
		.gid = (gid_t)archive_entry_gid(ae),
		.major = (unsigned int)archive_entry_rdevmajor(ae),
		.minor = (unsigned int)archive_entry_rdevminor(ae),
		.size_bytes = archive_entry_size(ae),
	};
	bool wants_data;

	if (set_type(ae, &e, l->err) < 0)
		return -1;
	set_times(ae, e.times);
	set_xattrs(l, ae, &e);
	if (writer_add(l->writer, &e, &wants_data, l->err) < 0)
		return -1;
	return wants_data && (copy_data(l) < 0 || writer_file_end(l->writer, l->err) < 0) ? -1 : 0;
}

static int apply_entries(struct layer *l)
{
	struct archive_entry *ae;
	int result;

	/* A warning is about a character set that names are not in: they come as they are. */
	while ((result = archive_read_next_header(l->archive, &ae)) == ARCHIVE_OK || result == ARCHIVE_WARN)
		if (apply_entry(l, ae) < 0)
			return -1;
	return result == ARCHIVE_EOF ? 0 : bad_tar(l);
}

static struct archive *new_archive(void)
{
	struct archive *a = archive_read_new();

	if (!a || archive_read_support_format_tar(a) != ARCHIVE_OK)
		abort(); /* for lack of memory only */
	return a;
}

int layer_apply(int root_fd, bool bottom, layer_read_fn *read, void *arg, struct deferred *deferred,
		struct err *err)
{
	struct layer l = { .read = read, .arg = arg, .err = err };
	void *rest;
	int result = 0;

	l.archive = new_archive();
	l.writer = writer_new(root_fd, bottom, deferred);
	if (archive_read_open(l.archive, &l, NULL, on_read, NULL) != ARCHIVE_OK)
		result = bad_tar(&l);
	else
		result = apply_entries(&l) < 0 || writer_end(l.writer, err) < 0 ? -1 : 0;
	/* What follows the end of the tar is part of the diff_id. */
	while (result == 0 && !l.ended)
		result = next_block(&l, &rest) < 0 ? -1 : 0;
	writer_free(l.writer);
	(void)archive_read_free(l.archive);
	free(l.xattrs);
	return result;
}

void layer_warm_up(void)
{
	struct archive *a = new_archive();

	/* Where the C library has iconv(3), the first use of a character set reads files. */
	(void)archive_read_set_options(a, "hdrcharset=UTF-8");
	(void)archive_read_free(a);
}
