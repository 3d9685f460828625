#include "net/http_url.h"

#include <ctype.h>
#include <curl/curl.h>

#include "base/mem.h"

static void curlu_freep(CURLU **u)
{
	curl_url_cleanup(*u);
}

static CURLU *curlu_new(void)
{
	CURLU *u = curl_url();

	if (!u)
		abort(); /* out of memory */
	return u;
}

static bool is_scheme(const char *text, const char *scheme)
{
	size_t n = strlen(scheme);

	return strncasecmp(text, scheme, n) == 0 && text[n] == ':';
}

/* What the text says its scheme is, for a message: "file", or "". */
static size_t scheme_length(const char *text)
{
	size_t n = 0;

	while (isalnum((unsigned char)text[n]) || (n && strchr("+-.", text[n]) && text[n]))
		n++;
	return text[n] == ':' && n < 32 ? n : 0;
}

static int check_bytes(const char *text, struct err *err)
{
	size_t n = strnlen(text, HTTP_URL_MAX_BYTES + 1);

	if (n > HTTP_URL_MAX_BYTES)
		return err_set(err, ERR_REFUSED, "URL of more than %zu bytes", HTTP_URL_MAX_BYTES);
	for (size_t i = 0; i < n; i++)
		if ((unsigned char)text[i] <= 0x20 || text[i] == 0x7f)
			return err_set(err, ERR_REFUSED, "URL with a space or control byte");
	return 0;
}

/* Schemes that curl knows and we do not speak would get past the parser. */
static int check_scheme(const char *text, struct err *err)
{
	size_t n = scheme_length(text);

	if (is_scheme(text, "http") || is_scheme(text, "https"))
		return 0;
	if (n)
		return err_set(err, ERR_REFUSED, "scheme %.*s: only http and https are spoken",
			       (int)n, text);
	return err_set(err, ERR_REFUSED, "URL without a scheme");
}

static int set_text(CURLU *u, const char *text, struct err *err)
{
	CURLUcode rc = curl_url_set(u, CURLUPART_URL, text, CURLU_DISALLOW_USER);

	if (rc == CURLUE_USER_NOT_ALLOWED)
		return err_set(err, ERR_REFUSED, "URL with a user name or password in it");
	if (rc)
		return err_set(err, ERR_REFUSED, "unusable URL: %s", curl_url_strerror(rc));
	return 0;
}

static char *part(CURLU *u, CURLUPart which, unsigned int flags)
{
	char *value = NULL, *copy;

	if (curl_url_get(u, which, &value, flags) != CURLUE_OK)
		return NULL;
	copy = xstrdup(value);
	curl_free(value);
	return copy;
}

static int take(CURLU *u, struct http_url *out, struct err *err)
{
	CLEANUP(freep) char *port = NULL, *host = NULL, *text = NULL;

	if (curl_url_set(u, CURLUPART_FRAGMENT, NULL, 0) != CURLUE_OK)
		return err_set(err, ERR_REFUSED, "unusable URL");
	text = part(u, CURLUPART_URL, 0);
	host = part(u, CURLUPART_HOST, 0);
	port = part(u, CURLUPART_PORT, CURLU_DEFAULT_PORT);
	if (!text || !host || !host[0] || !port)
		return err_set(err, ERR_REFUSED, "URL without a host");
	if (check_bytes(text, err) < 0 || check_scheme(text, err) < 0)
		return -1;
	for (char *p = host; *p; p++)
		*p = (char)tolower((unsigned char)*p);
	*out = (struct http_url){
		.tls = is_scheme(text, "https"),
		.port = (uint16_t)strtoul(port, NULL, 10), /* curl let only 0-65535 through */
	};
	out->text = STEAL(text);
	out->host = STEAL(host);
	return 0;
}

int http_url_parse(const char *text, struct http_url *out, struct err *err)
{
	CLEANUP(curlu_freep) CURLU *u = curlu_new();

	if (check_bytes(text, err) < 0 || check_scheme(text, err) < 0 || set_text(u, text, err) < 0)
		return -1;
	return take(u, out, err);
}

int http_url_resolve(const struct http_url *base, const char *reference, struct http_url *out,
		     struct err *err)
{
	CLEANUP(curlu_freep) CURLU *u = curlu_new();

	if (!reference[0])
		return err_set(err, ERR_REFUSED, "empty URL");
	if (check_bytes(reference, err) < 0)
		return -1;
	if (scheme_length(reference) && check_scheme(reference, err) < 0)
		return -1;
	if (set_text(u, base->text, err) < 0 || set_text(u, reference, err) < 0)
		return -1;
	return take(u, out, err);
}

void http_url_free(struct http_url *u)
{
	free(u->text);
	free(u->host);
	*u = (struct http_url){ 0 };
}

bool http_url_same_origin(const struct http_url *a, const struct http_url *b)
{
	return a->tls == b->tls && a->port == b->port && streq(a->host, b->host);
}

char *http_url_display(const char *url)
{
	CLEANUP(curlu_freep) CURLU *u = curlu_new();
	CLEANUP(freep) char *text = NULL;

	if (curl_url_set(u, CURLUPART_URL, url, 0) != CURLUE_OK)
		return xstrdup("(unreadable URL)");
	/* Clearing a part that is not there cannot fail. */
	(void)curl_url_set(u, CURLUPART_USER, NULL, 0);
	(void)curl_url_set(u, CURLUPART_PASSWORD, NULL, 0);
	(void)curl_url_set(u, CURLUPART_OPTIONS, NULL, 0);
	(void)curl_url_set(u, CURLUPART_QUERY, NULL, 0);
	(void)curl_url_set(u, CURLUPART_FRAGMENT, NULL, 0);
	text = part(u, CURLUPART_URL, 0);
	return text ? STEAL(text) : xstrdup("(unreadable URL)");
}
