#include "unpack/strict.h"

#include "base/mem.h"
#include "unpack/strict_private.h"

/* Beyond any file, and far from where sizes overflow. */
#define SIZE_MAX_BYTES ((int64_t)1 << 60)

struct strict *strict_new(void)
{
	struct strict *s = xcalloc(1, sizeof *s);

	s->special = BUF_INIT(STRICT_SPECIAL_MAX_BYTES);
	s->xattr_bytes = BUF_INIT(STRICT_SPECIAL_MAX_BYTES + STRICT_XATTRS_MAX);
	s->pax_size = -1;
	return s;
}

static void free_item(struct item *item)
{
	if (item->kept) {
		buf_free(item->kept);
		free(item->kept);
	}
	free(item->entry.xattrs);
	*item = (struct item){ 0 };
}

void strict_free(struct strict *s)
{
	if (!s)
		return;
	free_item(&s->given);
	while (s->n) {
		free_item(&s->items[s->first++]);
		s->n--;
	}
	free(s->items);
	free(s->xattr_at);
	buf_free(&s->special);
	buf_free(&s->xattr_bytes);
	free(s);
}

static struct item *push(struct strict *s)
{
	if (s->first + s->n == s->max && s->first > 0) {
		memmove(s->items, s->items + s->first, s->n * sizeof *s->items);
		s->first = 0;
	} else if (s->n == s->max) {
		s->max = s->max ? 2 * s->max : 64;
		s->items = xreallocarray(s->items, s->max, sizeof *s->items);
	}
	struct item *item = &s->items[s->first + s->n++];
	*item = (struct item){ 0 };
	return item;
}

bool strict_next(struct strict *s, struct strict_entry *out)
{
	free_item(&s->given);
	if (!s->n)
		return false;
	s->given = s->items[s->first++];
	s->n--;
	*out = s->given.entry;
	return true;
}

int strict_expect(struct strict *s, enum state state, int64_t size_bytes, struct err *err)
{
	if (size_bytes > SIZE_MAX_BYTES)
		return err_set(err, ERR_REFUSED, "tar: an entry of %lld bytes", (long long)size_bytes);
	s->padding = -size_bytes & (STRICT_BLOCK_BYTES - 1);
	s->left = size_bytes + s->padding;
	s->state = s->left ? state : HEADER;
	return 0;
}

/* '\0' is what tars before 1988 have: a file, or a directory by a slash at the end of its name. */
static int entry_type(const struct strict *s, const struct tar_header *h, enum strict_type *out, struct err *err)
{
	char type = h->type ? h->type : '0';

	if (type < '0' || type > '6')
		return err_set(err, ERR_REFUSED, "unhandled tar header type %d", (unsigned char)type);
	if (s->is_sparse && h->type != '0')
		return err_set(err, ERR_REFUSED, "tar: sparse, and no file");
	*out = (enum strict_type)type;
	return 0;
}

static void set_checksum(struct tar_header *h)
{
	unsigned int sum = 0;

	memset(h->checksum, ' ', sizeof h->checksum);
	for (size_t i = 0; i < sizeof *h; i++)
		sum += ((const uint8_t *)h)[i];
	(void)snprintf(h->checksum, sizeof h->checksum, "%06o", sum & 0777777);
}

/* What Go's reader ignores and libarchive does not. */
static void smooth(const struct strict *s, struct tar_header *h, int64_t size_bytes)
{
	if (h->type == '1' && size_bytes) {
		memset(h->size, '0', sizeof h->size - 1);
		h->size[sizeof h->size - 1] = '\0';
		set_checksum(h);
	}
	/* A long target counts for libarchive only if there is a short one, which Go's writer leaves empty at times. */
	if ((s->has_long_link || s->has_link_path) && !h->link[0]) {
		h->link[0] = '-';
		set_checksum(h);
	}
}

static int add_entry(struct strict *s, struct tar_header *h, enum tar_format format, int64_t size_bytes,
		     struct err *err)
{
	enum strict_type type = STRICT_FILE;
	int64_t major = 0, minor = 0;

	if (entry_type(s, h, &type, err) < 0)
		return -1;
	if ((s->has_path && s->has_long_name) || (s->has_link_path && s->has_long_link))
		return strict_twice("long names", err);
	/* Only files have a body. */
	if (type != STRICT_FILE && s->pax_size > 0)
		return err_set(err, ERR_REFUSED, "tar: something with a size that is no file");
	smooth(s, h, size_bytes);
	if (type != STRICT_FILE)
		size_bytes = 0;
	else if (s->pax_size >= 0)
		size_bytes = s->pax_size;
	if (format != TAR_V7 && (type == STRICT_CHAR || type == STRICT_BLOCK) &&
	    (strict_number(h->major, sizeof h->major, &major, err) < 0 ||
	     strict_number(h->minor, sizeof h->minor, &minor, err) < 0))
		return -1;
	if (major < 0 || major > UINT32_MAX || minor < 0 || minor > UINT32_MAX)
		return err_set(err, ERR_REFUSED, "device number out of range");

