#include "aws/call.h"

#include "aws/endpoint.h"
#include "aws/setting.h"
#include "base/clock.h"
#include "base/mem.h"

#define CONTENT_TYPE "application/x-amz-json-1.1"
#define CONNECT_TIMEOUT_MS 10000
#define TOTAL_TIMEOUT_MS 30000
/* Services take 5 minutes of skew; a clock that is off by more than this is the likely cause. */
#define SKEW_MS 240000

static const struct json_limits answer_limits = { AWS_ANSWER_MAX_BYTES, 16, 4096 };

/* What the caller can do about an error's __type. */
enum remedy {
	REMEDY_NONE,
	REMEDY_POLICY,      /* the role lacks the action */
	REMEDY_CREDENTIALS, /* newer credentials, once */
	REMEDY_CLOCK,       /* another time in the signature, once */
	REMEDY_WAIT,
};

/* By prefix: services add "Exception" to most. First match wins. */
static const struct {
	const char *prefix;
	enum remedy remedy;
} remedies[] = {
	{ "AccessDenied", REMEDY_POLICY },
	{ "UnauthorizedOperation", REMEDY_POLICY },
	{ "NotAuthorized", REMEDY_POLICY },
	{ "ExpiredToken", REMEDY_CREDENTIALS },
	{ "UnrecognizedClient", REMEDY_CREDENTIALS },
	{ "InvalidClientTokenId", REMEDY_CREDENTIALS },
	{ "InvalidToken", REMEDY_CREDENTIALS },
	{ "InvalidSecurityToken", REMEDY_CREDENTIALS },
	{ "InvalidSignature", REMEDY_CLOCK },
	{ "SignatureDoesNotMatch", REMEDY_CLOCK },
	{ "RequestExpired", REMEDY_CLOCK },
	{ "RequestTimeTooSkewed", REMEDY_CLOCK },
	{ "RequestInTheFuture", REMEDY_CLOCK },
	{ "AuthFailure", REMEDY_CLOCK },
	{ "Throttl", REMEDY_WAIT },
	{ "TooManyRequests", REMEDY_WAIT },
	{ "RequestLimitExceeded", REMEDY_WAIT },
	{ "RequestThrottled", REMEDY_WAIT },
	{ "ServiceUnavailable", REMEDY_WAIT },
	{ "InternalFailure", REMEDY_WAIT },
	{ "InternalServer", REMEDY_WAIT },
	{ "ServerException", REMEDY_WAIT },
};

struct session {
	struct http *http;
	struct loop *loop;
	struct credentials *creds;
	const struct aws_call *call;
	struct endpoint endpoint;
	char *url; /* with a path */
	bool overridden;
	struct aws_credentials keys;
	int64_t offset_ms;    /* the service's clock minus ours */
	bool clock_corrected; /* each remedy is tried once */
	bool refreshed;
	struct json **out;
};

/* What one request brought, judged. */
struct verdict {
	enum remedy remedy;
	int64_t skew_ms; /* their clock minus the time signed with; 0: they gave none */
};

static int64_t larger(int64_t a, int64_t b)
{
	return a > b ? a : b;
}

/* The service's own variable, the general one, the default: as the SDKs do it. */
static int choose_endpoint(struct session *s, struct err *err)
{
	const char *variable =
		setting(s->call->endpoint_var) ? s->call->endpoint_var : "AWS_ENDPOINT_URL";
	const char *url = setting(variable);

	s->overridden = url != NULL;
	if (!url)
		url = s->call->endpoint;
	if (endpoint_parse(url, &s->endpoint, err) < 0)
		return err_wrap(err, "%s", s->overridden ? variable : url);
	if (strchr(s->endpoint.rest, '?'))
		return err_set(err, ERR_CONFIG, "%s: a URL with a query", variable);
	/* Signatures travel with a session token. */
	if (!s->endpoint.https && !host_is_loopback(s->endpoint.host))
		return err_set(err, ERR_CONFIG, "%s: plain http is for loopback only", variable);

	CLEANUP(freep) char *origin = endpoint_origin(&s->endpoint);
	s->url = xasprintf("%s%s", origin, s->endpoint.rest[0] ? s->endpoint.rest : "/");
	return 0;
}

