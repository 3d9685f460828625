/* WWW-Authenticate (RFC 7235 §4.1, RFC 6750 §3, distribution-spec token auth). Pure. */
#ifndef BERTH_OCI_CHALLENGE_H
#define BERTH_OCI_CHALLENGE_H

#include "base/err.h"

enum challenge_scheme { CHALLENGE_NONE, CHALLENGE_BASIC, CHALLENGE_BEARER };

struct challenge {
	enum challenge_scheme scheme;
	char *realm;   /* Bearer: the token URL */
	char *service; /* or NULL */
	char *scope;   /* or NULL */
	char *error;   /* "invalid_token", "insufficient_scope" or NULL */
};

/*
 * Picks Bearer over Basic among the challenges of one header value (there may be
 * several, comma-separated); unknown schemes are passed over. CHALLENGE_NONE when
 * nothing fits. ERR_PROTOCOL for broken quoting; values with control bytes are refused.
 */
int challenge_parse(const char *value, size_t len, struct challenge *out, struct err *err) MUST_CHECK;
void challenge_free(struct challenge *c); /* for CLEANUP() */

#endif
