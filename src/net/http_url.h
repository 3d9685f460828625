/*
 * URLs, read by the parser that the transfer uses too, so that what is judged
 * here is what is connected to. Pure.
 */
#ifndef BERTH_NET_HTTP_URL_H
#define BERTH_NET_HTTP_URL_H

#include "base/err.h"

#define HTTP_URL_MAX_BYTES (16 * KIB) /* presigned URLs are 1-2 KiB */

struct http_url {
	char *text;  /* whole and normalised, without a fragment */
	char *host;  /* lower case; IPv6 in brackets */
	uint16_t port; /* the scheme's default where none is given */
	bool tls;    /* https */
};

/*
 * ERR_REFUSED: a scheme other than http and https, userinfo, spaces, control
 * bytes, no host, more than HTTP_URL_MAX_BYTES. Messages do not quote the URL's query.
 */
int http_url_parse(const char *text, struct http_url *out, struct err *err) MUST_CHECK;
/* The same for a reference (a Location header) relative to base (RFC 3986 §5). */
int http_url_resolve(const struct http_url *base, const char *reference, struct http_url *out,
		     struct err *err) MUST_CHECK;
void http_url_free(struct http_url *u); /* for CLEANUP() */

/* Scheme, host and port agree. */
bool http_url_same_origin(const struct http_url *a, const struct http_url *b);

/* "https://host/path" of a URL without userinfo, query and fragment, for messages; caller frees. */
char *http_url_display(const char *url);

#endif