static int sign(const struct session *s, int64_t at_ms, struct sigv4_result *signature,
		struct err *err)
{
	const struct sigv4_header headers[] = {
		{ "Host", s->endpoint.authority },
		{ "Content-Type", CONTENT_TYPE },
		{ "X-Amz-Target", s->call->target },
	};
	const struct sigv4_request req = {
		.method = "POST",
		.path = s->endpoint.rest,
		.query = "",
		.headers = headers,
		.n_headers = ARRAY_LEN(headers),
		.body = s->call->body,
		.body_len = strlen(s->call->body),
		.region = s->call->region,
		.service = s->call->service,
		.normalize_path = true,
	};

	return sigv4_sign(&req, &s->keys, at_ms, signature, err);
}

static int post(const struct session *s, const struct sigv4_result *signature,
		struct http_response *resp, struct err *err)
{
	const struct http_header headers[] = {
		{ "Content-Type", CONTENT_TYPE },
		{ "X-Amz-Target", s->call->target },
		{ "X-Amz-Date", signature->amz_date },
		{ "Authorization", signature->authorization },
		{ "X-Amz-Security-Token", secret_str(&signature->token) },
	};
	const struct http_request req = {
		.method = "POST",
		.url = s->url,
		.headers = headers,
		.n_headers = ARRAY_LEN(headers) - !secret_is_set(&signature->token),
		.body = s->call->body,
		.body_len = strlen(s->call->body),
		.max_body_bytes = AWS_ANSWER_MAX_BYTES,
		.connect_timeout_ms = CONNECT_TIMEOUT_MS,
		.total_timeout_ms = TOTAL_TIMEOUT_MS,
		/* An interface endpoint of the VPC has a private address. */
		.least = s->overridden ? ADDRESS_LOOPBACK : ADDRESS_PRIVATE,
	};

	return http_do(s->http, &req, resp, err);
}

/* "com.amazon.coral.service#AccessDeniedException:http://…" is "AccessDeniedException"; caller frees. */
static char *bare_type(const char *type)
{
	const char *hash = strchr(type, '#');
	const char *name = hash ? hash + 1 : type;

	return xstrndup(name, strcspn(name, ":"));
}

/* The error's type and message from body or header; type NULL when there is none. */
static void read_error(const struct http_response *resp, char **type, char **message)
{
	CLEANUP(json_freep) struct json *body = NULL;
	CLEANUP(freep) char *header = http_header_get(resp, "x-amzn-errortype");
	struct err ignored;

	/* A body that is no JSON comes from a load balancer: the status will do. */
	if (json_parse(resp->body.data, resp->body.len, &answer_limits, &body, &ignored) < 0)
		body = NULL;
	const char *t = json_string(json_get(body, "__type")) ?: header;
	const char *m =
		json_string(json_get(body, "message")) ?: json_string(json_get(body, "Message"));
	*type = t ? bare_type(t) : NULL;
	*message = xstrdup(m);
}

static enum remedy remedy_for(const char *type, long status)
{
	for (size_t i = 0; type && i < ARRAY_LEN(remedies); i++)
		if (skip_prefix(type, remedies[i].prefix))
			return remedies[i].remedy;
	return status == 429 || status >= 500 ? REMEDY_WAIT : REMEDY_NONE;
}

static enum err_kind kind_for(enum remedy remedy, long status)
{
	switch (remedy) {
	case REMEDY_POLICY:
	case REMEDY_CREDENTIALS:
	case REMEDY_CLOCK:
		return ERR_DENIED;
	case REMEDY_WAIT:
		return ERR_NETWORK;
	case REMEDY_NONE:
		break;
	}
	return status < 400 ? ERR_PROTOCOL : ERR_FAILED;
}

