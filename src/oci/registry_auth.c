#include "oci/registry_internal.h"

#include "base/clock.h"
#include "base/mem.h"

/* distribution-spec token auth: "expires_in" defaults to 60; a day is longer than any pull. */
#define TOKEN_LIFE_DEFAULT_S 60
#define TOKEN_LIFE_MAX_S 86400
/* Renewed so long before the end (or a tenth of its life, if that is less), for what is under way. */
#define TOKEN_MARGIN_MS 10000

const char *auth_who(const struct registry *r, char out[128])
{
	if (r->login_known && r->login.user)
		(void)snprintf(out, 128, "as %s", r->login.user); /* for messages: cut is fine */
	else
		(void)snprintf(out, 128, "anonymously");
	return out;
}

int auth_denied(const struct registry *r, const char *what, struct err *err)
{
	char who[128];

	(void)err_set(err, ERR_DENIED, "%s: denied by %s, asked %s", what, r->ref.host,
		      auth_who(r, who));
	if (!r->login_known || !r->login.user)
		return err_hint(
			err,
			"the image may be private: give --registry-user and --registry-password, or log "
			"in with docker login");
	if (streq(r->login.user, "AWS"))
		return err_hint(
			err,
			"allow the role ecr:BatchGetImage and ecr:GetDownloadUrlForLayer on %s",
			r->ref.repository);
	return err_hint(err, "check that %s may read %s and that the password is still good",
			r->login.user, r->ref.repository);
}

void auth_clear(struct registry *r)
{
	http_cancel(STEAL(r->token_transfer));
	registry_login_clear(&r->login);
	secret_clear(&r->authorization);
	challenge_free(&r->challenge);
	http_url_free(&r->realm);
}

static void set_authorization(struct registry *r, const char *scheme, const char *value)
{
	CLEANUP(wipep) char *text = xasprintf("%s %s", scheme, value);

	secret_set(&r->authorization, text, strlen(text));
	r->generation++;
}

/* RFC 7617; the caller wipes it. */
static char *basic_value(const struct registry_login *login)
{
	CLEANUP(wipep) char *pair = xasprintf("%s:%s", login->user, secret_str(&login->password));

	return base64_encode(pair, strlen(pair), false);
}

/* What a header can carry: visible ASCII (RFC 6750 §2.1 allows less). */
static bool is_header_text(const char *s)
{
	if (!*s)
		return false;
	for (; *s; s++)
		if (*s <= 0x20 || *s >= 0x7f)
			return false;
	return true;
}

static int read_token(struct registry *r, const struct buf *body, struct err *err)
{
	const struct json_limits limits = { .max_bytes = TOKEN_MAX_BYTES,
					    .max_depth = 8,
					    .max_nodes = 1000 };
	CLEANUP(json_freep) struct json *doc = NULL;
	const char *token = NULL, *access_token = NULL;
	int64_t life_s = TOKEN_LIFE_DEFAULT_S, margin_ms;

	if (json_parse(buf_str(body), body->len, &limits, &doc, err) < 0 ||
	    json_opt_str(doc, "token", &token, err) < 0 ||
	    json_opt_str(doc, "access_token", &access_token, err) < 0 ||
	    json_opt_int(doc, "expires_in", 0, INT32_MAX, &life_s, err) < 0)
		return -1;
	if (!token)
		token = access_token;
	if (!token || !is_header_text(token))
		return err_set(err, ERR_PROTOCOL, "%s",
			       token ? "an unusable token" : "no token in the answer");
	if (life_s > TOKEN_LIFE_MAX_S)
		life_s = TOKEN_LIFE_MAX_S;
	margin_ms = life_s * 100 < TOKEN_MARGIN_MS ? life_s * 100 : TOKEN_MARGIN_MS;
	set_authorization(r, "Bearer", token);
	r->token_dies_ms = r->token_asked_ms + life_s * 1000 - margin_ms;
	return 0;
}

static int token_answer(struct registry *r, const struct http_response *resp, struct err *err)
{
	if (resp->status == 401 || resp->status == 403)
		return auth_denied(r, "login", err);
	if (resp->status != 200)
		return http_status_error(resp, "token", err);
	return read_token(r, &resp->body, err);
}

static void on_token(void *arg, struct http_response *resp, const struct err *failure)
{
	struct registry *r = arg;
	struct err err;

	r->token_transfer = NULL;
	if (failure)
		err = *failure;
	else if (token_answer(r, resp, &err) == 0) {
		walks_token_done(r, NULL);
		return;
	}
	if (!failure && err.kind != ERR_DENIED) {
		CLEANUP(freep) char *from = http_url_display(r->realm.text);
		(void)err_wrap(&err, "token from %s", from);
	}
	walks_token_done(r, &err);
}

/* RFC 3986 §2.3: everything but the unreserved is escaped. */
static void append_escaped(FILE *f, const char *s)
{
	for (; *s; s++) {
		if (strchr("-._~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ",
			   *s))
			(void)fputc(*s, f);
		else
			(void)fprintf(f, "%%%02X", (unsigned char)*s);
	}
}

