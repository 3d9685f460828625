/*
 * One signed AWS call (JSON 1.1 protocol): endpoint choice, signature, retries,
 * clock correction. AWS_ENDPOINT_URL and AWS_ENDPOINT_URL_<SERVICE> override the endpoint.
 */
#ifndef BERTH_AWS_CALL_H
#define BERTH_AWS_CALL_H

#include "aws/credentials.h"
#include "base/json.h"

#define AWS_ANSWER_MAX_BYTES (256 * KIB)
#define AWS_ATTEMPTS 5

struct aws_call {
	const char *service;      /* signing name: "ecr" */
	const char *endpoint_var; /* "AWS_ENDPOINT_URL_ECR" */
	const char *endpoint;     /* default: "https://api.ecr.eu-west-1.amazonaws.com" */
	const char *region;
	const char *target;       /* X-Amz-Target */
	const char *action;       /* as IAM names it: "ecr:GetAuthorizationToken"; for messages */
	const char *body;         /* JSON */
};

/*
 * *out is the parsed 200 answer. AWS errors by their __type: AccessDenied… → ERR_DENIED with
 * "add ACTION to role R" as hint; expired or invalid token → refreshed credentials, once;
 * RequestExpired/SignatureDoesNotMatch with a Date more than 4 min off → corrected clock, once;
 * Throttling and 5xx retried with back-off.
 */
int aws_call(struct http *http, struct loop *loop, struct credentials *creds, const struct aws_call *call,
	     struct json **out, struct err *err) MUST_CHECK;

#endif
