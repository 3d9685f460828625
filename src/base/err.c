#include "base/err.h"

#include <errno.h>
#include <sysexits.h>

#include "base/text.h"

static const struct {
	const char *name;
	int exit_code;
	bool retryable;
} kinds[ERR_KINDS] = {
	[ERR_NONE] = { "none", 0, false },
	[ERR_FAILED] = { "failed", 1, false },
	[ERR_USAGE] = { "usage", 2, false },
	[ERR_CONFIG] = { "configuration", EX_CONFIG, false },
	[ERR_SYSTEM] = { "system", 1, false },
	[ERR_NETWORK] = { "network", 1, true },
	[ERR_TIMEOUT] = { "timeout", 1, true },
	[ERR_PROTOCOL] = { "protocol", 1, false },
	[ERR_REFUSED] = { "refused", 1, false },
	[ERR_LIMIT] = { "limit", 1, false },
	[ERR_DENIED] = { "denied", 1, false },
	[ERR_NOT_FOUND] = { "not-found", 1, false },
	[ERR_CONFLICT] = { "conflict", 1, false },
	[ERR_CANCELLED] = { "cancelled", 1, false },
};

int err_setv(struct err *err, enum err_kind kind, const char *fmt, va_list args)
{
	/* Formatted aside: an argument may point into *err. */
	char msg[sizeof err->msg];

	(void)vsnprintf(msg, sizeof msg, fmt, args); /* cut at the end is fine */
	text_clean(msg);
	*err = (struct err){ .kind = kind, .retryable = kinds[kind].retryable };
	memcpy(err->msg, msg, sizeof msg);
	return -1;
}

int err_set(struct err *err, enum err_kind kind, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	(void)err_setv(err, kind, fmt, args); /* always -1 */
	va_end(args);
	return -1;
}

int err_sys(struct err *err, int errnum, const char *fmt, ...)
{
	char msg[sizeof err->msg];
	va_list args;

	va_start(args, fmt);
	(void)vsnprintf(msg, sizeof msg, fmt, args);
	va_end(args);
	(void)err_set(err, ERR_SYSTEM, "%s: %s", msg, strerrordesc_np(errnum) ?: "unknown error");
	err->errnum = errnum;
	return -1;
}

int err_wrap(struct err *err, const char *fmt, ...)
{
	char context[sizeof err->msg], joined[2 * sizeof err->msg + 2];
	va_list args;

	va_start(args, fmt);
	(void)vsnprintf(context, sizeof context, fmt, args);
	va_end(args);
	(void)snprintf(joined, sizeof joined, "%s: %s", context, err->msg);
	joined[sizeof err->msg - 1] = '\0';
	text_clean(joined); /* after the cut, which may fall into a character */
	memcpy(err->msg, joined, sizeof err->msg);
	return -1;
}

int err_hint(struct err *err, const char *fmt, ...)
{
	va_list args;

	if (err->hint[0])
		return -1;
	va_start(args, fmt);
	(void)vsnprintf(err->hint, sizeof err->hint, fmt, args);
	va_end(args);
	text_clean(err->hint);
	return -1;
}

int err_retry(struct err *err, int64_t after_ms)
{
	err->retryable = true;
	err->retry_after_ms = after_ms;
	return -1;
}

void err_clear(struct err *err)
{
	*err = (struct err){ 0 };
}

const char *err_kind_name(enum err_kind kind)
{
	return kinds[kind].name;
}

int err_exit_code(const struct err *err)
{
	return err->retryable ? EX_TEMPFAIL : kinds[err->kind].exit_code;
}

const char *err_line(const struct err *err, char *out, size_t size)
{
	size_t len = strlen(err->msg);

	/* What others said may end in a full stop; the sentence goes on. */
	if (err->hint[0] && len && err->msg[len - 1] == '.')
		len--;
	(void)snprintf(out, size, "%.*s%s%s", (int)len, err->msg, err->hint[0] ? "; " : "", err->hint);
	return out;
}
