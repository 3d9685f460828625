#include "unpack/layer.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <sys/stat.h>

#include "base/mem.h"
#include "unpack/strict.h"
#include "unpack/writer.h"

/* Go's time.Unix(0, math.MaxInt64), beyond which containerd takes 1970. */
#define LAST_SECOND 9223372036

struct layer {
	layer_read_fn *read;
	void *arg;
	struct err *err;     /* of the call in work */
	bool read_failed;    /* by the reader, who has said why */
	bool ended, is_empty;
	struct strict *strict;
	struct archive *archive;
	struct writer *writer;
};

/* What libarchive gets has been seen by the strict reader, and ends as libarchive wants it. */
static ssize_t next_block(struct layer *l, void **bytes)
{
	static const char zeros[STRICT_BLOCK_BYTES];
	ssize_t n = l->ended ? 0 : l->read(l->arg, bytes, l->err);
	size_t missing = 0;

	if (n > 0 && strict_feed(l->strict, *bytes, (size_t)n, l->err) < 0)
		n = -1;
	if (n == 0 && !l->ended && strict_end(l->strict, &missing, l->err) < 0)
		n = -1;
	l->is_empty &= n == 0;
	if (missing) {
		l->ended = true;
		*bytes = (void *)zeros;
		return (ssize_t)missing;
	}
	l->ended = n <= 0;
	l->read_failed |= n < 0;
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

static enum writer_type type_of(const struct strict_entry *se, struct archive_entry *ae)
{
	switch (se->type) {
	case STRICT_LINK:
		return WRITER_LINK;
	case STRICT_SYMLINK:
		return WRITER_SYMLINK;
	case STRICT_CHAR:
		return WRITER_CHAR;
	case STRICT_BLOCK:
		return WRITER_BLOCK;
	case STRICT_DIR:
		return WRITER_DIR;
	case STRICT_FIFO:
		return WRITER_FIFO;
	case STRICT_FILE:
	case STRICT_GLOBAL:
		break;
	}
	return se->is_old && archive_entry_filetype(ae) == AE_IFDIR ? WRITER_DIR : WRITER_FILE;
}

static const char *link_of(struct archive_entry *ae)
{
	const char *symlink = archive_entry_symlink(ae), *link = symlink ? symlink : archive_entry_hardlink(ae);

	return link ? link : "";
}

static const char *or_empty(const char *s)
{
	return s ? s : "";
}

/* What the strict reader has found before this entry: it, and maybe global headers. */
static int next_strict(struct layer *l, struct strict_entry *out)
{
	while (strict_next(l->strict, out)) {
		if (out->type != STRICT_GLOBAL)
			return 0;
		if (writer_add_parents(l->writer, out->name, l->err) < 0)
			return -1;
	}
	return err_set(l->err, ERR_REFUSED, "tar: ambiguous");
}

static int bad_map(struct layer *l)
{
	return err_set(l->err, ERR_REFUSED, "tar: bad map of a sparse file");
}

/*
 * Go's reader wants all data that the map speaks of; libarchive has no map where there is none, or
 * where all is data.
 */
static int check_map(struct layer *l, struct archive_entry *ae, int64_t copied)
{
	la_int64_t offset, len, sum = 0;
	int n = archive_entry_sparse_reset(ae);

	while (archive_entry_sparse_next(ae, &offset, &len) == ARCHIVE_OK)
		sum += len;
	if (n ? copied == sum : !copied || copied == archive_entry_size(ae))
		return 0;
	return bad_map(l);
}

static int copy_data(struct layer *l, struct archive_entry *ae, bool is_sparse)
{
	const void *bytes;
	size_t len;
	la_int64_t offset, end = 0;
	int64_t copied = 0;
	int result;

	while ((result = archive_read_data_block(l->archive, &bytes, &len, &offset)) == ARCHIVE_OK) {
		if (!len)
			continue;
		if (offset < end)
			return bad_map(l);
		if (writer_data(l->writer, offset, bytes, len, l->err) < 0)
			return -1;
		end = offset + (la_int64_t)len;
		copied += (int64_t)len;
	}
	if (result != ARCHIVE_EOF)
		return bad_tar(l);
	return is_sparse ? check_map(l, ae, copied) : 0;
}

static int apply_entry(struct layer *l, struct archive_entry *ae)
{
	struct strict_entry se;
	bool wants_data;

	if (next_strict(l, &se) < 0)
		return -1;
	struct writer_entry e = {
		.type = type_of(&se, ae),
		.path = or_empty(archive_entry_pathname(ae)),
		.link = link_of(ae),
		.mode = archive_entry_mode(ae) & 07777,
		.uid = (uid_t)archive_entry_uid(ae),
		.gid = (gid_t)archive_entry_gid(ae),
		.major = se.major,
		.minor = se.minor,
		.size_bytes = se.is_sparse ? archive_entry_size(ae) : se.size_bytes,
		.xattrs = se.xattrs,
		.n_xattrs = se.n_xattrs,
	};
	/* A directory to libarchive, which then has no data, and more than a name to Go. */
	if (se.type == STRICT_FILE && se.size_bytes && archive_entry_filetype(ae) != AE_IFREG)
		return err_set(l->err, ERR_REFUSED, "tar: a directory with data: %s", e.path);
	set_times(ae, e.times);
	if (writer_add(l->writer, &e, &wants_data, l->err) < 0)
		return -1;
	return wants_data && (copy_data(l, ae, se.is_sparse) < 0 || writer_file_end(l->writer, l->err) < 0) ? -1 : 0;
}

static int apply_entries(struct layer *l)
{
	struct archive_entry *ae;
	struct strict_entry left;
	int result;

	/* A warning is about a character set that names are not in: they come as they are. */
	while ((result = archive_read_next_header(l->archive, &ae)) == ARCHIVE_OK || result == ARCHIVE_WARN)
		if (apply_entry(l, ae) < 0)
			return -1;
	/* Where libarchive only looks ahead, it takes a failure to read for the end. */
	if (result != ARCHIVE_EOF || l->read_failed)
		return bad_tar(l);
	while (strict_next(l->strict, &left))
		if (left.type != STRICT_GLOBAL)
			return err_set(l->err, ERR_REFUSED, "tar: ambiguous");
		else if (writer_add_parents(l->writer, left.name, l->err) < 0)
			return -1;
	return 0;
}

static struct archive *new_archive(void)
{
	struct archive *a = archive_read_new();

	if (!a || archive_read_support_format_tar(a) != ARCHIVE_OK)
		abort(); /* for lack of memory only */
	return a;
}

static int apply(struct layer *l)
{
	void *rest;

	if (archive_read_open(l->archive, l, NULL, on_read, NULL) == ARCHIVE_OK) {
		if (apply_entries(l) < 0)
			return -1;
	} else if (!l->is_empty || l->read_failed) {
		return bad_tar(l);
	}
	/* What follows the end of the tar is part of the diff_id. */
	while (!l->ended)
		if (next_block(l, &rest) < 0)
			return -1;
	return writer_end(l->writer, l->err);
}

int layer_apply(int root_fd, bool bottom, layer_read_fn *read, void *arg, struct deferred *deferred,
		struct err *err)
{
	struct layer l = { .read = read, .arg = arg, .err = err, .is_empty = true };

	l.archive = new_archive();
	l.strict = strict_new();
	l.writer = writer_new(root_fd, bottom, deferred);
	int result = apply(&l);
	writer_free(l.writer);
	strict_free(l.strict);
	(void)archive_read_free(l.archive);
	return result;
}

void layer_warm_up(void)
{
	struct archive *a = new_archive();

	/* Where the C library has iconv(3), the first use of a character set reads files. */
	(void)archive_read_set_options(a, "hdrcharset=UTF-8");
	(void)archive_read_free(a);
}
