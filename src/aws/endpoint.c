#include "aws/endpoint.h"

#include <ctype.h>

#include "base/mem.h"

#define DIGITS "0123456789"
#define NAME_BYTES "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ" DIGITS ".-_"
#define IPV6_BYTES DIGITS "abcdefABCDEF:."

static bool has_odd_bytes(const char *url)
{
	for (; *url; url++)
		if ((unsigned char)*url <= ' ' || *url == 0x7f || *url == '#' || *url == '\\')
			return true;
	return false;
}

/* The host at s, which is `len` bytes; false when it is neither a name nor an IPv6 address. */
static bool take_host(const char *s, size_t len, bool ipv6, char out[ENDPOINT_HOST_SIZE])
{
	if (!len || len >= ENDPOINT_HOST_SIZE || strspn(s, ipv6 ? IPV6_BYTES : NAME_BYTES) != len)
		return false;
	for (size_t i = 0; i < len; i++)
		out[i] = (char)tolower((unsigned char)s[i]);
	out[len] = '\0';
	return true;
}

/* ":8080" at s; returns what is behind it (s itself when there is no port), NULL for nonsense. */
static const char *take_port(const char *s, unsigned int *port)
{
	if (*s != ':')
		return s;
	size_t n = strspn(s + 1, DIGITS);
	unsigned long v = n && n <= 5 ? strtoul(s + 1, NULL, 10) : 0;
	if (!v || v > 65535)
		return NULL;
	*port = (unsigned int)v;
	return s + 1 + n;
}

int endpoint_parse(const char *url, struct endpoint *out, struct err *err)
{
	const char *http = skip_prefix(url, "http://"), *https = skip_prefix(url, "https://");
	const char *s = http ? http : https;
	struct endpoint e = { .https = https != NULL };
	unsigned int usual = e.https ? 443 : 80, port = usual;

	if (!s || has_odd_bytes(url))
		return err_set(err, ERR_CONFIG, "not an http or https URL");

	bool ipv6 = *s == '[';
	s += ipv6;
	size_t len = strcspn(s, ipv6 ? "]" : ":/?@");
	if (!take_host(s, len, ipv6, e.host) || (ipv6 && s[len] != ']'))
		return err_set(err, ERR_CONFIG, "a URL without a proper host");
	s = take_port(s + len + ipv6, &port);
	if (!s)
		return err_set(err, ERR_CONFIG, "a URL with a bad port");
	if (*s && *s != '/' && *s != '?')
		return err_set(err, ERR_CONFIG,
			       "a URL with more than host and port before the path");
	e.rest = s;

	/* Both parts fit: the sizes are declared so. */
	int n = snprintf(e.authority, sizeof e.authority, ipv6 ? "[%s]" : "%s", e.host);
	if (port != usual)
		(void)snprintf(e.authority + n, sizeof e.authority - (size_t)n, ":%u", port);
	*out = e;
	return 0;
}

char *endpoint_origin(const struct endpoint *e)
{
	return xasprintf("%s://%s", e->https ? "https" : "http", e->authority);
}
