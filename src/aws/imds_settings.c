#include "aws/imds_settings.h"

#include <strings.h>

#include "aws/endpoint.h"
#include "aws/setting.h"
#include "base/mem.h"

#define TIMEOUT_MAX_S 600
#define ATTEMPTS_MAX 1000

/* A count in a variable, *out untouched when it is not set. */
static int number_setting(const char *name, long max, long *out, struct err *err)
{
	const char *v = setting(name);
	char *end;

	if (!v)
		return 0;
	long n = strtol(v, &end, 10);
	if (*end || n < 1 || n > max || v[0] < '0' || v[0] > '9')
		return err_set(err, ERR_CONFIG, "%s is \"%s\": not a number from 1 to %ld", name, v,
			       max);
	*out = n;
	return 0;
}

static int read_base(struct imds_settings *out, struct err *err)
{
	static const char variable[] = "AWS_EC2_METADATA_SERVICE_ENDPOINT";
	static const char mode_variable[] = "AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE";
	const char *url = setting(variable), *mode = setting(mode_variable);
	bool ipv6 = mode && strcasecmp(mode, "ipv6") == 0;
	struct endpoint e;

	if (mode && !ipv6 && strcasecmp(mode, "ipv4") != 0)
		return err_set(err, ERR_CONFIG, "%s is \"%s\": neither IPv4 nor IPv6",
			       mode_variable, mode);
	if (!url)
		url = ipv6 ? "http://[fd00:ec2::254]" : "http://169.254.169.254";
	if (endpoint_parse(url, &e, err) < 0)
		return err_wrap(err, "%s", variable);
	if (strchr(e.rest, '?'))
		return err_set(err, ERR_CONFIG, "%s: a URL with a query", variable);

	CLEANUP(freep) char *origin = endpoint_origin(&e);
	size_t path = strlen(e.rest);
	while (path && e.rest[path - 1] == '/')
		path--;
	out->base = xasprintf("%s%.*s", origin, (int)path, e.rest);
	return 0;
}

int imds_settings_read(struct imds_settings *out, struct err *err)
{
	const char *disabled = setting("AWS_EC2_METADATA_DISABLED");
	struct imds_settings s = { .disabled = disabled && strcasecmp(disabled, "true") == 0 };
	long timeout_s = 0, attempts = 0;

	if (disabled && !s.disabled && strcasecmp(disabled, "false") != 0)
		return err_set(err, ERR_CONFIG,
			       "AWS_EC2_METADATA_DISABLED is \"%s\": neither true nor false",
			       disabled);
	if (number_setting("AWS_METADATA_SERVICE_TIMEOUT", TIMEOUT_MAX_S, &timeout_s, err) < 0 ||
	    number_setting("AWS_METADATA_SERVICE_NUM_ATTEMPTS", ATTEMPTS_MAX, &attempts, err) < 0 ||
	    read_base(&s, err) < 0)
		return -1;
	s.timeout_ms = timeout_s * 1000;
	s.attempts = (unsigned int)attempts;
	*out = s;
	return 0;
}

void imds_settings_clear(struct imds_settings *s)
{
	free(s->base);
	*s = (struct imds_settings){ 0 };
}
