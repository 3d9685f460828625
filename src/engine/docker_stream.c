#include "base/mem.h"
#include "engine/docker_internal.h"
#include "engine/docker_messages.h"

struct docker_stream {
	struct http_transfer *transfer;
	struct docker_messages messages;
	docker_message_fn *message;
	docker_done_fn *done;
	void *arg;
	struct err in_band; /* the first error among the messages */
};

static void stream_free(struct docker_stream *s)
{
	docker_messages_free(&s->messages);
	free(s);
}

/* The text of an error inside a 200 answer, or NULL. */
static const char *error_text(const struct json *message)
{
	const char *text = json_string(json_get(json_get(message, "errorDetail"), "message"));

	if (!text || !*text)
		text = json_string(json_get(message, "error"));
	if (!text || !*text) {
		/* The containerd store reports a failed unpack of a load as progress. */
		text = json_string(json_get(message, "stream"));
		if (text && !skip_prefix(text, "Error unpacking"))
			text = NULL;
	}
	if (!text && json_is_object(json_get(message, "errorDetail")))
		text = "Docker gave no reason";
	return text && *text ? text : NULL;
}

static bool see(void *arg, const struct json *message)
{
	struct docker_stream *s = arg;
	const char *text = error_text(message);

	if (text && s->in_band.kind == ERR_NONE) {
		size_t len = strcspn(text, "\n");
		(void)err_set(&s->in_band, ERR_FAILED, "%.*s", (int)(len < 500 ? len : 500), text);
		if (docker_is_passing(text))
			(void)err_retry(&s->in_band, 0);
		(void)docker_disk_is_full(&s->in_band);
	}
	if (s->message)
		s->message(s->arg, message);
	return true; /* to the end: Docker goes on working while we read */
}

static enum http_flow on_body(void *arg, const struct http_response *head, const void *bytes,
			      size_t len, struct err *err)
{
	struct docker_stream *s = arg;

	(void)head; /* 2xx, or we were not called */
	return docker_messages_feed(&s->messages, bytes, len, see, s, err) < 0 ? HTTP_ABORT
									       : HTTP_CONTINUE;
}

static void on_done(void *arg, struct http_response *resp, const struct err *failure)
{
	struct docker_stream *s = arg;
	struct err err = { 0 };

	s->transfer = NULL;
	if (s->in_band.kind != ERR_NONE) {
		err = s->in_band;
	} else if (failure) {
		err = *failure;
		(void)docker_transport_error(&err);
	} else if (resp->status < 200 || resp->status > 299) {
		(void)docker_status_error(resp, &err);
	} else if (docker_messages_end(&s->messages, &err) < 0) {
		(void)docker_transport_error(&err);
	}
	s->done(s->arg, err.kind == ERR_NONE ? NULL : &err);
	stream_free(s);
}

int docker_stream_start(struct docker *d, const struct docker_stream_request *req,
			struct docker_stream **out, struct err *err)
{
	CLEANUP(freep) char *url = NULL;
	struct http_header headers[2];
	struct http_request request = docker_request(d, req->method, req->path, false, &url);
	struct docker_stream *s = xcalloc(1, sizeof *s);

	*s = (struct docker_stream){ .message = req->message, .done = req->done, .arg = req->arg };
	docker_messages_init(&s->messages);
	if (req->registry_auth)
		headers[request.n_headers++] =
			(struct http_header){ "X-Registry-Auth", req->registry_auth };
	if (req->content_type)
		headers[request.n_headers++] =
			(struct http_header){ "Content-Type", req->content_type };
	request.headers = headers;
	request.upload = req->upload;
	request.upload_arg = req->upload_arg;
	request.on_body = on_body;
	request.on_body_arg = s;
	request.stall_timeout_ms = req->idle_ms;
	if (http_start(d->http, &request, on_done, s, &s->transfer, err) < 0) {
		stream_free(s);
		return docker_transport_error(err);
	}
	*out = s;
	return 0;
}

void docker_stream_resume(struct docker_stream *s)
{
	if (s->transfer)
		http_resume(s->transfer);
}

void docker_stream_cancel(struct docker_stream *s)
{
	if (!s)
		return;
	if (s->transfer)
		http_cancel(s->transfer);
	stream_free(s);
}
