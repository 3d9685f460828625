/*
 * AWS credentials, in the SDKs' order: environment, container endpoint
 * (AWS_CONTAINER_CREDENTIALS_*), IMDS role. Kept until five minutes before they expire.
 */
#ifndef BERTH_AWS_CREDENTIALS_H
#define BERTH_AWS_CREDENTIALS_H

#include "aws/imds.h"
#include "aws/sigv4.h"

#define CREDENTIALS_REFRESH_BEFORE_MS 300000
#define CREDENTIALS_HURRY_MS 2000

struct credentials;

/* imds is borrowed. */
struct credentials *credentials_new(struct http *http, struct loop *loop, struct imds *imds);
void credentials_free(struct credentials *c);

/*
 * Copies the current credentials to out. refresh: the service did not accept the
 * last ones. When no source has any, ERR_DENIED whose message says what each source
 * answered ("environment: AWS_ACCESS_KEY_ID not set; IMDS: no role attached to this instance")
 * and whose hint says what to attach. Slightly expired ones are returned when the refresh fails.
 */
int credentials_get(struct credentials *c, bool refresh, struct aws_credentials *out, struct err *err) MUST_CHECK;

/*
 * While on, IMDS gets CREDENTIALS_HURRY_MS instead of its own patience: for those who
 * can do without credentials. Renewing ones that are still good never takes longer either.
 */
void credentials_hurry(struct credentials *c, bool on);

/* The role's name when the IMDS role is the source, for hints; else NULL. */
const char *credentials_role(const struct credentials *c);

#endif
