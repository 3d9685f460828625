/*
 * AWS Signature Version 4 (AWS General Reference, "Create a signed AWS API
 * request"): request, credentials, time → headers. Pure: no clock, no network.
 */
#ifndef BERTH_AWS_SIGV4_H
#define BERTH_AWS_SIGV4_H

#include "base/buf.h"
#include "base/secret.h"

struct aws_credentials {
	char *access_key_id;
	struct secret secret_access_key;
	struct secret session_token;  /* not set: none */
	int64_t expires_ms;           /* wall clock; 0: never */
	char source[96];              /* for messages: "IMDS role web-tier", "environment" */
};
void aws_credentials_clear(struct aws_credentials *c); /* wipes; for CLEANUP() */
void aws_credentials_copy(struct aws_credentials *to, const struct aws_credentials *from);

struct sigv4_header {
	const char *name; /* any case */
	const char *value;
};

struct sigv4_request {
	const char *method;
	const char *path;  /* as sent, before encoding; "" means "/" */
	const char *query; /* as sent, without "?"; "" for none */
	const struct sigv4_header *headers; /* all that are signed; Host among them */
	size_t n_headers;
	const void *body;
	size_t body_len;
	const char *region, *service;
	bool normalize_path;  /* all services but s3 */
	bool sign_body_header; /* add and sign x-amz-content-sha256 */
};

struct sigv4_result {
	char amz_date[17];      /* "20150830T123600Z": the X-Amz-Date header */
	char content_sha256[65];
	char *authorization;    /* the Authorization header's value */
	char *canonical_request, *string_to_sign; /* for tests and debugging */
	struct secret token;    /* the X-Amz-Security-Token header; unset: none */
};
/* ERR_CONFIG for a credential or header with control bytes. */
int sigv4_sign(const struct sigv4_request *req, const struct aws_credentials *creds, int64_t wall_ms,
	       struct sigv4_result *out, struct err *err) MUST_CHECK;
void sigv4_result_clear(struct sigv4_result *r);

#endif
