/* Small things every file needs: attributes, cleanup, array length. */
#ifndef BERTH_BASE_BASE_H
#define BERTH_BASE_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/banned.h"

#define MUST_CHECK __attribute__((warn_unused_result))
#define PRINTF_LIKE(fmt, args) __attribute__((format(printf, fmt, args)))

/* Runs f(&variable) when the variable leaves its scope. */
#define CLEANUP(f) __attribute__((cleanup(f)))

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

/* Takes the pointer out of *p, so that a CLEANUP() variable gives up ownership. */
#define STEAL(p) \
	({ \
		__typeof__(p) *stolen_from_ = &(p); \
		__typeof__(p) stolen_ = *stolen_from_; \
		*stolen_from_ = NULL; \
		stolen_; \
	})

#define KIB ((size_t)1024)
#define MIB (1024 * KIB)
#define GIB (1024 * MIB)

#endif
