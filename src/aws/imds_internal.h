/* What the imds*.c files share: the token, and what answers mean. Nobody else includes this. */
#ifndef BERTH_AWS_IMDS_INTERNAL_H
#define BERTH_AWS_IMDS_INTERNAL_H

#include "aws/imds.h"
#include "aws/imds_settings.h"
#include "base/secret.h"

#define TOKEN_PATH "/latest/api/token"
#define TOKEN_HEADER "X-aws-ec2-metadata-token"
#define TTL_HEADER "X-aws-ec2-metadata-token-ttl-seconds"
#define TTL_TEXT "21600" /* IMDS_TOKEN_TTL_S */

struct imds {
	struct http *http;
	struct loop *loop;
	struct imds_settings settings;
	int64_t patience_ms;
	struct secret token;
	int64_t renew_at_ms; /* of clock_mono_ms() */
	char *region, *instance_id;
};

/* The token is missing, or about to end. */
bool imds_needs_token(const struct imds *m);
/* From the answer to the token request that was sent at asked_ms. */
int imds_take_token(struct imds *m, const struct http_response *resp, int64_t asked_ms, struct err *err) MUST_CHECK;

/* The error that an answer other than 200 to a GET is; -1. */
int imds_judge(const struct http_response *resp, const char *what, struct err *err);

/* Of a path below /latest, percent-encoded; caller frees; NULL: ERR_LIMIT. */
char *imds_url(const struct imds *m, const char *path, struct err *err);

/* Wipes what may be a token or a key. */
void imds_response_clear(struct http_response *resp);

#endif
