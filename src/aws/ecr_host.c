#include "aws/ecr.h"

#include "base/mem.h"

/* Image hosts and their API hosts, by partition: the endpoint rules of the SDKs, service "ecr". */
static const struct partition {
	const char *label;      /* between account and region, "-fips" aside */
	const char *suffix;     /* behind the region */
	const char *api_label;  /* before "[-fips].REGION." */
	const char *api_suffix; /* behind it */
} partitions[] = {
	{ "dkr.ecr", "amazonaws.com", "api.ecr", "amazonaws.com" },
	{ "dkr.ecr", "amazonaws.com.cn", "api.ecr", "amazonaws.com.cn" },
	{ "dkr.ecr", "amazonaws.eu", "api.ecr", "amazonaws.eu" },
	{ "dkr.ecr", "c2s.ic.gov", "api.ecr", "c2s.ic.gov" },
	{ "dkr.ecr", "sc2s.sgov.gov", "api.ecr", "sc2s.sgov.gov" },
	{ "dkr.ecr", "cloud.adc-e.uk", "api.ecr", "cloud.adc-e.uk" },
	{ "dkr.ecr", "csp.hci.ic.gov", "api.ecr", "csp.hci.ic.gov" },
	/* Dual-stack: an instance without IPv4 reaches only these. */
	{ "dkr-ecr", "on.aws", "ecr", "api.aws" },
	{ "dkr-ecr", "on.amazonwebservices.com.cn", "ecr", "api.amazonwebservices.com.cn" },
	{ "dkr-ecr", "on.amazonwebservices.eu", "ecr", "api.amazonwebservices.eu" },
};

#define LOWER_DIGITS "abcdefghijklmnopqrstuvwxyz0123456789"
#define DIGITS "0123456789"

/* "eu-west-1" at the start of s; its length, or 0. */
static size_t region_length(const char *s)
{
	size_t n = strspn(s, LOWER_DIGITS "-");

	return n && n < sizeof((struct ecr_host *)0)->region && s[0] != '-' && s[n - 1] != '-' &&
			       s[n] == '.'
		       ? n
		       : 0;
}

static bool match(const struct partition *p, const char *after_account, struct ecr_host *out)
{
	const char *region = skip_prefix(after_account, p->label), *fips = "";
	size_t n;

	if (region && skip_prefix(region, "-fips")) {
		fips = "-fips";
		region += strlen(fips);
	}
	if (!region || *region++ != '.' || !(n = region_length(region)) ||
	    !streq(region + n + 1, p->suffix))
		return false;
	memcpy(out->region, region, n);
	out->region[n] = '\0';
	/* The longest suffix and region fit. */
	(void)snprintf(out->api_host, sizeof out->api_host, "%s%s.%s.%s", p->api_label, fips,
		       out->region, p->api_suffix);
	return true;
}

bool ecr_host_parse(const char *host, struct ecr_host *out)
{
	struct ecr_host h = { 0 };
	const size_t digits = sizeof h.account - 1;

	if (streq(host, "public.ecr.aws")) {
		/* Its API lives in one region only. */
		*out = (struct ecr_host){ .is_public = true,
					  .region = "us-east-1",
					  .api_host = "api.ecr-public.us-east-1.amazonaws.com" };
		return true;
	}
	if (strspn(host, DIGITS) != digits || host[digits] != '.')
		return false;
	memcpy(h.account, host, digits);
	for (size_t i = 0; i < ARRAY_LEN(partitions); i++) {
		if (match(&partitions[i], host + digits + 1, &h)) {
			*out = h;
			return true;
		}
	}
	return false;
}
