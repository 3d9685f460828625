#include "aws/imds_internal.h"

#include "base/clock.h"
#include "base/mem.h"

/* A token is renewed so long before it ends. */
#define RENEW_BEFORE_MS 60000

/* What an answer means; the first row whose range holds the status. */
struct meaning {
	long from, to;
	enum err_kind kind;
	const char *text;
	const char *hint;
};

static const char enable_hint[] =
	"enable the metadata endpoint: aws ec2 modify-instance-metadata-options --http-endpoint enabled";

static const struct meaning token_meanings[] = {
	{ 300, 399, ERR_PROTOCOL, "answered by a redirect; that is not the metadata service",
	  NULL },
	{ 400, 400, ERR_PROTOCOL, "refused as a bad request", NULL },
	/* Seen for some seconds on fresh instances. */
	{ 401, 401, ERR_NETWORK, "not authorized yet", NULL },
	{ 403, 403, ERR_DENIED, "forbidden: the metadata endpoint is disabled", enable_hint },
	{ 404, 405, ERR_PROTOCOL, "not known there: not IMDSv2", NULL },
	{ 429, 429, ERR_NETWORK, "too many requests", NULL },
	{ 500, 599, ERR_NETWORK, "service unavailable", NULL },
	{ 0, 999, ERR_PROTOCOL, "answered by a status that it does not have", NULL },
};

static const struct meaning get_meanings[] = {
	{ 300, 399, ERR_PROTOCOL, "answered by a redirect; that is not the metadata service",
	  NULL },
	{ 400, 400, ERR_PROTOCOL, "refused as a bad request", NULL },
	{ 401, 401, ERR_DENIED, "not authorized, with a new token either", NULL },
	{ 403, 403, ERR_DENIED, "forbidden: the metadata endpoint is disabled", enable_hint },
	{ 404, 404, ERR_NOT_FOUND, "not found", NULL },
	{ 429, 429, ERR_NETWORK, "too many requests", NULL },
	{ 500, 599, ERR_NETWORK, "service unavailable", NULL },
	{ 0, 999, ERR_PROTOCOL, "answered by a status that it does not have", NULL },
};

static int judge(const struct meaning *meanings, const struct http_response *resp, const char *what,
		 struct err *err)
{
	const struct meaning *m = meanings;

	while (resp->status < m->from || resp->status > m->to)
		m++;
	err_set(err, m->kind, "IMDS %s: %s (status %ld)", what, m->text, resp->status);
	if (m->kind == ERR_NETWORK && resp->retry_after_ms > 0)
		err_retry(err, resp->retry_after_ms);
	return m->hint ? err_hint(err, "%s", m->hint) : -1;
}

/* It becomes a header's value. */
static int check_token(const struct buf *body, struct err *err)
{
	if (!body->len)
		return err_set(err, ERR_PROTOCOL, "IMDS token request: the token is empty");
	if (body->len > IMDS_TOKEN_MAX_BYTES)
		return err_set(err, ERR_LIMIT, "IMDS token request: a token of %zu bytes",
			       body->len);
	for (size_t i = 0; i < body->len; i++)
		if ((unsigned char)body->data[i] <= ' ' || (unsigned char)body->data[i] >= 0x7f)
			return err_set(err, ERR_PROTOCOL,
				       "IMDS token request: the token has control bytes, spaces or "
				       "bytes beyond ASCII");
	return 0;
}

/* Milliseconds for which the token is good. */
static int64_t token_life(const struct http_response *resp)
{
	CLEANUP(freep) char *ttl = http_header_get(resp, "x-aws-ec2-metadata-token-ttl-seconds");
	long seconds = ttl ? strtol(ttl, NULL, 10) : 0;

	if (seconds < 1 || seconds > IMDS_TOKEN_TTL_S)
		seconds = IMDS_TOKEN_TTL_S;
	return seconds * 1000;
}

bool imds_needs_token(const struct imds *m)
{
	return !secret_is_set(&m->token) || clock_mono_ms() >= m->renew_at_ms;
}

int imds_take_token(struct imds *m, const struct http_response *resp, int64_t asked_ms, struct err *err)
{
	if (resp->status != 200)
		return judge(token_meanings, resp, "token request", err);
	if (check_token(&resp->body, err) < 0)
		return -1;
	int64_t life = token_life(resp), early = life / 2 < RENEW_BEFORE_MS ? life / 2 : RENEW_BEFORE_MS;
	secret_set(&m->token, resp->body.data, resp->body.len);
	m->renew_at_ms = asked_ms + life - early;
	return 0;
}

int imds_judge(const struct http_response *resp, const char *what, struct err *err)
{
	return judge(get_meanings, resp, what, err);
}

void imds_response_clear(struct http_response *resp)
{
	buf_wipe(&resp->body); /* tokens and keys come this way */
	http_response_free(resp);
}

/* Percent-encodes what a path cannot hold: PATH may come from the command line. */
char *imds_url(const struct imds *m, const char *path, struct err *err)
{
	static const char plain[] = "/-._~:@!$&'()*+,;=";
	CLEANUP(buf_free) struct buf url = BUF_INIT(HTTP_URL_MAX_BYTES);

	if (buf_printf(&url, err, "%s/latest/", m->settings.base) < 0)
		return NULL;
	for (const char *s = path; *s; s++) {
		bool keep = (*s >= '0' && *s <= '9') || (*s >= 'A' && *s <= 'Z') ||
			    (*s >= 'a' && *s <= 'z') || strchr(plain, *s);
		if (buf_printf(&url, err, keep ? "%c" : "%%%02X", (unsigned char)*s) < 0)
			return NULL;
	}
	return xstrdup(buf_str(&url));
}
