#include "aws/credentials.h"

#include "aws/credentials_document.h"
#include "aws/setting.h"
#include "base/clock.h"
#include "base/fs.h"
#include "base/mem.h"

#define ROLE_PATH "meta-data/iam/security-credentials/"
#define ROLE_NAME_MAX 64                    /* IAM API Reference, CreateRole */
#define AGENT_ORIGIN "http://169.254.170.2" /* where RELATIVE_URI is */
#define AGENT_ANSWER_MAX_BYTES (64 * KIB)
#define AGENT_TOKEN_MAX_BYTES (16 * KIB) /* EKS: a JWT of about 1 KiB */
#define AGENT_TIMEOUT_MS 5000
#define AGENT_ATTEMPTS 4
/* When there are no newer ones: clocks differ, and some services take them a while longer. */
#define STALE_MAX_MS 900000

#define RELATIVE_VARIABLE "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"
#define FULL_VARIABLE "AWS_CONTAINER_CREDENTIALS_FULL_URI"
#define TOKEN_FILE_VARIABLE "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"
#define TOKEN_VARIABLE "AWS_CONTAINER_AUTHORIZATION_TOKEN"

struct credentials {
	struct http *http;
	struct loop *loop;
	struct imds *imds;
	struct aws_credentials current; /* access_key_id NULL: none yet */
	char *role;                     /* when IMDS gave them */
	bool hurry;
};

struct credentials *credentials_new(struct http *http, struct loop *loop, struct imds *imds)
{
	struct credentials *c = xcalloc(1, sizeof *c);

	*c = (struct credentials){ .http = http, .loop = loop, .imds = imds };
	return c;
}

void credentials_free(struct credentials *c)
{
	if (!c)
		return;
	aws_credentials_clear(&c->current);
	free(c->role);
	free(c);
}

void credentials_hurry(struct credentials *c, bool on)
{
	c->hurry = on;
}

const char *credentials_role(const struct credentials *c)
{
	return c->role;
}

static void set_secret(struct secret *s, const char *v)
{
	if (v)
		secret_set(s, v, strlen(v));
}

/* Sources return 1 when they have nothing and none was promised, and say so in *why. */

static int from_environment(struct credentials *c, struct aws_credentials *out, const char **why,
			    struct err *err)
{
	const char *id = setting("AWS_ACCESS_KEY_ID"), *key = setting("AWS_SECRET_ACCESS_KEY");

	(void)c;
	if (!id && !key) {
		*why = "environment: AWS_ACCESS_KEY_ID not set";
		return 1;
	}
	if (!id || !key)
		return err_set(err, ERR_CONFIG, "environment: %s is set, %s is not",
			       id ? "AWS_ACCESS_KEY_ID" : "AWS_SECRET_ACCESS_KEY",
			       id ? "AWS_SECRET_ACCESS_KEY" : "AWS_ACCESS_KEY_ID");
	out->access_key_id = xstrdup(id);
	set_secret(&out->secret_access_key, key);
	set_secret(&out->session_token, setting("AWS_SESSION_TOKEN"));
	(void)snprintf(out->source, sizeof out->source, "environment");
	if (credentials_check(out, ERR_CONFIG, err) < 0)
		return err_wrap(err, "environment");
	return 0;
}

/* Where the agent is; *link_local: at an address that only an agent has. */
static int agent_url(char **url, bool *link_local, const char **variable, struct err *err)
{
	const char *relative = setting(RELATIVE_VARIABLE), *full = setting(FULL_VARIABLE);
	CLEANUP(freep) char *u = NULL;

	if (relative && relative[0] != '/')
		return err_set(err, ERR_CONFIG, RELATIVE_VARIABLE " does not begin with \"/\"");
	*variable = relative ? RELATIVE_VARIABLE : FULL_VARIABLE;
	u = relative ? xasprintf(AGENT_ORIGIN "%s", relative) : xstrdup(full);
	if (container_uri_check(u, link_local, err) < 0)
		return err_wrap(err, "%s", *variable);
	*url = STEAL(u);
	return 0;
}

