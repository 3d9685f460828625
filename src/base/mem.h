/*
 * Memory. Allocation failure ends the process with a message: berth holds
 * little memory and every size that a stranger chooses is capped before it gets
 * here, so there is nothing better to do and no path to test for it.
 */
#ifndef BERTH_BASE_MEM_H
#define BERTH_BASE_MEM_H

#include <stdarg.h>

#include "base/base.h"

void *xmalloc(size_t size);
void *xcalloc(size_t n, size_t size);                  /* zeroed; n * size is checked */
void *xreallocarray(void *old, size_t n, size_t size); /* n * size is checked */
char *xstrdup(const char *s);                          /* NULL gives NULL */
char *xstrndup(const char *s, size_t n);
char *xasprintf(const char *fmt, ...) PRINTF_LIKE(1, 2);
char *xvasprintf(const char *fmt, va_list args) PRINTF_LIKE(1, 0);

/* For CLEANUP(): frees *(void **)p. */
void freep(void *p);
/* For CLEANUP(): closes *fd when it is not negative; errno is kept. */
void closep(int *fd);

/*
 * A growing, NULL-terminated array of owned strings: `v` can be passed wherever
 * an argv-like list is wanted. Zero-initialise; strv_free() returns it to zero.
 */
struct strv {
	char **v; /* NULL while n is 0 */
	size_t n;
};
void strv_add(struct strv *list, const char *s); /* copies s */
void strv_take(struct strv *list, char *s);      /* owns s */
bool strv_contains(const struct strv *list, const char *s);
void strv_free(struct strv *list);

static inline bool streq(const char *a, const char *b)
{
	return a == b || (a && b && strcmp(a, b) == 0);
}

/* The rest of s behind the prefix, or NULL. */
static inline const char *skip_prefix(const char *s, const char *prefix)
{
	size_t n = strlen(prefix);
	return strncmp(s, prefix, n) == 0 ? s + n : NULL;
}

#endif
