/*
 * A string that must not leak: wiped when freed, never printed. Code that needs
 * the bytes says so by calling secret_str().
 */
#ifndef BERTH_BASE_SECRET_H
#define BERTH_BASE_SECRET_H

#include "base/base.h"

struct secret {
	char *bytes; /* NULL: none; one NUL beyond len */
	size_t len;
};

void secret_set(struct secret *s, const char *bytes, size_t len); /* copies; the old value is wiped */
void secret_copy(struct secret *to, const struct secret *from);
void secret_clear(struct secret *s); /* wipes and frees; also for CLEANUP() */
const char *secret_str(const struct secret *s); /* "" when there is none */

static inline bool secret_is_set(const struct secret *s)
{
	return s->bytes != NULL;
}

/* Wipes and frees a string that held a secret for a moment; for CLEANUP(). */
void wipep(char **s);

#endif
