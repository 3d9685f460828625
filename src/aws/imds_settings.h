/* What the environment says about the metadata service. */
#ifndef BERTH_AWS_IMDS_SETTINGS_H
#define BERTH_AWS_IMDS_SETTINGS_H

#include "base/err.h"

struct imds_settings {
	char *base; /* "http://169.254.169.254": without a slash at the end */
	bool disabled;
	int64_t timeout_ms;    /* of one attempt; 0: not said */
	unsigned int attempts; /* 0: not said */
};

/* ERR_CONFIG for a variable that holds nonsense, named in the message. */
int imds_settings_read(struct imds_settings *out, struct err *err) MUST_CHECK;
void imds_settings_clear(struct imds_settings *s);

#endif
