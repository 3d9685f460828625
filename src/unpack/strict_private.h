/* Private to strict*.c: how far the reader is, and what extended headers have said of the entry to come. */
#ifndef BERTH_UNPACK_STRICT_PRIVATE_H
#define BERTH_UNPACK_STRICT_PRIVATE_H

#include "unpack/strict.h"
#include "unpack/strict_fields.h"

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

/* The body of an extended header or long name begins; an empty one ends at once. ERR_REFUSED, also of the next two. */
int strict_begin_special(struct strict *s, char type, int64_t size_bytes, struct err *err) MUST_CHECK;
/* Its next bytes, padding included. */
int strict_take_special(struct strict *s, const uint8_t *p, size_t len, struct err *err) MUST_CHECK;
/* All of it was there: takes what it says. */
int strict_end_special(struct strict *s, struct err *err) MUST_CHECK;

/* The attributes that it said become the entry's. */
void strict_give_xattrs(struct strict *s, struct item *item);
/* The entry has come: what was said of it counts no more. */
void strict_forget_extensions(struct strict *s);
/* Something was said of an entry that has not come. */
bool strict_has_extensions(const struct strict *s);

/* `size_bytes` of a body and its padding follow, in that state. */
int strict_expect(struct strict *s, enum state state, int64_t size_bytes, struct err *err) MUST_CHECK;
int strict_twice(const char *what, struct err *err);

#endif