/* The Authorization header's value, or unset. The file wins: its content is renewed. */
static int agent_token(struct secret *out, struct err *err)
{
	CLEANUP(buf_wipe) struct buf bytes = BUF_INIT(AGENT_TOKEN_MAX_BYTES);
	const char *file = setting(TOKEN_FILE_VARIABLE), *token = setting(TOKEN_VARIABLE);

	if (file) {
		if (fs_read(file, &bytes, err) < 0)
			return err_wrap(err, TOKEN_FILE_VARIABLE);
		while (bytes.len &&
		       (bytes.data[bytes.len - 1] == '\n' || bytes.data[bytes.len - 1] == '\r'))
			bytes.data[--bytes.len] = '\0';
		token = buf_str(&bytes);
		if (strlen(token) != bytes.len)
			return err_set(err, ERR_CONFIG, TOKEN_FILE_VARIABLE ": a NUL in the token");
	}
	for (const char *s = token; s && *s; s++)
		if ((unsigned char)*s < ' ' || *s == 0x7f)
			return err_set(err, ERR_CONFIG, "%s: control bytes in the token",
				       file ? TOKEN_FILE_VARIABLE : TOKEN_VARIABLE);
	set_secret(out, token);
	return 0;
}

static void response_clear(struct http_response *resp)
{
	buf_wipe(&resp->body); /* keys */
	http_response_free(resp);
}

struct agent_call {
	struct credentials *c;
	const char *url;
	bool link_local;
	struct aws_credentials *out;
};

static int ask_agent(void *arg, struct err *err)
{
	const struct agent_call *call = arg;
	CLEANUP(response_clear) struct http_response resp = { 0 };
	CLEANUP(secret_clear) struct secret token = { 0 };
	bool https = skip_prefix(call->url, "https://") != NULL;

	if (agent_token(&token, err) < 0)
		return -1;
	const struct http_header headers[] = {
		{ "Accept", "application/json" },
		{ "Authorization", secret_str(&token) },
	};
	const struct http_request req = {
		.method = "GET",
		.url = call->url,
		.headers = headers,
		.n_headers = secret_is_set(&token) ? 2 : 1,
		.max_body_bytes = AGENT_ANSWER_MAX_BYTES,
		.connect_timeout_ms = AGENT_TIMEOUT_MS,
		.total_timeout_ms = AGENT_TIMEOUT_MS,
		.least = call->link_local ? ADDRESS_NEVER : ADDRESS_LOOPBACK,
		.no_proxy = !https, /* plain http stays on this machine */
	};
	if (http_do(call->c->http, &req, &resp, err) < 0)
		return -1;
	if (resp.status != 200)
		return http_status_error(&resp, "answered", err);
	return credentials_document_parse(resp.body.data, resp.body.len, call->out, err);
}

static int from_container(struct credentials *c, struct aws_credentials *out, const char **why,
			  struct err *err)
{
	CLEANUP(freep) char *url = NULL;
	bool link_local = false;
	const char *variable = NULL;

	if (!setting(RELATIVE_VARIABLE) && !setting(FULL_VARIABLE)) {
		*why = "container: AWS_CONTAINER_CREDENTIALS_* not set";
		return 1;
	}
	if (agent_url(&url, &link_local, &variable, err) < 0)
		return -1;
	struct agent_call call = { .c = c, .url = url, .link_local = link_local, .out = out };
	(void)snprintf(out->source, sizeof out->source, "container endpoint");
	if (net_retry(c->loop, AGENT_ATTEMPTS, ask_agent, &call, err) < 0)
		return err_wrap(err, "credentials of the container endpoint (%s)", variable);
	return 0;
}

