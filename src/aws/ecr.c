#include "aws/ecr.h"

#include "base/hash.h"
#include "base/mem.h"

/* base64 of "AWS:" and the password; 2.5 KiB are seen. */
#define AUTHORIZATION_MAX_BYTES (32 * KIB)

/* authorizationData is a list of one for private registries, an object for the public one. */
static int authorization_token(const struct json *answer, const char **out, struct err *err)
{
	const struct json *data = json_get(answer, "authorizationData");

	if (json_is_array(data))
		data = json_first(data);
	if (!json_is_object(data))
		return err_set(err, ERR_PROTOCOL, "authorizationData: missing");
	return json_str(data, "authorizationToken", out, err);
}

/* "AWS:password"; both become parts of a header. */
static int split(const struct buf *pair, struct secret *user, struct secret *password,
		 struct err *err)
{
	const char *colon = pair->len ? memchr(pair->data, ':', pair->len) : NULL;

	if (!colon || colon - pair->data != 3 || memcmp(pair->data, "AWS", 3) != 0)
		return err_set(err, ERR_PROTOCOL, "authorizationToken: not for the user AWS");
	size_t len = pair->len - 4;
	if (!len)
		return err_set(err, ERR_PROTOCOL, "authorizationToken: no password");
	for (size_t i = 1; i <= len; i++)
		if ((unsigned char)colon[i] <= ' ' || (unsigned char)colon[i] >= 0x7f)
			return err_set(err, ERR_PROTOCOL,
				       "authorizationToken: control bytes in the password");
	secret_set(user, pair->data, 3);
	secret_set(password, colon + 1, len);
	return 0;
}

static int read_answer(const struct json *answer, struct secret *user, struct secret *password,
		       struct err *err)
{
	CLEANUP(buf_wipe) struct buf pair = BUF_INIT(AUTHORIZATION_MAX_BYTES);
	const char *token = "";

	if (authorization_token(answer, &token, err) < 0)
		return -1;
	int result = base64_decode(token, strlen(token), &pair, err);
	explicit_bzero((char *)token, strlen(token)); /* the tree is freed unwiped */
	return result < 0 ? -1 : split(&pair, user, password, err);
}

static int login(struct http *http, struct loop *loop, struct credentials *creds,
		 const struct ecr_host *host, struct secret *user, struct secret *password,
		 struct err *err)
{
	CLEANUP(freep) char *endpoint = xasprintf("https://%s", host->api_host);
	CLEANUP(json_freep) struct json *answer = NULL;
	struct aws_call call = {
		.service = "ecr",
		.endpoint_var = "AWS_ENDPOINT_URL_ECR",
		.endpoint = endpoint,
		.region = host->region,
		.target = "AmazonEC2ContainerRegistry_V20150921.GetAuthorizationToken",
		.action = "ecr:GetAuthorizationToken",
		.body = "{}",
	};

	if (host->is_public) {
		call.service = "ecr-public";
		call.endpoint_var = "AWS_ENDPOINT_URL_ECR_PUBLIC";
		call.target = "SpencerFrontendService.GetAuthorizationToken";
		call.action = "ecr-public:GetAuthorizationToken";
	}
	if (aws_call(http, loop, creds, &call, &answer, err) < 0)
		return -1;
	if (read_answer(answer, user, password, err) < 0)
		return err_wrap(err, "the answer to %s", call.action);
	return 0;
}

int ecr_login(struct http *http, struct loop *loop, struct credentials *creds,
	      const struct ecr_host *host, struct secret *user, struct secret *password,
	      struct err *err)
{
	/* The public registry serves everybody, also where there is no metadata service. */
	credentials_hurry(creds, host->is_public);
	int result = login(http, loop, creds, host, user, password, err);
	credentials_hurry(creds, false);
	if (result == 0)
		return 0;
	if (host->is_public && err->kind != ERR_CANCELLED) {
		err->kind = ERR_DENIED;
		err->retryable = false;
	}
	return -1;
}
