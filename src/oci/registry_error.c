#include "oci/registry_internal.h"

#include "base/mem.h"

/* Words of the registry in a message: enough for the longest that ECR and GHCR send. */
#define SAID_MAX 200

/* distribution-spec §Error Codes: {"errors":[{"code","message"}]}. "" when the body is something else. */
static void registry_words(const struct http_response *resp, char out[SAID_MAX])
{
	const struct json_limits limits = { .max_bytes = REGISTRY_ERROR_BODY_MAX,
					    .max_depth = 16,
					    .max_nodes = 1000 };
	CLEANUP(json_freep) struct json *doc = NULL;
	const char *code, *message;
	struct err ignored; /* a body that cannot be read says nothing */

	out[0] = '\0';
	if (json_parse(buf_str(&resp->body), resp->body.len, &limits, &doc, &ignored) < 0)
		return;
	const struct json *first = json_first(json_get(doc, "errors"));
	code = json_string(json_get(first, "code"));
	message = json_string(json_get(first, "message"));
	if (code || message)
		(void)snprintf(out, SAID_MAX, "%s%s%s", code ? code : "",
			       code && message ? ": " : "", message ? message : "");
}

static int add_words(struct err *err, const char *said)
{
	struct err before = *err;

	(void)err_set(err, before.kind, "%s (%s)", before.msg, said);
	err->retryable = before.retryable;
	err->retry_after_ms = before.retry_after_ms;
	return before.hint[0] ? err_hint(err, "%s", before.hint) : -1;
}

static int not_found(const struct registry *r, const char *what, const char *said, struct err *err)
{
	(void)err_set(err, ERR_NOT_FOUND, "%s: not found on %s%s%s%s", what, r->ref.host,
		      said[0] ? " (" : "", said, said[0] ? ")" : "");
	return err_hint(
		err,
		"check the name and the tag; registries also answer so when the image is private");
}

int registry_status_error(const struct registry *r, const struct http_response *resp,
			  const char *what, bool elsewhere, struct err *err)
{
	char said[SAID_MAX];

	if (elsewhere) {
		(void)http_status_error(resp, what, err);
		/* Not our login that was refused: these hosts get none. */
		if (err->kind == ERR_DENIED || err->kind == ERR_NOT_FOUND)
			err->kind = ERR_FAILED;
		return -1;
	}
	registry_words(resp, said);
	if (resp->status == 404)
		return not_found(r, what, said, err);
	if (resp->status == 401 || resp->status == 403)
		(void)auth_denied(r, what, err);
	else
		(void)http_status_error(resp, what, err);
	return said[0] ? add_words(err, said) : -1;
}
