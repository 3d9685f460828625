/* What a container says: its log, and commands run inside it. */
#include <assert.h>

#include "base/clock.h"
#include "base/mem.h"
#include "engine/container.h"
#include "engine/container_internal.h"
#include "engine/docker_internal.h"

/* Between two looks at a command that has closed its output but not ended. */
#define EXEC_POLL_MS 20

/* Keeps one end of an output: the first `cap` bytes, or the last. */
struct output {
	struct docker_frames frames;
	struct buf bytes; /* cap: twice `cap` for the last, so that moving is rare */
	size_t cap;
	bool last;
	bool dropped; /* what came before the last */
};

static void keep(void *arg, const char *bytes, size_t len)
{
	struct output *o = arg;
	struct err full;

	if (!o->last) {
		size_t room = o->cap - o->bytes.len;
		if (buf_append(&o->bytes, bytes, len < room ? len : room, &full) < 0)
			assert(!"fits by construction");
		return;
	}
	if (len > o->cap) {
		bytes += len - o->cap;
		len = o->cap;
	}
	o->dropped = o->dropped || o->bytes.len + len > o->cap;
	if (o->bytes.len + len > o->bytes.max_bytes)
		buf_consume(&o->bytes, o->bytes.len + len - o->cap);
	if (buf_append(&o->bytes, bytes, len, &full) < 0)
		assert(!"fits by construction");
}

static enum http_flow on_output(void *arg, const struct http_response *head, const void *bytes,
				size_t len, struct err *err)
{
	struct output *o = arg;

	(void)head; /* 2xx, or we were not called */
	return docker_frames_feed(&o->frames, bytes, len, keep, o, err) < 0 ? HTTP_ABORT
									    : HTTP_CONTINUE;
}

static int has_terminal(struct docker *d, const char *name, bool *out, struct err *err)
{
	CLEANUP(freep) char *path = xasprintf("/containers/%s/json", name);
	CLEANUP(json_freep) struct json *inspect = NULL;
	bool tty = false;

	if (docker_call(d, "GET", path, NULL, &inspect, err) < 0 ||
	    json_opt_bool(json_get(inspect, "Config"), "Tty", &tty, err) < 0)
		return -1;
	*out = tty;
	return 0;
}

int container_logs(struct docker *d, const char *name, int lines, struct buf *out, struct err *err)
{
	CLEANUP(freep) char *escaped = docker_escape(name);
	CLEANUP(freep) char *path =
		xasprintf("/containers/%s/logs?stdout=1&stderr=1&tail=%d", escaped, lines);
	struct output o = { .bytes = BUF_INIT(2 * DOCKER_LOG_MAX_BYTES),
			    .cap = DOCKER_LOG_MAX_BYTES,
			    .last = true };
	const struct docker_exchange x = {
		.method = "GET",
		.path = path,
		.timeout_ms = DOCKER_TIMEOUT_MS,
		.on_body = on_output,
		.on_body_arg = &o,
	};
	CLEANUP(http_response_free) struct http_response resp = { 0 };

	if (has_terminal(d, escaped, &o.frames.raw, err) < 0 || docker_do(d, &x, &resp, err) < 0) {
		buf_free(&o.bytes);
		return err_wrap(err, "logs of container %s", name);
	}
	size_t skip = o.bytes.len > o.cap ? o.bytes.len - o.cap : 0;
	const char *newline =
		o.dropped ? memchr(o.bytes.data + skip, '\n', o.bytes.len - skip) : NULL;
	if (newline) /* begin with a whole line */
		skip = (size_t)(newline + 1 - o.bytes.data);
	int result = output_printable(buf_str(&o.bytes) + skip, o.bytes.len - skip, out, err);
	buf_free(&o.bytes);
	return result;
}

static int exec_create(struct docker *d, const char *name, const struct strv *argv, char **id,
		       struct err *err)
{
	CLEANUP(freep) char *escaped = docker_escape(name);
	CLEANUP(freep) char *path = xasprintf("/containers/%s/exec", escaped);
	CLEANUP(json_freep) struct json *body = json_new_object();
	CLEANUP(json_freep) struct json *answer = NULL;
	const char *text;

	json_set_bool(body, "AttachStdout", true);
	json_set_bool(body, "AttachStderr", true);
	for (size_t i = 0; i < argv->n; i++)
		json_add_str(json_ensure_array(body, "Cmd"), argv->v[i]);
	if (docker_call(d, "POST", path, body, &answer, err) < 0 ||
	    json_str(answer, "Id", &text, err) < 0)
		return -1;
	*id = docker_escape(text);
	return 0;
}

/* Until the command has closed its output. */
static int exec_run(struct docker *d, const char *id, int64_t timeout_ms, struct output *o,
		    struct err *err)
{
	CLEANUP(freep) char *path = xasprintf("/exec/%s/start", id);
	CLEANUP(json_freep) struct json *body = json_new_object();
	const struct docker_exchange x = {
		.method = "POST",
		.path = path,
		.body = body,
		.timeout_ms = timeout_ms,
		.on_body = on_output,
		.on_body_arg = o,
	};
	CLEANUP(http_response_free) struct http_response resp = { 0 };

	json_set_bool(body, "Detach", false);
	json_set_bool(body, "Tty", false);
	if (docker_do(d, &x, &resp, err) == 0)
		return 0;
	if (err->kind == ERR_TIMEOUT)
		return err_set(err, ERR_TIMEOUT, "not done after %lld ms", (long long)timeout_ms);
	return -1;
}

static int exec_result(struct docker *d, const char *id, int64_t deadline_ms, int *exit_code,
		       struct err *err)
{
	CLEANUP(freep) char *path = xasprintf("/exec/%s/json", id);

	for (;;) {
		CLEANUP(json_freep) struct json *answer = NULL;
		bool running = false;
		int64_t code = 0;
		if (docker_call(d, "GET", path, NULL, &answer, err) < 0 ||
		    json_opt_bool(answer, "Running", &running, err) < 0)
			return -1;
		if (!running) {
			if (json_int(answer, "ExitCode", INT32_MIN, INT32_MAX, &code, err) < 0)
				return -1;
			*exit_code = (int)code;
			return 0;
		}
		if (clock_mono_ms() >= deadline_ms)
			return err_set(err, ERR_TIMEOUT,
				       "its output is closed, but it has not ended");
		if (loop_sleep(d->loop, EXEC_POLL_MS, err) < 0)
			return -1;
	}
}

int container_exec(struct docker *d, const char *name, const struct strv *argv, int64_t timeout_ms,
		   int *exit_code, struct buf *out, struct err *err)
{
	int64_t deadline = clock_mono_ms() + timeout_ms;
	size_t room = out->max_bytes - out->len;
	struct output o = { .bytes = BUF_INIT(room), .cap = room };
	CLEANUP(freep) char *id = NULL;
	int code = 0;

	int result = exec_create(d, name, argv, &id, err);
	if (result == 0)
		result = exec_run(d, id, timeout_ms, &o, err);
	if (result == 0)
		result = exec_result(d, id, deadline, &code, err);
	/* '?' takes no more room than what it stands for. */
	if (result == 0)
		result = output_printable(buf_str(&o.bytes), o.bytes.len, out, err);
	buf_free(&o.bytes);
	if (result < 0)
		return err_wrap(err, "run %s in container %s", argv->n ? argv->v[0] : "", name);
	*exit_code = code;
	return 0;
}
