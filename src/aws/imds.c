#include "aws/imds.h"

#include <unistd.h>

#include "aws/imds_settings.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/secret.h"

#define TOKEN_PATH "/latest/api/token"
#define TOKEN_HEADER "X-aws-ec2-metadata-token"
#define TTL_HEADER "X-aws-ec2-metadata-token-ttl-seconds"

/* An answer takes milliseconds; what does not come in a second hardly ever comes. */
#define ATTEMPT_FIRST_MS 1000
#define ATTEMPT_MAX_MS 5000
/* IMDS limits the rate per instance; a boot outage should still end soon after it ends. */
#define BACKOFF_FIRST_MS 250
#define BACKOFF_MAX_MS 4000
/* A token is renewed so long before it ends. */
#define RENEW_BEFORE_MS 60000
#define LINE_MAX_BYTES 128 /* a region, an instance ID */

#define LOWER_DIGITS_DASH "abcdefghijklmnopqrstuvwxyz0123456789-"

struct imds {
	struct http *http;
	struct loop *loop;
	struct imds_settings settings;
	int64_t patience_ms;
	struct secret token;
	int64_t renew_at_ms; /* of clock_mono_ms() */
	char *region, *instance_id;
};

/* One imds_get(): how long it has been trying. */
struct trial {
	int64_t started_ms, deadline_ms;
	unsigned int attempts; /* begun */
	bool renewed;          /* a token that was not taken has been replaced */
};

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

void imds_free(struct imds *m)
{
	if (!m)
		return;
	secret_clear(&m->token);
	imds_settings_clear(&m->settings);
	free(m->region);
	free(m->instance_id);
	free(m);
}

int imds_new(struct http *http, struct loop *loop, int64_t patience_ms, struct imds **out,
	     struct err *err)
{
	struct imds *m = xcalloc(1, sizeof *m);

	*m = (struct imds){ .http = http, .loop = loop, .patience_ms = patience_ms };
	if (imds_settings_read(&m->settings, err) < 0) {
		imds_free(m);
		return -1;
	}
	*out = m;
	return 0;
}

int64_t imds_set_patience(struct imds *m, int64_t patience_ms)
{
	int64_t before = m->patience_ms;

	m->patience_ms = patience_ms;
	return before;
}

