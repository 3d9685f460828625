#include "unpack/strict.h"

#include "base/mem.h"
#include "unpack/strict_fields.h"

/* Beyond any file, and far from where sizes overflow. */
#define SIZE_MAX_BYTES ((int64_t)1 << 60)

/* As Go's reader sees the tar. */
enum state {
	HEADER,  /* the next block is one */
	BODY,    /* `left` bytes that do not matter here, then padding */
	SPECIAL, /* the same of an extended header or long name, kept */
	FIRST_ZERO, /* a block of zeros was there */
	ENDED,
};

struct item {
	struct strict_entry entry;
	struct buf *kept; /* what its strings point into */
};

struct strict {
	enum state state;
	int64_t left;    /* of the body, with its padding */
	int64_t padding; /* of that */
	char special_type;
	int64_t special_left; /* without padding */
	struct buf special;

	/* What extended headers have said of the entry to come. */
	bool has_pax, has_long_name, has_long_link, has_path, has_link_path, is_sparse;
	int64_t pax_size; /* -1: not said */
	struct buf xattr_bytes;
	struct xattr_at {
		size_t name_at, value_at, len;
	} *xattr_at;
	size_t n_xattrs;

	struct item *items; /* a queue */
	size_t first, n, max;
	struct item given; /* by strict_next(), still valid */
};

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

static int expect(struct strict *s, enum state state, int64_t size_bytes, struct err *err)
{
	if (size_bytes > SIZE_MAX_BYTES)
		return err_set(err, ERR_REFUSED, "tar: an entry of %lld bytes", (long long)size_bytes);
	s->padding = -size_bytes & (STRICT_BLOCK_BYTES - 1);
	s->left = size_bytes + s->padding;
	s->state = s->left ? state : HEADER;
	return 0;
}

/* --- extended headers --- */

static int keep_xattr(struct strict *s, const char *name, const struct pax_record *r, struct err *err)
{
	if (s->n_xattrs == STRICT_XATTRS_MAX)
		return err_set(err, ERR_REFUSED, "tar: more than %d attributes", STRICT_XATTRS_MAX);
	s->xattr_at = xreallocarray(s->xattr_at, s->n_xattrs + 1, sizeof *s->xattr_at);
	struct xattr_at *at = &s->xattr_at[s->n_xattrs++];
	at->name_at = s->xattr_bytes.len;
	if (buf_append(&s->xattr_bytes, name, strlen(name) + 1, err) < 0)
		return -1;
	at->value_at = s->xattr_bytes.len;
	at->len = r->value_len;
	return r->value_len ? buf_append(&s->xattr_bytes, r->value, r->value_len, err) : 0;
}

static int no_nul(const struct pax_record *r, struct err *err)
{
	if (memchr(r->value, '\0', r->value_len))
		return err_set(err, ERR_REFUSED, "tar: a NUL in %s", r->key);
	return 0;
}

static int take_path(struct strict *s, const struct pax_record *r, struct err *err)
{
	s->has_path = r->value_len > 0; /* empty: there is none */
	return no_nul(r, err);
}

static int take_link_path(struct strict *s, const struct pax_record *r, struct err *err)
{
	s->has_link_path = r->value_len > 0;
	return no_nul(r, err);
}

static int take_size(struct strict *s, const struct pax_record *r, struct err *err)
{
	if (strict_decimal(r, &s->pax_size, err) < 0)
		return -1;
	return s->pax_size < 0 ? err_set(err, ERR_REFUSED, "tar: negative size") : 0;
}

static int take_id(struct strict *s, const struct pax_record *r, struct err *err)
{
	int64_t unused;

	(void)s;
	return strict_decimal(r, &unused, err);
}

static int take_name(struct strict *s, const struct pax_record *r, struct err *err)
{
	(void)s;
	return no_nul(r, err);
}

static int take_time(struct strict *s, const struct pax_record *r, struct err *err)
{
	(void)s;
	return strict_check_time(r, err);
}

static const struct {
	const char *key;
	int (*take)(struct strict *s, const struct pax_record *r, struct err *err);
} keys[] = {
	{ "atime", take_time }, { "ctime", take_time }, { "gid", take_id },
	{ "gname", take_name }, { "linkpath", take_link_path }, { "mtime", take_time },
	{ "path", take_path },  { "size", take_size },  { "uid", take_id },
	{ "uname", take_name },
};

static int take_record(struct strict *s, const struct pax_record *r, struct err *err)
{
	const char *xattr = skip_prefix(r->key, "SCHILY.xattr.");

	if (xattr)
		return keep_xattr(s, xattr, r, err);
	if (skip_prefix(r->key, "GNU.sparse."))
		s->is_sparse = true;
	/* Go takes other versions for no sparse files. */
	if ((streq(r->key, "GNU.sparse.major") || streq(r->key, "GNU.sparse.minor")) && !streq(r->value, "0") &&
	    !streq(r->value, "1"))
		return err_set(err, ERR_REFUSED, "tar: an unknown kind of sparse file");
	/* A map of holes to libarchive, nothing to Go. */
	if (streq(r->key, "SUN.holesdata"))
		return err_set(err, ERR_REFUSED, "tar: a sparse file of Solaris");
	for (size_t i = 0; i < ARRAY_LEN(keys); i++)
		if (streq(r->key, keys[i].key))
			return keys[i].take(s, r, err);
	return 0;
}

