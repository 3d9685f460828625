#include <inttypes.h>

#include "base/clock.h"
#include "base/mem.h"
#include "engine/docker_internal.h"
#include "engine/docker_messages.h"

#define PING_TIMEOUT_MS 10000
/* A stream that lived so long was sound: what ends it is a new failure, not the next of a row. */
#define SOUND_AFTER_MS 10000

struct docker_events {
	struct docker *d;
	char *type;
	docker_event_fn *fn;
	void *arg;
	struct http_transfer *transfer;
	struct loop_timer *timer;
	struct docker_messages messages;
	int64_t started_ms;
	unsigned int failures; /* in a row */
	bool cut;              /* and not subscribed again */
	bool in_callback;      /* of our own transfer, which must not be cancelled there */
	bool stopped;          /* meanwhile */
};

static void events_free(struct docker_events *e)
{
	docker_messages_free(&e->messages);
	free(e->type);
	free(e);
}

static void look_again(void *arg);

static void retry_later(struct docker_events *e, const struct err *err)
{
	e->failures++;
	e->timer =
		loop_timer_start(e->d->loop, net_retry_delay_ms(e->failures, err), look_again, e);
}

static bool see(void *arg, const struct json *message)
{
	struct docker_events *e = arg;

	e->fn(e->arg, message);
	return !e->stopped;
}

static enum http_flow on_body(void *arg, const struct http_response *head, const void *bytes,
			      size_t len, struct err *err)
{
	struct docker_events *e = arg;

	(void)head; /* 2xx, or we were not called */
	e->in_callback = true;
	int result = docker_messages_feed(&e->messages, bytes, len, see, e, err);
	e->in_callback = false;
	if (e->stopped)
		(void)err_set(err, ERR_CANCELLED, "events are not wanted any more");
	return result < 0 || e->stopped ? HTTP_ABORT : HTTP_CONTINUE;
}

static void on_end(void *arg, struct http_response *resp, const struct err *failure)
{
	static const struct err ended = { .kind = ERR_NETWORK, .retryable = true };
	struct docker_events *e = arg;

	(void)resp; /* whatever it was, the events have ended */
	e->transfer = NULL;
	e->cut = true;
	if (e->stopped) {
		events_free(e);
		return;
	}
	if (clock_mono_ms() - e->started_ms >= SOUND_AFTER_MS)
		e->failures = 0;
	retry_later(e, failure ? failure : &ended);
}

/*
 * `since` closes the gap: what happens between now and the moment when Docker takes the request is
 * sent afterwards, so that a look at the state after this call and the events together miss
 * nothing.
 */
static int subscribe(struct docker_events *e, struct err *err)
{
	CLEANUP(freep) char *filters = xasprintf("{\"type\":[\"%s\"]}", e->type);
	CLEANUP(freep) char *escaped = docker_escape(filters);
	int64_t now = clock_wall_ms();
	CLEANUP(freep) char *path =
		xasprintf("/events?since=%" PRId64 ".%03" PRId64 "000000&filters=%s", now / 1000,
			  now % 1000, escaped);
	CLEANUP(freep) char *url = NULL;
	struct http_request request = docker_request(e->d, "GET", path, false, &url);

	request.on_body = on_body;
	request.on_body_arg = e;
	docker_messages_free(&e->messages);
	docker_messages_init(&e->messages);
	e->started_ms = clock_mono_ms();
	return http_start(e->d->http, &request, on_end, e, &e->transfer, err);
}

static void on_ping(void *arg, struct http_response *resp, const struct err *failure)
{
	static const struct err unwell = { .kind = ERR_NETWORK, .retryable = true };
	struct docker_events *e = arg;
	struct err err;

	e->transfer = NULL;
	if (failure || resp->status != 200) {
		retry_later(e, failure ? failure : &unwell);
		return;
	}
	if (subscribe(e, &err) < 0) {
		retry_later(e, &err);
		return;
	}
	e->cut = false;
	e->fn(e->arg, NULL); /* may stop us: nothing after it */
}

/* A ping first: fn must hear of a new connection, not of each try. */
static void look_again(void *arg)
{
	struct docker_events *e = arg;
	CLEANUP(freep) char *url = NULL;
	struct http_request request = docker_request(e->d, "GET", "/_ping", true, &url);
	struct err err;

	e->timer = NULL;
	request.total_timeout_ms = PING_TIMEOUT_MS;
	if (http_start(e->d->http, &request, on_ping, e, &e->transfer, &err) < 0)
		retry_later(e, &err);
}

int docker_events_start(struct docker *d, const char *type, docker_event_fn *fn, void *arg,
			struct docker_events **out, struct err *err)
{
	struct docker_events *e = xcalloc(1, sizeof *e);

	*e = (struct docker_events){ .d = d, .type = xstrdup(type), .fn = fn, .arg = arg };
	docker_messages_init(&e->messages);
	if (subscribe(e, err) < 0) {
		events_free(e);
		return docker_transport_error(err);
	}
	*out = e;
	return 0;
}

bool docker_events_are_cut(const struct docker_events *e)
{
	return e->cut;
}

void docker_events_stop(struct docker_events *e)
{
	if (!e)
		return;
	e->stopped = true;
	loop_timer_cancel(e->timer);
	e->timer = NULL;
	if (e->in_callback)
		return; /* on_end() frees it */
	if (e->transfer)
		http_cancel(e->transfer);
	events_free(e);
}