static int hint_for(const struct session *s, const struct verdict *v, struct err *err)
{
	const char *role = credentials_role(s->creds), *source = s->keys.source;

	if (v->remedy == REMEDY_POLICY && role)
		return err_hint(err, "add %s to role %s", s->call->action, role);
	if (v->remedy == REMEDY_POLICY)
		return err_hint(err, "allow %s to the owner of the keys (%s)", s->call->action,
				source);
	if (v->remedy == REMEDY_CREDENTIALS)
		return err_hint(err, "AWS does not take the keys it was given (%s)", source);
	if (v->remedy == REMEDY_CLOCK)
		return err_hint(err,
				"the keys do not fit each other (%s), or a proxy changes requests",
				source);
	return -1;
}

static int explain(const struct session *s, const struct http_response *resp, struct verdict *v,
		   struct err *err)
{
	CLEANUP(freep)
	char *type = NULL, *message = NULL, *status = xasprintf("status %ld", resp->status);

	read_error(resp, &type, &message);
	v->remedy = remedy_for(type, resp->status);
	err_set(err, kind_for(v->remedy, resp->status), "%.64s on %s%s%.320s", type ? type : status,
		s->call->action, message && message[0] ? ": " : "", message ? message : "");
	if (v->remedy == REMEDY_WAIT)
		return err_retry(err, larger(resp->retry_after_ms, 0));
	return hint_for(s, v, err);
}

static void response_clear(struct http_response *resp)
{
	buf_wipe(&resp->body); /* tokens */
	http_response_free(resp);
}

static int request_once(const struct session *s, struct verdict *v, struct err *err)
{
	CLEANUP(sigv4_result_clear) struct sigv4_result signature = { 0 };
	CLEANUP(response_clear) struct http_response resp = { 0 };
	int64_t at_ms = clock_wall_ms() + s->offset_ms;

	if (sign(s, at_ms, &signature, err) < 0 || post(s, &signature, &resp, err) < 0)
		return err_wrap(err, "%s", s->call->action);
	v->skew_ms = resp.date_ms ? resp.date_ms - at_ms : 0;
	if (resp.status != 200)
		return explain(s, &resp, v, err);
	if (json_parse(resp.body.data, resp.body.len, &answer_limits, s->out, err) < 0)
		return err_wrap(err, "the answer to %s", s->call->action);
	return 0;
}

/* The time, corrected, or newer keys; false when that was done already or is of no use. */
static bool mend(struct session *s, const struct verdict *v, struct err *err)
{
	bool skewed = v->skew_ms > SKEW_MS || v->skew_ms < -SKEW_MS;
	struct err unavailable;

	if (v->remedy == REMEDY_CLOCK && skewed && !s->clock_corrected) {
		s->clock_corrected = true;
		s->offset_ms += v->skew_ms;
		return true;
	}
	if (v->remedy != REMEDY_CREDENTIALS || s->refreshed)
		return false;
	s->refreshed = true;
	if (credentials_get(s->creds, true, &s->keys, &unavailable) == 0)
		return true;
	/* Sources have their own patience: not to be multiplied by our attempts. */
	struct err cause = *err;
	err_set(err, unavailable.kind, "%.200s; %s", cause.msg, unavailable.msg);
	err_hint(err, "%s", unavailable.hint);
	err->retryable = false;
	return false;
}

/* With what can be mended at once, mended; waiting is up to net_retry(). */
static int request(void *arg, struct err *err)
{
	struct session *s = arg;
	struct verdict v = { REMEDY_NONE, 0 };

	while (request_once(s, &v, err) < 0) {
		if (!mend(s, &v, err))
			return -1;
		err_clear(err);
		v = (struct verdict){ REMEDY_NONE, 0 };
	}
	return 0;
}

static int call_with_retries(struct session *s, struct err *err)
{
	if (choose_endpoint(s, err) < 0)
		return -1;
	if (credentials_get(s->creds, false, &s->keys, err) < 0)
		return err_wrap(err, "%s", s->call->action);
	return net_retry(s->loop, AWS_ATTEMPTS, request, s, err);
}

int aws_call(struct http *http, struct loop *loop, struct credentials *creds,
	     const struct aws_call *call, struct json **out, struct err *err)
{
	struct session s = { .http = http, .loop = loop, .creds = creds, .call = call, .out = out };
	int result = call_with_retries(&s, err);

	aws_credentials_clear(&s.keys);
	free(s.url);
	return result;
}