	struct item *item = push(s);
	item->entry.type = type;
	item->entry.size_bytes = size_bytes;
	item->entry.is_old = !h->type;
	item->entry.is_sparse = s->is_sparse;
	item->entry.major = (uint32_t)major;
	item->entry.minor = (uint32_t)minor;
	strict_give_xattrs(s, item);
	strict_forget_extensions(s);
	return strict_expect(s, BODY, size_bytes, err);
}

static int add_global(struct strict *s, const struct tar_header *h, int64_t size_bytes, struct err *err)
{
	struct item *item;

	if (size_bytes > (int64_t)STRICT_SPECIAL_MAX_BYTES)
		return err_set(err, ERR_REFUSED, "tar: an extended header of %lld bytes", (long long)size_bytes);
	if (strict_has_extensions(s))
		return strict_twice("extended headers", err);
	item = push(s);
	item->kept = xmalloc(sizeof *item->kept);
	*item->kept = BUF_INIT(sizeof h->name + 1);
	if (buf_append(item->kept, h->name, strnlen(h->name, sizeof h->name), err) < 0)
		return -1;
	item->entry.type = STRICT_GLOBAL;
	item->entry.name = buf_str(item->kept);
	return strict_expect(s, BODY, size_bytes, err);
}

static int take_header(struct strict *s, struct tar_header *h, struct err *err)
{
	enum tar_format format;
	int64_t size_bytes;

	if (strict_check_header(h, &format, &size_bytes, err) < 0)
		return -1;
	switch (h->type) {
	case 'x':
	case 'L':
	case 'K':
		return strict_begin_special(s, h->type, size_bytes, err);
	case 'g':
		return add_global(s, h, size_bytes, err);
	default:
		return add_entry(s, h, format, size_bytes, err);
	}
}

static bool is_zero_block(const uint8_t *p)
{
	static const uint8_t zeros[STRICT_BLOCK_BYTES];

	return !p[0] && memcmp(p, zeros, sizeof zeros) == 0;
}

/* One block where a header may be. */
static int take_block(struct strict *s, uint8_t *p, struct err *err)
{
	bool zero = is_zero_block(p);

	if (s->state == FIRST_ZERO) {
		/* Go wants two blocks of zeros, or one and the end. */
		s->state = ENDED;
		return zero ? 0 : err_set(err, ERR_REFUSED, "tar: invalid header");
	}
	if (!zero)
		return take_header(s, (struct tar_header *)p, err);
	if (strict_has_extensions(s))
		return err_set(err, ERR_REFUSED, "tar: ends behind an extended header");
	s->state = FIRST_ZERO;
	return 0;
}

/* Part of a body; returns how many bytes it took. */
static ssize_t take_body(struct strict *s, const uint8_t *p, size_t len, struct err *err)
{
	size_t n = (int64_t)len < s->left ? len : (size_t)s->left;
	bool special = s->state == SPECIAL;

	if (special && strict_take_special(s, p, n, err) < 0)
		return -1;
	s->left -= (int64_t)n;
	if (s->left)
		return (ssize_t)n;
	s->state = HEADER;
	return special && strict_end_special(s, err) < 0 ? -1 : (ssize_t)n;
}

int strict_feed(struct strict *s, void *bytes, size_t len, struct err *err)
{
	uint8_t *p = bytes;

	while (len && s->state != ENDED) {
		ssize_t n = STRICT_BLOCK_BYTES;
		if (s->state == BODY || s->state == SPECIAL)
			n = take_body(s, p, len, err);
		else if (len < STRICT_BLOCK_BYTES)
			return err_set(err, ERR_REFUSED, "tar: truncated");
		else if (take_block(s, p, err) < 0)
			return -1;
		if (n < 0)
			return -1;
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

int strict_end(struct strict *s, size_t *missing, struct err *err)
{
	bool open = strict_has_extensions(s);

	*missing = 0;
	if (s->state == SPECIAL || (s->state == BODY && s->left > s->padding) || (s->state == HEADER && open))
		return err_set(err, ERR_REFUSED, "tar: truncated");
	if (s->state == BODY)
		*missing = (size_t)s->left;
	s->state = ENDED;
	return 0;
}
