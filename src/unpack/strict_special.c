/* What extended headers (pax types x, GNU's L and K) say of the entry that follows them. */
#include "unpack/strict_private.h"

#include "base/mem.h"

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

int strict_twice(const char *what, struct err *err)
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
		return strict_twice("extended headers", err);
	s->has_pax = true;
	while ((state = strict_record(&bytes, &len, &r, err)) > 0)
		if (take_record(s, &r, err) < 0)
			return -1;
	return state;
}

int strict_end_special(struct strict *s, struct err *err)
{
	if (s->special_type == 'x')
		return end_pax(s, err);
	bool *has = s->special_type == 'L' ? &s->has_long_name : &s->has_long_link;
	if (*has)
		return strict_twice("long names", err);
	*has = true;
	return 0;
}

int strict_begin_special(struct strict *s, char type, int64_t size_bytes, struct err *err)
{
	if (size_bytes > (int64_t)STRICT_SPECIAL_MAX_BYTES)
		return err_set(err, ERR_REFUSED, "tar: an extended header of %lld bytes", (long long)size_bytes);
	s->special_type = type;
	buf_clear(&s->special);
	s->special_left = size_bytes;
	if (strict_expect(s, SPECIAL, size_bytes, err) < 0)
		return -1;
	return s->state == HEADER ? strict_end_special(s, err) : 0;
}

int strict_take_special(struct strict *s, const uint8_t *p, size_t len, struct err *err)
{
	size_t n = (int64_t)len < s->special_left ? len : (size_t)s->special_left;

	if (n && buf_append(&s->special, p, n, err) < 0)
		return -1;
	s->special_left -= (int64_t)n;
	return 0;
}

void strict_give_xattrs(struct strict *s, struct item *item)
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

void strict_forget_extensions(struct strict *s)
{
	s->has_pax = s->has_long_name = s->has_long_link = s->has_path = s->has_link_path = s->is_sparse = false;
	s->pax_size = -1;
	s->n_xattrs = 0;
	buf_clear(&s->xattr_bytes);
}

bool strict_has_extensions(const struct strict *s)
{
	return s->has_pax || s->has_long_name || s->has_long_link;
}