static int twice(const char *what, struct err *err)
{
	return err_set(err, ERR_REFUSED, "tar: two %s for one entry", what);
}

static int end_pax(struct strict *s, struct err *err)
{
	char *bytes = s->special.data;
	size_t len = s->special.len;
	struct pax_record r;
	int state;

	if (s->has_pax)
		return twice("extended headers", err);
	s->has_pax = true;
	while ((state = strict_record(&bytes, &len, &r, err)) > 0)
		if (take_record(s, &r, err) < 0)
			return -1;
	return state;
}

static int end_special(struct strict *s, struct err *err)
{
	if (s->special_type == 'x')
		return end_pax(s, err);
	bool *has = s->special_type == 'L' ? &s->has_long_name : &s->has_long_link;
	if (*has)
		return twice("long names", err);
	*has = true;
	return 0;
}

static int begin_special(struct strict *s, char type, int64_t size_bytes, struct err *err)
{
	if (size_bytes > (int64_t)STRICT_SPECIAL_MAX_BYTES)
		return err_set(err, ERR_REFUSED, "tar: an extended header of %lld bytes", (long long)size_bytes);
	s->special_type = type;
	buf_clear(&s->special);
	s->special_left = size_bytes;
	if (expect(s, SPECIAL, size_bytes, err) < 0)
		return -1;
	return s->state == HEADER ? end_special(s, err) : 0;
}

/* --- entries --- */

static void give_xattrs(struct strict *s, struct item *item)
{
	if (!s->n_xattrs)
		return;
	item->kept = xmalloc(sizeof *item->kept);
	*item->kept = s->xattr_bytes;
	s->xattr_bytes = BUF_INIT(s->xattr_bytes.max_bytes);
	item->entry.xattrs = xreallocarray(NULL, s->n_xattrs, sizeof *item->entry.xattrs);
	item->entry.n_xattrs = s->n_xattrs;
	for (size_t i = 0; i < s->n_xattrs; i++)
		item->entry.xattrs[i] = (struct strict_xattr){
			item->kept->data + s->xattr_at[i].name_at,
			item->kept->data + s->xattr_at[i].value_at,
			s->xattr_at[i].len,
		};
	s->n_xattrs = 0;
}

static void forget_extensions(struct strict *s)
{
	s->has_pax = s->has_long_name = s->has_long_link = s->has_path = s->has_link_path = s->is_sparse = false;
	s->pax_size = -1;
	s->n_xattrs = 0;
	buf_clear(&s->xattr_bytes);
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

static int add_entry(struct strict *s, struct tar_header *h, enum tar_format format, int64_t size_bytes, struct err *err)
{
	enum strict_type type = STRICT_FILE;
	int64_t major = 0, minor = 0;

	if (entry_type(s, h, &type, err) < 0)
		return -1;
	if ((s->has_path && s->has_long_name) || (s->has_link_path && s->has_long_link))
		return twice("long names", err);
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
	give_xattrs(s, item);
	forget_extensions(s);
	return expect(s, BODY, size_bytes, err);
}

static int add_global(struct strict *s, const struct tar_header *h, int64_t size_bytes, struct err *err)
{
	struct item *item;

	if (size_bytes > (int64_t)STRICT_SPECIAL_MAX_BYTES)
		return err_set(err, ERR_REFUSED, "tar: an extended header of %lld bytes", (long long)size_bytes);
	if (s->has_pax || s->has_long_name || s->has_long_link)
		return twice("extended headers", err);
	item = push(s);
	item->kept = xmalloc(sizeof *item->kept);
	*item->kept = BUF_INIT(sizeof h->name + 1);
	if (buf_append(item->kept, h->name, strnlen(h->name, sizeof h->name), err) < 0)
		return -1;
	item->entry.type = STRICT_GLOBAL;
	item->entry.name = buf_str(item->kept);
	return expect(s, BODY, size_bytes, err);
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
		return begin_special(s, h->type, size_bytes, err);
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
	if (s->has_pax || s->has_long_name || s->has_long_link)
		return err_set(err, ERR_REFUSED, "tar: ends behind an extended header");
	s->state = FIRST_ZERO;
	return 0;
}

static int take_special(struct strict *s, const uint8_t *p, size_t len, struct err *err)
{
	size_t n = (int64_t)len < s->special_left ? len : (size_t)s->special_left;

	if (n && buf_append(&s->special, p, n, err) < 0)
		return -1;
	s->special_left -= (int64_t)n;
	return 0;
}

/* Part of a body; returns how many bytes it took. */
static ssize_t take_body(struct strict *s, const uint8_t *p, size_t len, struct err *err)
{
	size_t n = (int64_t)len < s->left ? len : (size_t)s->left;
	bool special = s->state == SPECIAL;

	if (special && take_special(s, p, n, err) < 0)
		return -1;
	s->left -= (int64_t)n;
	if (s->left)
		return (ssize_t)n;
	s->state = HEADER;
	return special && end_special(s, err) < 0 ? -1 : (ssize_t)n;
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
	bool open = s->has_pax || s->has_long_name || s->has_long_link;

	*missing = 0;
	if (s->state == SPECIAL || (s->state == BODY && s->left > s->padding) || (s->state == HEADER && open))
		return err_set(err, ERR_REFUSED, "tar: truncated");
	if (s->state == BODY)
		*missing = (size_t)s->left;
	s->state = ENDED;
	return 0;
}
