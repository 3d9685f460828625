#include "base/secret.h"

#include "base/mem.h"

void secret_clear(struct secret *s)
{
	if (s->bytes)
		explicit_bzero(s->bytes, s->len);
	free(s->bytes);
	*s = (struct secret){ 0 };
}

void secret_set(struct secret *s, const char *bytes, size_t len)
{
	char *copy = xmalloc(len + 1);

	memcpy(copy, bytes, len);
	copy[len] = '\0';
	secret_clear(s);
	*s = (struct secret){ .bytes = copy, .len = len };
}

void secret_copy(struct secret *to, const struct secret *from)
{
	if (from->bytes)
		secret_set(to, from->bytes, from->len);
	else
		secret_clear(to);
}

const char *secret_str(const struct secret *s)
{
	return s->bytes ? s->bytes : "";
}

void wipep(char **s)
{
	if (*s)
		explicit_bzero(*s, strlen(*s));
	free(*s);
}
