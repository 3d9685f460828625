/* The JSON document that carries credentials: IMDS roles and container endpoints serve the same. Pure. */
#ifndef BERTH_AWS_CREDENTIALS_DOCUMENT_H
#define BERTH_AWS_CREDENTIALS_DOCUMENT_H

#include "aws/sigv4.h"

/*
 * Reads AccessKeyId, SecretAccessKey, Token, Expiration into *out (its `source` is left
 * alone). A `Code` other than "Success" is ERR_DENIED with the document's Message; what is
 * missing, of another type, too long or holds control bytes is ERR_PROTOCOL.
 */
int credentials_document_parse(const void *bytes, size_t len, struct aws_credentials *out,
			       struct err *err) MUST_CHECK;

/* Fails with ERR_CONFIG or ERR_PROTOCOL (`kind`) when one part cannot be sent in a header. */
int credentials_check(const struct aws_credentials *c, enum err_kind kind,
		      struct err *err) MUST_CHECK;

/* RFC 3339, any offset, fractions dropped: milliseconds since the epoch. False for anything else. */
bool rfc3339_parse(const char *text, int64_t *wall_ms);

/*
 * Where AWS_CONTAINER_CREDENTIALS_FULL_URI may point: https anywhere; http only to
 * this machine and to the agents' addresses (ECS 169.254.170.2, EKS 169.254.170.23 and
 * fd00:ec2::23), as in the SDKs. ERR_CONFIG. *link_local: it is one of those addresses.
 */
int container_uri_check(const char *uri, bool *link_local, struct err *err) MUST_CHECK;

#endif
