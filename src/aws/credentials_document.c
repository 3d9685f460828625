#include "aws/credentials_document.h"

#include "aws/endpoint.h"
#include "base/json.h"
#include "base/mem.h"
#include "net/address.h"

#define KEY_ID_MAX 128       /* IAM API Reference, AccessKey: 16 to 128 */
#define KEY_MAX 1024         /* 40 today */
#define TOKEN_MAX (16 * KIB) /* IAM sets no limit; 400 bytes to 4 KiB are seen */

static const struct json_limits document_limits = { 64 * KIB, 8, 256 };

/* Reads n decimal digits at *s and steps over them; -1 when there are fewer. */
static int digits(const char **s, int n)
{
	int v = 0;

	for (; n > 0; n--, (*s)++) {
		if (**s < '0' || **s > '9')
			return -1;
		v = v * 10 + (**s - '0');
	}
	return v;
}

/* "Z", "+02:00": seconds east of UTC into *out. */
static bool offset(const char *s, int *out)
{
	int sign = *s == '-' ? -1 : 1;

	if (streq(s, "Z") || streq(s, "z")) {
		*out = 0;
		return true;
	}
	if (*s != '+' && *s != '-')
		return false;
	s++;
	int hours = digits(&s, 2);
	if (hours < 0 || *s++ != ':')
		return false;
	int minutes = digits(&s, 2);
	if (hours > 23 || minutes < 0 || minutes > 59 || *s)
		return false;
	*out = sign * (hours * 3600 + minutes * 60);
	return true;
}

bool rfc3339_parse(const char *text, int64_t *wall_ms)
{
	static const char behind[] = "--T::"; /* what stands behind each number but the last */
	static const int widths[] = { 4, 2, 2, 2, 2, 2 };
	int v[ARRAY_LEN(widths)], east;
	const char *s = text;

	for (size_t i = 0; i < ARRAY_LEN(widths); i++) {
		if ((v[i] = digits(&s, widths[i])) < 0)
			return false;
		if (i < strlen(behind) && *s++ != behind[i])
			return false;
	}
	if (*s == '.') {
		size_t n = strspn(s + 1, "0123456789");
		if (!n)
			return false;
		s += 1 + n;
	}
	if (v[3] > 23 || v[4] > 59 || v[5] > 60 || !offset(s, &east))
		return false;
	struct tm tm = { .tm_year = v[0] - 1900,
			 .tm_mon = v[1] - 1,
			 .tm_mday = v[2],
			 .tm_hour = v[3],
			 .tm_min = v[4],
			 .tm_sec = v[5] < 60 ? v[5] : 59 };
	time_t t = timegm(&tm);
	/* timegm() turns 31 February into March. */
	if (tm.tm_mon != v[1] - 1 || tm.tm_mday != v[2])
		return false;
	*wall_ms = ((int64_t)t - east) * 1000;
	return true;
}

/* What goes into a header: visible ASCII. */
static int check_part(const char *name, const char *s, size_t max, enum err_kind kind,
		      struct err *err)
{
	size_t n = strlen(s);

	if (!n)
		return err_set(err, kind, "%s is empty", name);
	if (n > max)
		return err_set(err, kind, "%s is longer than %zu bytes", name, max);
	for (; *s; s++)
		if ((unsigned char)*s <= ' ' || (unsigned char)*s >= 0x7f)
			return err_set(err, kind,
				       "%s has control bytes, spaces or bytes beyond ASCII", name);
	return 0;
}

int credentials_check(const struct aws_credentials *c, enum err_kind kind, struct err *err)
{
	if (check_part("the access key ID", c->access_key_id, KEY_ID_MAX, kind, err) < 0 ||
	    check_part("the secret access key", secret_str(&c->secret_access_key), KEY_MAX, kind,
		       err) < 0)
		return -1;
	if (!secret_is_set(&c->session_token))
		return 0;
	return check_part("the session token", secret_str(&c->session_token), TOKEN_MAX, kind, err);
}

static int check_code(const struct json *doc, struct err *err)
{
	const char *code = NULL, *message = NULL;

	if (json_opt_str(doc, "Code", &code, err) < 0 ||
	    json_opt_str(doc, "Message", &message, err) < 0)
		return -1;
	if (!code || streq(code, "Success"))
		return 0;
	return err_set(err, ERR_DENIED, "%.64s%s%.256s", code, message ? ": " : "",
		       message ? message : "");
}

/* The tree is freed by cJSON, which does not wipe. */
static void wipe_strings(const struct json *doc)
{
	for (const struct json *v = json_first(doc); v; v = json_next(v)) {
		char *s = (char *)json_string(v);
		if (s)
			explicit_bzero(s, strlen(s));
	}
}

static int read_document(const struct json *doc, struct aws_credentials *c, struct err *err)
{
	const char *id, *key, *token = NULL, *expires = NULL;

	if (!json_is_object(doc))
		return err_set(err, ERR_PROTOCOL, "not a JSON object");
	if (check_code(doc, err) < 0 || json_str(doc, "AccessKeyId", &id, err) < 0 ||
	    json_str(doc, "SecretAccessKey", &key, err) < 0 ||
	    json_opt_str(doc, "Token", &token, err) < 0 ||
	    json_opt_str(doc, "Expiration", &expires, err) < 0)
		return -1;
	c->access_key_id = xstrdup(id);
	secret_set(&c->secret_access_key, key, strlen(key));
	if (token && token[0])
		secret_set(&c->session_token, token, strlen(token));
	if (expires && !rfc3339_parse(expires, &c->expires_ms))
		return err_set(err, ERR_PROTOCOL, "Expiration is no time: %.64s", expires);
	return credentials_check(c, ERR_PROTOCOL, err);
}

int credentials_document_parse(const void *bytes, size_t len, struct aws_credentials *out,
			       struct err *err)
{
	CLEANUP(aws_credentials_clear) struct aws_credentials c = { 0 };
	CLEANUP(json_freep) struct json *doc = NULL;

	if (json_parse(bytes, len, &document_limits, &doc, err) < 0)
		return -1;
	int result = read_document(doc, &c, err);
	wipe_strings(doc);
	if (result < 0)
		return -1;
	memcpy(c.source, out->source, sizeof c.source);
	aws_credentials_copy(out, &c);
	return 0;
}

int container_uri_check(const char *uri, bool *link_local, struct err *err)
{
	static const char *const agents[] = { "169.254.170.2", "169.254.170.23", "fd00:ec2::23" };
	bool is_agent = false;
	struct endpoint e;

	if (endpoint_parse(uri, &e, err) < 0)
		return -1;
	for (size_t i = 0; i < ARRAY_LEN(agents); i++)
		is_agent = is_agent || streq(e.host, agents[i]);
	if (!e.https && !is_agent && !host_is_loopback(e.host))
		return err_set(err, ERR_CONFIG,
			       "plain http to %s, where only this machine, 169.254.170.2, "
			       "169.254.170.23 and [fd00:ec2::23] are allowed",
			       e.host);
	*link_local = is_agent;
	return 0;
}