/* The first line of the listing; it becomes part of a path. */
static char *first_role(const struct buf *listing, struct err *err)
{
	static const char name_bytes[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
					 "0123456789_+=,.@-"; /* IAM API Reference, RoleName */
	const char *s = buf_str(listing);
	size_t n = strcspn(s, "\r\n");

	if (!n || n > ROLE_NAME_MAX || strspn(s, name_bytes) != n) {
		err_set(err, ERR_PROTOCOL, "IMDS GET " ROLE_PATH ": not the name of a role: %.80s",
			s);
		return NULL;
	}
	return xstrndup(s, n);
}

static int no_role(struct err *err)
{
	err_set(err, ERR_DENIED, "IMDS: no role attached to this instance");
	return err_hint(err, "attach an instance profile: aws ec2 associate-iam-instance-profile "
			     "--instance-id ID --iam-instance-profile Name=PROFILE");
}

static int from_imds(struct credentials *c, struct aws_credentials *out, const char **why,
		     struct err *err)
{
	CLEANUP(buf_wipe) struct buf document = BUF_INIT(IMDS_ANSWER_MAX_BYTES);
	CLEANUP(buf_free) struct buf listing = BUF_INIT(IMDS_ANSWER_MAX_BYTES);
	CLEANUP(freep) char *role = NULL, *path = NULL;

	(void)why; /* nothing comes after it: having none is an error */
	if (imds_get(c->imds, ROLE_PATH, &listing, err) < 0)
		return err->kind == ERR_NOT_FOUND ? no_role(err) : -1;
	if (!listing.len)
		return no_role(err);
	if (!(role = first_role(&listing, err)))
		return -1;
	path = xasprintf(ROLE_PATH "%s", role);
	if (imds_get(c->imds, path, &document, err) < 0)
		return -1;
	(void)snprintf(out->source, sizeof out->source, "IMDS role %s", role);
	if (credentials_document_parse(document.data, document.len, out, err) < 0) {
		if (err->kind == ERR_DENIED)
			err_hint(
				err,
				"check that role %s exists and that ec2.amazonaws.com may assume it",
				role);
		return err_wrap(err, "IMDS role %s", role);
	}
	free(c->role);
	c->role = STEAL(role);
	return 0;
}

/* In the order of the SDKs. */
static int (*const sources[])(struct credentials *c, struct aws_credentials *out, const char **why,
			      struct err *err) = { from_environment, from_container, from_imds };

static int load(struct credentials *c, struct aws_credentials *out, struct err *err)
{
	CLEANUP(freep) char *passed_over = xstrdup("");
	const char *why = NULL;

	for (size_t i = 0; i < ARRAY_LEN(sources); i++) {
		int result = sources[i](c, out, &why, err);
		if (result == 0)
			return 0;
		if (result < 0)
			break;
		char *longer = xasprintf("%s%s; ", passed_over, why);
		free(passed_over);
		passed_over = longer;
	}
	struct err cause = *err;
	err_set(err, cause.kind, "no AWS credentials: %s%s", passed_over, cause.msg);
	memcpy(cause.msg, err->msg, sizeof cause.msg);
	*err = cause; /* with its hint and what it says about retrying */
	return -1;
}

/* Newer ones become the current ones. */
static int load_patiently(struct credentials *c, bool in_a_hurry, struct err *err)
{
	CLEANUP(aws_credentials_clear) struct aws_credentials fresh = { 0 };
	bool hurry = in_a_hurry || c->hurry;
	int64_t patience = hurry ? imds_set_patience(c->imds, CREDENTIALS_HURRY_MS) : 0;
	int result = load(c, &fresh, err);

	if (hurry)
		(void)imds_set_patience(c->imds, patience); /* as it was */
	if (result == 0)
		aws_credentials_copy(&c->current, &fresh);
	return result;
}

/* Whether the current ones end later than `margin_ms` from now. */
static bool good_for(const struct credentials *c, int64_t margin_ms)
{
	return c->current.access_key_id &&
	       (!c->current.expires_ms || clock_wall_ms() + margin_ms < c->current.expires_ms);
}

int credentials_get(struct credentials *c, bool refresh, struct aws_credentials *out,
		    struct err *err)
{
	bool renew = refresh || !good_for(c, CREDENTIALS_REFRESH_BEFORE_MS);
	bool usable = !refresh && good_for(c, -STALE_MAX_MS);

	if (renew && load_patiently(c, usable, err) < 0) {
		if (!usable || err->kind == ERR_CANCELLED)
			return -1;
		err_clear(err);
	}
	aws_credentials_copy(out, &c->current);
	return 0;
}
