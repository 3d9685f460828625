#include "net/http_internal.h"

#define RETRY_AFTER_MAX_MS 60000

/* RFC 9110 §5.6.7: the form that is sent, and the two old ones that must be read. */
bool http_date_parse(const char *text, int64_t *wall_ms)
{
	static const char *const forms[] = {
		"%a, %d %b %Y %H:%M:%S GMT",
		"%A, %d-%b-%y %H:%M:%S GMT",
		"%a %b %e %H:%M:%S %Y",
	};

	for (size_t i = 0; i < ARRAY_LEN(forms); i++) {
		struct tm tm = { 0 };
		const char *end = strptime(text, forms[i], &tm);
		if (end && !*end) {
			*wall_ms = (int64_t)timegm(&tm) * 1000;
			return true;
		}
	}
	return false;
}

/* RFC 9110 §10.2.3: seconds or a date; a peer may not put us to sleep for longer than a minute. */
int64_t http_retry_after_parse(const char *text, int64_t now_wall_ms)
{
	size_t digits = strspn(text, "0123456789");
	int64_t ms;

	if (digits && !text[digits])
		ms = digits > 5 ? RETRY_AFTER_MAX_MS : strtoll(text, NULL, 10) * 1000;
	else if (http_date_parse(text, &ms))
		ms -= now_wall_ms;
	else
		return -1;
	return ms < 0 ? 0 : ms > RETRY_AFTER_MAX_MS ? RETRY_AFTER_MAX_MS : ms;
}