static int64_t smaller(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

static int64_t larger(int64_t a, int64_t b)
{
	return a > b ? a : b;
}

static bool inside_container(void)
{
	return access("/.dockerenv", F_OK) == 0 || access("/run/.containerenv", F_OK) == 0;
}

/* Behind a hop limit of 1 the answer dies on the way: no error, just silence. */
static void hint_at_silence(struct err *err)
{
	if (err->kind != ERR_TIMEOUT && err->kind != ERR_NETWORK)
		return;
	if (err->kind == ERR_TIMEOUT && inside_container())
		err_hint(err, "in a container the answer needs a hop more: aws ec2 "
			      "modify-instance-metadata-options --http-put-response-hop-limit 2");
	else
		err_hint(err, "is this an EC2 instance, and may this process reach the metadata "
			      "service? AWS_EC2_METADATA_DISABLED=true stops asking");
}

/* One request. No retry, no judgement of the status. */
static int send_once(struct imds *m, const struct trial *t, const char *method, const char *url,
		     const struct http_header *header, struct http_response *resp, const char *what,
		     struct err *err)
{
	int64_t grown = (int64_t)ATTEMPT_FIRST_MS << smaller(t->attempts - 1, 4);
	int64_t timeout =
		m->settings.timeout_ms ? m->settings.timeout_ms : smaller(grown, ATTEMPT_MAX_MS);
	int64_t left = t->deadline_ms - clock_mono_ms();

	/* The last attempt gets its second too, or it could not succeed. */
	timeout = smaller(timeout, larger(left, ATTEMPT_FIRST_MS));
	const struct http_request req = {
		.method = method,
		.url = url,
		.headers = header,
		.n_headers = 1,
		.max_body_bytes = IMDS_ANSWER_MAX_BYTES,
		.connect_timeout_ms = timeout,
		.total_timeout_ms = timeout,
		.least = ADDRESS_NEVER, /* link-local is where it lives */
		.no_proxy = true,       /* it refuses whatever carries X-Forwarded-For */
	};
	if (http_do(m->http, &req, resp, err) == 0)
		return 0;
	hint_at_silence(err);
	return err_wrap(err, "IMDS %s %s", what, err->kind == ERR_TIMEOUT ? "timed out" : "failed");
}

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

static void response_clear(struct http_response *resp)
{
	buf_wipe(&resp->body); /* tokens and keys come this way */
	http_response_free(resp);
}

static int fetch_token(struct imds *m, const struct trial *t, struct err *err)
{
	CLEANUP(response_clear) struct http_response resp = { 0 };
	CLEANUP(freep) char *url = xasprintf("%s" TOKEN_PATH, m->settings.base);
	CLEANUP(freep) char *ttl = xasprintf("%d", IMDS_TOKEN_TTL_S);
	const struct http_header header = { TTL_HEADER, ttl };
	int64_t asked_ms = clock_mono_ms();

	if (send_once(m, t, "PUT", url, &header, &resp, "token request", err) < 0)
		return -1;
	if (resp.status != 200)
		return judge(token_meanings, &resp, "token request", err);
	if (check_token(&resp.body, err) < 0)
		return -1;
	int64_t life = token_life(&resp);
	secret_set(&m->token, resp.body.data, resp.body.len);
	m->renew_at_ms = asked_ms + life - smaller(RENEW_BEFORE_MS, life / 2);
	return 0;
}

/* Percent-encodes what a path cannot hold: PATH may come from the command line. */
static char *url_of(const struct imds *m, const char *path, struct err *err)
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

/* A token if need be, and the path with it; the error says whether more attempts make sense. */
static int attempt(struct imds *m, struct trial *t, const char *url, const char *what,
		   struct buf *out, struct err *err)
{
	for (;;) {
		CLEANUP(response_clear) struct http_response resp = { 0 };

		if ((!secret_is_set(&m->token) || clock_mono_ms() >= m->renew_at_ms) &&
		    fetch_token(m, t, err) < 0)
			return -1;
		const struct http_header header = { TOKEN_HEADER, secret_str(&m->token) };
		if (send_once(m, t, "GET", url, &header, &resp, what, err) < 0)
			return -1;
		if (resp.status == 200)
			return buf_append(out, resp.body.data, resp.body.len, err) < 0
				       ? err_wrap(err, "IMDS %s", what)
				       : 0;
		if (resp.status == 401)
			secret_clear(&m->token);
		if (resp.status != 401 || t->renewed)
			return judge(get_meanings, &resp, what, err);
		t->renewed = true;
	}
}

/* Says how long it was tried, without touching what else the error holds. */
static int give_up(const struct trial *t, struct err *err)
{
	struct err cause = *err;

	if (t->attempts > 1) {
		err_set(err, cause.kind, "%s (%u attempts in %lld s)", cause.msg, t->attempts,
			(long long)(clock_mono_ms() - t->started_ms + 500) / 1000);
		memcpy(cause.msg, err->msg, sizeof cause.msg);
	}
	*err = cause;
	return -1;
}

/* How long to wait before the next attempt; -1: not worth it, the patience is over by then. */
static int64_t next_delay(const struct trial *t, int64_t asked_for_ms)
{
	int64_t step =
		smaller((int64_t)BACKOFF_FIRST_MS << smaller(t->attempts - 1, 5), BACKOFF_MAX_MS);
	int64_t delay = step / 2 + clock_jitter((uint32_t)step / 2);
	int64_t left = t->deadline_ms - clock_mono_ms();

	if (left <= 0 || asked_for_ms > left)
		return -1;
	return larger(asked_for_ms, smaller(delay, left));
}

int imds_get(struct imds *m, const char *path, struct buf *out, struct err *err)
{
	int64_t now = clock_mono_ms();
	struct trial t = { .started_ms = now, .deadline_ms = now + m->patience_ms };
	CLEANUP(freep) char *what = xasprintf("GET %s", path), *url = NULL;

	if (m->settings.disabled)
		return err_set(err, ERR_DENIED,
			       "IMDS is switched off by AWS_EC2_METADATA_DISABLED");
	if (!(url = url_of(m, path, err)))
		return -1;
	for (;;) {
		struct err cause = { 0 }, stopped;

		t.attempts++;
		if (attempt(m, &t, url, what, out, &cause) == 0)
			return 0;
		int64_t delay = t.attempts == m->settings.attempts
					? -1
					: next_delay(&t, cause.retry_after_ms);
		if (!cause.retryable || delay < 0) {
			*err = cause;
			return give_up(&t, err);
		}
		if (loop_sleep(m->loop, delay, &stopped) < 0) {
			*err = stopped;
			return -1;
		}
	}
}

/* Fetches a line once; `bytes` are those it may consist of. */
static int kept_line(struct imds *m, const char *path, const char *bytes, char **kept,
		     const char **out, struct err *err)
{
	CLEANUP(buf_free) struct buf line = BUF_INIT(IMDS_ANSWER_MAX_BYTES);

	if (!*kept) {
		if (imds_get(m, path, &line, err) < 0)
			return -1;
		const char *s = buf_str(&line);
		if (!line.len || line.len > LINE_MAX_BYTES || strspn(s, bytes) != line.len)
			return err_set(err, ERR_PROTOCOL,
				       "IMDS GET %s: not what is kept there: %.64s", path, s);
		*kept = xstrdup(s);
	}
	*out = *kept;
	return 0;
}

int imds_region(struct imds *m, const char **out, struct err *err)
{
	return kept_line(m, "meta-data/placement/region", LOWER_DIGITS_DASH, &m->region, out, err);
}

int imds_instance_id(struct imds *m, const char **out, struct err *err)
{
	return kept_line(m, "meta-data/instance-id", LOWER_DIGITS_DASH, &m->instance_id, out, err);
}
