#include "base/buf.h"

#include <stdarg.h>

#include "base/mem.h"

static void reserve(struct buf *b, size_t len)
{
	size_t want = b->capacity ? b->capacity : 256;

	if (len + 1 <= b->capacity)
		return;
	while (want < len + 1)
		want *= 2;
	if (want > b->max_bytes + 1)
		want = b->max_bytes + 1;
	b->data = xreallocarray(b->data, want, 1);
	b->capacity = want;
}

int buf_append(struct buf *b, const void *bytes, size_t len, struct err *err)
{
	if (len > b->max_bytes - b->len)
		return err_set(err, ERR_LIMIT, "more than %zu bytes", b->max_bytes);
	reserve(b, b->len + len);
	if (len)
		memcpy(b->data + b->len, bytes, len);
	b->len += len;
	b->data[b->len] = '\0';
	return 0;
}

int buf_printf(struct buf *b, struct err *err, const char *fmt, ...)
{
	CLEANUP(freep) char *s = NULL;
	va_list args;

	va_start(args, fmt);
	s = xvasprintf(fmt, args);
	va_end(args);
	return buf_append(b, s, strlen(s), err);
}

const char *buf_str(const struct buf *b)
{
	return b->data ? b->data : "";
}

void buf_consume(struct buf *b, size_t n)
{
	if (!n)
		return;
	b->len -= n;
	memmove(b->data, b->data + n, b->len);
	b->data[b->len] = '\0';
}

void buf_clear(struct buf *b)
{
	b->len = 0;
	if (b->data)
		b->data[0] = '\0';
}

void buf_free(struct buf *b)
{
	free(b->data);
	*b = BUF_INIT(b->max_bytes);
}

void buf_wipe(struct buf *b)
{
	if (b->data)
		explicit_bzero(b->data, b->capacity);
	buf_free(b);
}
