#include "engine/daemon_pull.h"

#include "base/hash.h"
#include "base/mem.h"

#define SHORT_ID_LEN 12 /* of a layer's digest, in the engine's progress */
#define AUTH_MAX_BYTES (64 * KIB) /* a password, escaped: ECR's is 2.5 KiB */

struct daemon_pull {
	struct daemon_pull_request req;
	struct docker_stream *stream; /* NULL: ended */
	struct err error;
};

/* What a layer's line begins with. Docker's pull has had these words since 1.6; unknown ones change nothing. */
static const struct {
	const char *status;
	enum daemon_step step;
} words[] = {
	{ "Already exists", DAEMON_PRESENT },
	{ "Download complete", DAEMON_FETCHING },
	{ "Downloading", DAEMON_FETCHING },
	{ "Extracting", DAEMON_FETCHING },
	{ "Pull complete", DAEMON_DONE },
	{ "Pulling fs layer", DAEMON_WAITING },
	{ "Verifying Checksum", DAEMON_FETCHING },
	{ "Waiting", DAEMON_WAITING },
};

static ssize_t find_layer(const struct store_image *image, const char *id)
{
	for (size_t i = 0; id && strlen(id) == SHORT_ID_LEN && i < image->n_layers; i++)
		if (!strncmp(image->layers[i].digest + strlen("sha256:"), id, SHORT_ID_LEN))
			return (ssize_t)i;
	return -1;
}

/* Only the download is counted in the layer's bytes; what comes behind it is done with all of them. */
static int64_t received(const struct store_layer *l, const char *status, const struct json *message)
{
	int64_t current = 0;
	struct err err;

	if (skip_prefix(status, "Pulling") || skip_prefix(status, "Waiting"))
		return 0;
	if (!skip_prefix(status, "Downloading"))
		return l->size_bytes;
	if (json_opt_int(json_get(message, "progressDetail"), "current", 0, l->size_bytes, &current, &err) < 0)
		err_clear(&err);
	return current;
}

static void on_message(void *arg, const struct json *message)
{
	struct daemon_pull *p = arg;
	const char *status = json_string(json_get(message, "status"));
	ssize_t i = find_layer(p->req.image, json_string(json_get(message, "id")));

	for (size_t k = 0; status && i >= 0 && k < ARRAY_LEN(words); k++) {
		if (!skip_prefix(status, words[k].status))
			continue;
		if (p->req.only_name && words[k].step != DAEMON_PRESENT && p->error.kind == ERR_NONE)
			(void)err_set(&p->error, ERR_REFUSED, "the engine would fetch the image again");
		if (p->req.layer)
			p->req.layer(p->req.arg, (size_t)i, words[k].step,
				     received(&p->req.image->layers[i], status, message));
	}
}

static void on_done(void *arg, const struct err *err)
{
	struct daemon_pull *p = arg;

	p->stream = NULL;
	if (err && p->error.kind == ERR_NONE)
		p->error = *err;
}

int daemon_pull_start(struct docker *d, const struct daemon_pull_request *req, struct daemon_pull **out,
		      struct err *err)
{
	CLEANUP(freep) char *repository = docker_escape(req->repository), *digest = docker_escape(req->digest);
	CLEANUP(freep) char *platform = req->platform ? docker_escape(req->platform) : NULL;
	CLEANUP(freep) char *path = xasprintf("/images/create?fromImage=%s&tag=%s%s%s", repository, digest,
					      platform ? "&platform=" : "", platform ? platform : "");
	struct daemon_pull *p = xcalloc(1, sizeof *p);
	const struct docker_stream_request stream = {
		.method = "POST",
		.path = path,
		.registry_auth = req->auth && secret_is_set(req->auth) ? secret_str(req->auth) : NULL,
		.message = on_message,
		.done = on_done,
		.arg = p,
		.idle_ms = req->idle_ms,
	};

	p->req = *req;
	p->req.auth = NULL; /* the request has its own copy */
	if (docker_stream_start(d, &stream, &p->stream, err) < 0) {
		free(p);
		return -1;
	}
	*out = p;
	return 0;
}

bool daemon_pull_ended(const struct daemon_pull *p, struct err *error)
{
	if (p->stream && p->error.kind == ERR_NONE)
		return false;
	*error = p->error;
	return true;
}

void daemon_pull_free(struct daemon_pull *p)
{
	if (!p)
		return;
	docker_stream_cancel(p->stream);
	free(p);
}

static int add_string(struct buf *b, const char *name, const char *s, struct err *err)
{
	if (buf_printf(b, err, "%s\"%s\":\"", b->len ? "," : "{", name) < 0)
		return -1;
	for (; *s; s++) {
		bool plain = (unsigned char)*s >= ' ' && *s != '"' && *s != '\\';
		if (buf_printf(b, err, plain ? "%c" : "\\u%04x", (unsigned char)*s) < 0)
			return -1;
	}
	return buf_append(b, "\"", 1, err);
}

/* By hand: a JSON tree would not wipe its copies. */
void daemon_auth(const char *user, const struct secret *password, const char *server, struct secret *out)
{
	CLEANUP(buf_wipe) struct buf b = BUF_INIT(AUTH_MAX_BYTES);
	CLEANUP(wipep) char *text = NULL;
	struct err err;

	secret_clear(out);
	if (add_string(&b, "username", user, &err) < 0 || add_string(&b, "password", secret_str(password), &err) < 0 ||
	    add_string(&b, "serveraddress", server, &err) < 0 || buf_append(&b, "}", 1, &err) < 0)
		return; /* longer than any password: the engine asks as nobody, and is told so */
	text = base64_encode(b.data, b.len, true);
	secret_set(out, text, strlen(text));
}