/* The realm's URL with service and scope; the scope is ours where the challenge names none. */
static char *token_url(const struct registry *r)
{
	CLEANUP(freep) char *own = xasprintf("repository:%s:pull", r->ref.repository);
	const char *scope = r->challenge.scope && r->challenge.scope[0] ? r->challenge.scope : own;
	char *url = NULL;
	size_t len;
	FILE *f = open_memstream(&url, &len);

	if (!f)
		abort(); /* out of memory */
	(void)fputs(r->realm.text, f);
	(void)fputc(strchr(r->realm.text, '?') ? '&' : '?', f);
	if (r->challenge.service) {
		(void)fputs("service=", f);
		append_escaped(f, r->challenge.service);
		(void)fputc('&', f);
	}
	(void)fputs("scope=", f);
	append_escaped(f, scope);
	if (fclose(f) != 0)
		abort(); /* out of memory */
	return url;
}

static enum auth_step fetch_token(struct registry *r, struct err *err)
{
	CLEANUP(freep) char *url = token_url(r);
	CLEANUP(wipep) char *pair = r->login.user ? basic_value(&r->login) : NULL;
	CLEANUP(wipep) char *basic = pair ? xasprintf("Basic %s", pair) : NULL;
	const struct http_header headers[] = { { "Accept", "application/json" },
					       { "Authorization", basic } };
	const struct http_request req = {
		.method = "GET",
		.url = url,
		.headers = headers,
		.n_headers = basic ? 2 : 1,
		.max_body_bytes = TOKEN_MAX_BYTES,
		.total_timeout_ms = TOKEN_TIMEOUT_MS,
		.least = r->realm_least,
	};

	r->token_asked_ms = clock_mono_ms();
	if (http_start(r->http, &req, on_token, r, &r->token_transfer, err) < 0)
		return AUTH_FAILED;
	return AUTH_WAIT;
}

enum auth_step auth_prepare(struct registry *r, struct err *err)
{
	if (r->token_transfer)
		return AUTH_WAIT;
	if (r->challenge.scheme == CHALLENGE_BASIC && !r->login_known)
		return AUTH_NEED_LOGIN; /* basic_at_once: nobody has challenged yet */
	if (r->token_dies_ms && clock_mono_ms() >= r->token_dies_ms)
		return fetch_token(r, err);
	return AUTH_SEND;
}

/* Takes *c. */
static int keep_challenge(struct registry *r, enum address_class peer_class, struct challenge *c,
			  struct err *err)
{
	const struct redirect_source source = { .registry = &r->base,
						.from = &r->base,
						.from_class = peer_class };
	struct http_url realm = { 0 };

	if (c->scheme == CHALLENGE_BEARER) {
		if (realm_target(&source, c->realm, &realm, &r->realm_least, err) < 0)
			return -1;
		http_url_free(&r->realm);
		r->realm = realm;
	}
	challenge_free(&r->challenge);
	r->challenge = *c;
	*c = (struct challenge){ 0 };
	return 0;
}

static int read_challenge(const struct http_response *resp, struct challenge *out, struct err *err)
{
	CLEANUP(freep) char *value = http_header_all(resp, "www-authenticate");

	if (challenge_parse(value ? value : "", value ? strlen(value) : 0, out, err) < 0)
		return -1;
	if (out->scheme == CHALLENGE_NONE)
		return err_set(err, ERR_DENIED,
			       "401 with no way to log in that berth knows (Basic, Bearer)");
	return 0;
}

enum auth_step auth_challenged(struct registry *r, const struct http_response *resp,
			       unsigned int generation, unsigned int *rejections, struct err *err)
{
	CLEANUP(challenge_free) struct challenge c = { 0 };
	bool scope_missing;

	if (r->token_transfer)
		return AUTH_WAIT;
	if (generation != r->generation)
		return AUTH_SEND; /* renewed while this request was under way */
	if (read_challenge(resp, &c, err) < 0)
		return AUTH_FAILED;
	scope_missing = streq(c.error, "insufficient_scope");
	if (generation && (++*rejections >= TOKEN_REJECTIONS_MAX || scope_missing)) {
		(void)auth_denied(r, r->ref.repository, err);
		return AUTH_FAILED;
	}
	if (keep_challenge(r, resp->peer_class, &c, err) < 0)
		return AUTH_FAILED;
	if (!r->login_known || (generation && r->challenge.scheme == CHALLENGE_BASIC))
		return AUTH_NEED_LOGIN;
	return auth_login_given(r, err);
}

enum auth_step auth_login_given(struct registry *r, struct err *err)
{
	CLEANUP(wipep) char *pair = NULL;

	r->token_dies_ms = 0;
	if (r->challenge.scheme == CHALLENGE_BEARER)
		return fetch_token(r, err);
	if (!r->login.user) {
		(void)auth_denied(r, r->ref.repository, err);
		return AUTH_FAILED;
	}
	pair = basic_value(&r->login);
	set_authorization(r, "Basic", pair);
	return AUTH_SEND;
}
