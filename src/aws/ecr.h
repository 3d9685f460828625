/* Amazon ECR: which hosts are its registries, and their login. */
#ifndef BERTH_AWS_ECR_H
#define BERTH_AWS_ECR_H

#include "aws/call.h"

struct ecr_host {
	bool is_public;      /* public.ecr.aws */
	char account[13];    /* "123456789012" */
	char region[32];     /* the image host's region: it signs */
	char api_host[128];  /* "api.ecr.eu-west-1.amazonaws.com" */
};

/*
 * Pure. True for ACCOUNT.dkr.ecr[-fips].REGION.SUFFIX over the partitions' suffixes
 * (FACTS.md list), ACCOUNT.dkr-ecr[-fips].REGION.on.aws, public.ecr.aws. The whole host must
 * match: "….amazonaws.com.evil.example" does not.
 */
bool ecr_host_parse(const char *host, struct ecr_host *out);

/*
 * User ("AWS") and password, valid 12 h. For the public registry any failure to sign in is
 * ERR_DENIED, and the caller goes on anonymously.
 */
int ecr_login(struct http *http, struct loop *loop, struct credentials *creds, const struct ecr_host *host,
	      struct secret *user, struct secret *password, struct err *err) MUST_CHECK;

#endif
