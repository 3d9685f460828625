#include "aws/imds_internal.h"

#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"

/* An answer takes milliseconds; what does not come in a second hardly ever comes. */
#define ATTEMPT_FIRST_MS 1000
#define ATTEMPT_MAX_MS 5000
/* IMDS limits the rate per instance; a boot outage should still end soon after it ends. */
#define BACKOFF_FIRST_MS 250
#define BACKOFF_MAX_MS 4000
#define LINE_MAX_BYTES 128 /* a region, an instance ID */

#define LOWER_DIGITS_DASH "abcdefghijklmnopqrstuvwxyz0123456789-"

/* One imds_get(): how long it has been trying. */
struct trial {
	int64_t started_ms, deadline_ms;
	unsigned int attempts; /* begun */
	bool renewed;          /* a token that was not taken has been replaced */
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

static int fetch_token(struct imds *m, const struct trial *t, struct err *err)
{
	CLEANUP(imds_response_clear) struct http_response resp = { 0 };
	CLEANUP(freep) char *url = xasprintf("%s" TOKEN_PATH, m->settings.base);
	const struct http_header header = { TTL_HEADER, TTL_TEXT };
	int64_t asked_ms = clock_mono_ms();

	if (send_once(m, t, "PUT", url, &header, &resp, "token request", err) < 0)
		return -1;
	return imds_take_token(m, &resp, asked_ms, err);
}

/* A token if need be, and the path with it; the error says whether more attempts make sense. */
static int attempt(struct imds *m, struct trial *t, const char *url, const char *what,
		   struct buf *out, struct err *err)
{
	for (;;) {
		CLEANUP(imds_response_clear) struct http_response resp = { 0 };

		if (imds_needs_token(m) && fetch_token(m, t, err) < 0)
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
			return imds_judge(&resp, what, err);
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
	if (!(url = imds_url(m, path, err)))
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
