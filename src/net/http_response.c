#include "net/http_internal.h"

#include <ctype.h>

#include "base/clock.h"
#include "base/mem.h"

/* A header that would have the bytes decoded, here or by whoever gets them: nobody asked for that. */
static int check_coding(const char *name, const char *value, struct err *err)
{
	bool content = streq(name, "content-encoding");

	if (!content && !streq(name, "transfer-encoding"))
		return 0;
	if (strcasecmp(value, "identity") == 0 || (!content && strcasecmp(value, "chunked") == 0))
		return 0;
	return err_set(err, ERR_PROTOCOL, "%s \"%.40s\" that was not asked for", name, value);
}

/* RFC 9112 §6.3: two lengths are two answers, and whoever is between us and the peer may have seen the other. */
static int check_length(const struct http_response *r, const char *name, const char *value,
			struct err *err)
{
	CLEANUP(freep)
	char *before = streq(name, "content-length") ? http_header_get(r, name) : NULL;

	if (!before || streq(before, value))
		return 0;
	return err_set(err, ERR_PROTOCOL, "Content-Length %.20s and %.20s in one answer", before,
		       value);
}

static void note_times(struct http_response *r)
{
	CLEANUP(freep) char *date = http_header_get(r, "date");
	CLEANUP(freep) char *retry = http_header_get(r, "retry-after");
	int64_t now_ms = clock_wall_ms();

	/* A date in Retry-After is on the peer's clock. */
	if (date && http_date_parse(date, &r->date_ms))
		now_ms = r->date_ms;
	if (retry)
		r->retry_after_ms = http_retry_after_parse(retry, now_ms);
}

static int status_line(struct http_transfer *t, const char *line, size_t len, struct err *err)
{
	const char *space = memchr(line, ' ', len);
	size_t at = space ? (size_t)(space - line) + 1 : len;

	if (len < at + 3 || !isdigit((unsigned char)line[at]) ||
	    !isdigit((unsigned char)line[at + 1]) || !isdigit((unsigned char)line[at + 2]))
		return err_set(err, ERR_PROTOCOL, "unreadable status line");
	t->resp.status = (line[at] - '0') * 100 + (line[at + 1] - '0') * 10 + (line[at + 2] - '0');
	buf_clear(&t->resp.headers);
	t->head_done = false;
	return 0;
}

static int field_line(struct http_transfer *t, const char *line, size_t len, struct err *err)
{
	const char *colon = memchr(line, ':', len);
	CLEANUP(freep) char *name = NULL, *value = NULL;
	size_t start, end = len;

	/* RFC 9112 §5: no space before the colon, no folding: both are ways to smuggle. */
	if (!colon || colon == line || line[0] == ' ' || line[0] == '\t' || colon[-1] == ' ' ||
	    colon[-1] == '\t' || memchr(line, '\0', len) || memchr(line, '\r', len))
		return err_set(err, ERR_PROTOCOL, "broken header line");
	name = xstrndup(line, (size_t)(colon - line));
	for (char *p = name; *p; p++)
		*p = (char)tolower((unsigned char)*p);
	start = (size_t)(colon - line) + 1;
	while (start < end && (line[start] == ' ' || line[start] == '\t'))
		start++;
	while (end > start && (line[end - 1] == ' ' || line[end - 1] == '\t'))
		end--;
	value = xstrndup(line + start, end - start);
	if (check_coding(name, value, err) < 0 || check_length(&t->resp, name, value, err) < 0)
		return -1;
	return buf_printf(&t->resp.headers, err, "%s: %s\n", name, value);
}

int http_header_line(struct http_transfer *t, const char *line, size_t len, struct err *err)
{
	t->header_bytes += len;
	/* Counted over all answers to a request: 1xx may come without end. */
	if (t->header_bytes > HTTP_HEADERS_MAX_BYTES || ++t->header_lines > HTTP_HEADERS_MAX)
		return err_set(err, ERR_LIMIT, "more than %d headers or %zu bytes of them",
			       HTTP_HEADERS_MAX, HTTP_HEADERS_MAX_BYTES);
	while (len && (line[len - 1] == '\n' || line[len - 1] == '\r'))
		len--;
	if (len >= 5 && memcmp(line, "HTTP/", 5) == 0)
		return status_line(t, line, len, err);
	if (t->head_done)
		return 0; /* a trailer */
	if (len)
		return field_line(t, line, len, err);
	if (t->resp.status >= 200) {
		t->head_done = true;
		note_times(&t->resp);
	}
	return 0;
}

/* The value of the header line at *at when it has that name; *at moves to the next line. */
static bool next_value(const char **at, const char *name, const char **value, size_t *len)
{
	const char *line = *at, *end = strchr(line, '\n');
	const char *rest = skip_prefix(line, name);

	*at = end + 1;
	if (!rest || rest[0] != ':')
		return false;
	*value = rest + 2; /* ": " */
	*len = (size_t)(end - *value);
	return true;
}

char *http_header_get(const struct http_response *r, const char *name)
{
	const char *value;
	size_t len;

	for (const char *at = buf_str(&r->headers); *at;)
		if (next_value(&at, name, &value, &len))
			return xstrndup(value, len);
	return NULL;
}

char *http_header_all(const struct http_response *r, const char *name)
{
	char *joined = NULL;
	const char *value;
	size_t len;

	for (const char *at = buf_str(&r->headers); *at;) {
		if (!next_value(&at, name, &value, &len))
			continue;
		char *longer = xasprintf("%s%s%.*s", joined ? joined : "", joined ? ", " : "",
					 (int)len, value);
		free(joined);
		joined = longer;
	}
	return joined;
}

void http_response_free(struct http_response *r)
{
	buf_wipe(&r->body); /* tokens, credentials */
	buf_wipe(&r->headers);
	*r = (struct http_response){ .retry_after_ms = -1 };
}

static const struct {
	long first, last;
	enum err_kind kind;
	const char *text;
} statuses[] = {
	{ 401, 401, ERR_DENIED, "401 Unauthorized" },
	{ 403, 403, ERR_DENIED, "403 Forbidden" },
	{ 404, 404, ERR_NOT_FOUND, "404 Not Found" },
	{ 408, 408, ERR_NETWORK, "408 Request Timeout" },
	{ 429, 429, ERR_NETWORK, "429 Too Many Requests" },
	{ 500, 500, ERR_NETWORK, "500 Internal Server Error" },
	{ 502, 502, ERR_NETWORK, "502 Bad Gateway" },
	{ 503, 503, ERR_NETWORK, "503 Service Unavailable" },
	{ 504, 504, ERR_NETWORK, "504 Gateway Timeout" },
	{ 500, 599, ERR_NETWORK, NULL },
	{ 0, 999, ERR_FAILED, NULL },
};

int http_status_error(const struct http_response *r, const char *what, struct err *err)
{
	size_t i = 0;

	while (i + 1 < ARRAY_LEN(statuses) &&
	       (r->status < statuses[i].first || r->status > statuses[i].last))
		i++;
	if (statuses[i].text)
		(void)err_set(err, statuses[i].kind, "%s: the answer was %s", what,
			      statuses[i].text);
	else
		(void)err_set(err, statuses[i].kind, "%s: the answer was status %ld", what,
			      r->status);
	if (err->retryable && r->retry_after_ms > 0)
		err->retry_after_ms = r->retry_after_ms;
	return -1;
}
