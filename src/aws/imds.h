/*
 * The instance metadata service, version 2 only: token, paths, back-off through a
 * boot-time outage. No proxy, no redirect, never version 1.
 */
#ifndef BERTH_AWS_IMDS_H
#define BERTH_AWS_IMDS_H

#include "net/http.h"

#define IMDS_ANSWER_MAX_BYTES (64 * KIB)
#define IMDS_TOKEN_MAX_BYTES 1024
#define IMDS_TOKEN_TTL_S 21600
#define IMDS_OUTAGE_MAX_MS 300000 /* Bottlerocket waits as long; 0.5 % of launches need some of it */

struct imds;

/*
 * Reads AWS_EC2_METADATA_SERVICE_ENDPOINT, _ENDPOINT_MODE, AWS_EC2_METADATA_DISABLED,
 * AWS_METADATA_SERVICE_TIMEOUT, _NUM_ATTEMPTS. ERR_CONFIG for nonsense there. No traffic yet.
 * patience_ms: how long imds_get() bears an unreachable service (refused, timeout, 401 for the
 * token, 429, 5xx) before it gives up; the variables shorten it.
 */
int imds_new(struct http *http, struct loop *loop, int64_t patience_ms, struct imds **out, struct err *err) MUST_CHECK;
void imds_free(struct imds *m);

/* Another patience_ms for the calls that follow; returns the one before. */
int64_t imds_set_patience(struct imds *m, int64_t patience_ms);

/*
 * GET /latest/PATH, path without "/latest/" ("meta-data/placement/region").
 * ERR_NOT_FOUND for 404, ERR_DENIED when the endpoint is disabled (403 on the token, or
 * AWS_EC2_METADATA_DISABLED), ERR_TIMEOUT/ERR_NETWORK after patience, ERR_PROTOCOL, ERR_LIMIT.
 * The answer is appended to out.
 */
int imds_get(struct imds *m, const char *path, struct buf *out, struct err *err) MUST_CHECK;

/* meta-data/placement/region and instance-id, fetched once and kept; valid while m lives. */
int imds_region(struct imds *m, const char **out, struct err *err) MUST_CHECK;
int imds_instance_id(struct imds *m, const char **out, struct err *err) MUST_CHECK;

#endif
