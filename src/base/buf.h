/*
 * Growing bytes with a cap that is fixed at birth: nothing that comes from
 * outside grows without a bound.
 */
#ifndef BERTH_BASE_BUF_H
#define BERTH_BASE_BUF_H

#include "base/err.h"

struct buf {
	char *data;       /* NULL while nothing was written; always one NUL beyond len */
	size_t len;       /* bytes */
	size_t capacity;  /* bytes allocated */
	size_t max_bytes; /* len never exceeds this */
};

/* An empty buffer; no allocation. */
#define BUF_INIT(max) ((struct buf){ .max_bytes = (max) })

/* Appends; ERR_LIMIT when the cap would be passed (the buffer is then as before). */
int buf_append(struct buf *b, const void *bytes, size_t len, struct err *err) MUST_CHECK;
int buf_printf(struct buf *b, struct err *err, const char *fmt, ...) PRINTF_LIKE(3, 4) MUST_CHECK;

/* The bytes as a C string ("" when empty); valid until the next change. */
const char *buf_str(const struct buf *b);

/* Drops the first n bytes (n <= len). */
void buf_consume(struct buf *b, size_t n);
void buf_clear(struct buf *b); /* len = 0; memory is kept */
void buf_free(struct buf *b);  /* back to BUF_INIT(max) */

/* As buf_free(), the memory wiped first: for bytes that held a secret. */
void buf_wipe(struct buf *b);

#endif
