/*
 * One error value for the whole program: a kind, an errno where there was one,
 * whether trying again may help, the cause, and what the reader can do about
 * it. Fixed size, nothing to free. Functions that can fail return 0 or -1 and
 * fill the `struct err *` they are given; nobody passes NULL.
 */
#ifndef BERTH_BASE_ERR_H
#define BERTH_BASE_ERR_H

#include <stdarg.h>

#include "base/base.h"

enum err_kind {
	ERR_NONE,
	ERR_FAILED,    /* none of the others */
	ERR_USAGE,     /* the command line */
	ERR_CONFIG,    /* the configuration: an option's value, a file it names */
	ERR_SYSTEM,    /* a system call; `errnum` is set */
	ERR_NETWORK,   /* a peer that is not reached, resets, or is overloaded */
	ERR_TIMEOUT,   /* a deadline passed */
	ERR_PROTOCOL,  /* a peer broke its protocol */
	ERR_REFUSED,   /* content that berth will not use: digest mismatch, unsupported document */
	ERR_LIMIT,     /* larger than a cap */
	ERR_DENIED,    /* credentials missing or not accepted */
	ERR_NOT_FOUND, /* the peer says it does not exist */
	ERR_CONFLICT,  /* something that is not ours is in the way */
	ERR_CANCELLED, /* a signal asked us to stop */
	ERR_KINDS
};

struct err {
	enum err_kind kind;
	int errnum;             /* 0: none */
	bool retryable;         /* the same call may succeed later */
	bool waited_out;        /* but not soon: whoever failed has had all the patience there is */
	int64_t retry_after_ms; /* what the peer asked for; 0: nothing */
	char msg[512];          /* one line, no full stop, printable: see err_set() */
	char hint[256];         /* what to do; empty: nothing known */
};

/*
 * Sets *err and returns -1. The message is made one printable line (text_clean()): parts
 * of it come from strangers and it ends up on terminals. Network and timeout kinds
 * start out retryable, the others do not.
 */
int err_set(struct err *err, enum err_kind kind, const char *fmt, ...) PRINTF_LIKE(3, 4);
int err_setv(struct err *err, enum err_kind kind, const char *fmt, va_list args) PRINTF_LIKE(3, 0);

/* As err_set() with ERR_SYSTEM; adds ": " and the text of errnum. */
int err_sys(struct err *err, int errnum, const char *fmt, ...) PRINTF_LIKE(3, 4);

/* Puts "context: " before the message; returns -1. */
int err_wrap(struct err *err, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* Sets what the reader can do about it, unless a deeper layer already said; returns -1. */
int err_hint(struct err *err, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* Marks the error as worth retrying, after at least after_ms; returns -1. */
int err_retry(struct err *err, int64_t after_ms);

void err_clear(struct err *err);

/* The field's word for a kind: "timeout", "denied"; static. */
const char *err_kind_name(enum err_kind kind);

/* 1, 2, 75 or 78 (sysexits.h); 75 when the error is retryable. 0 for ERR_NONE. */
int err_exit_code(const struct err *err);

/* "message; hint" or "message" into out, always terminated; returns out. */
const char *err_line(const struct err *err, char *out, size_t size);

#define ERR_LINE_MAX (sizeof(((struct err *)0)->msg) + sizeof(((struct err *)0)->hint) + 2)

#endif
