/* URLs of services as settings give them: stricter than RFC 3986, so that nobody reads them differently. Pure. */
#ifndef BERTH_AWS_ENDPOINT_H
#define BERTH_AWS_ENDPOINT_H

#include "base/err.h"

#define ENDPOINT_HOST_SIZE 254 /* a DNS name (RFC 1035 §2.3.4) */

struct endpoint {
	bool https;
	char host[ENDPOINT_HOST_SIZE]; /* lower-case; IPv6 without brackets */
	char authority[ENDPOINT_HOST_SIZE +
		       8]; /* the Host header: brackets, port unless the default */
	const char *rest;  /* path and query in the URL given; "" for none */
};

/*
 * ERR_CONFIG for anything but http or https, for userinfo, fragments, control
 * bytes, spaces, ports out of range, and hosts that are no name and no address.
 */
int endpoint_parse(const char *url, struct endpoint *out, struct err *err) MUST_CHECK;

/* The part before `rest`, "https://HOST[:PORT]"; caller frees. */
char *endpoint_origin(const struct endpoint *e);

#endif
