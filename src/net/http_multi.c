#include "net/http_internal.h"

#include <assert.h>
#include <sys/epoll.h>

#include "base/clock.h"
#include "base/mem.h"

/* Idle connections that are kept: a registry, its blob host, Docker, AWS. */
#define KEPT_CONNECTIONS_MAX 24L

static void unlink_out(struct http_transfer *t)
{
	if (t->prev)
		t->prev->next = t->next;
	else
		t->http->transfers = t->next;
	if (t->next)
		t->next->prev = t->prev;
}

void http_transfer_destroy(struct http_transfer *t)
{
	assert(t->http->depth == 0);
	if (t->added)
		/* Fails only when nested. */
		(void)curl_multi_remove_handle(t->http->multi, t->easy);
	unlink_out(t);
	http_transfer_free(t);
}

static void trace(struct http_transfer *t, const struct err *err)
{
	CLEANUP(freep) char *line = NULL;
	curl_off_t bytes = 0;

	if (!t->http->trace)
		return;
	if (curl_easy_getinfo(t->easy, CURLINFO_SIZE_DOWNLOAD_T, &bytes) != CURLE_OK)
		bytes = 0;
	line = err ? xstrdup(err->msg)
		   : xasprintf("%s: %ld from %s, %lld bytes, %lld ms", t->display, t->resp.status,
			       t->resp.peer, (long long)bytes,
			       (long long)(clock_mono_ms() - t->started_ms));
	t->http->trace(t->http->trace_arg, line);
}

static void finish(struct http_transfer *t, const struct err *err)
{
	if (!t->resp.peer[0])
		http_note_peer(t);
	trace(t, err);
	t->answered = !err && !t->cut; /* cut: curl thinks that it failed */
	if (err)
		http_easies_free(t->http);
	t->gone = true; /* a cancel from inside done changes nothing */
	t->done(t->done_arg, &t->resp, err);
	http_transfer_destroy(t);
}

static void finish_curl(struct http_transfer *t, CURLcode rc)
{
	struct err err;

	if (t->cut && !t->failed)
		rc = CURLE_OK;
	if (rc == CURLE_OK && !t->head_done)
		rc = CURLE_GOT_NOTHING; /* curl takes half a head for an answer */
	if (rc == CURLE_OK) {
		finish(t, NULL);
		return;
	}
	(void)http_curl_error(t, rc, &err);
	finish(t, &err);
}

/* After each call into curl: frees what was cancelled meanwhile, reports what ended. */
static void settle(struct http *http)
{
	struct http_transfer *next, *t;
	struct CURLMsg *msg;
	int left;

	if (http->depth)
		return;
	for (t = http->transfers; t; t = next) {
		next = t->next;
		if (t->gone)
			http_transfer_destroy(t);
	}
	while ((msg = curl_multi_info_read(http->multi, &left))) {
		char *private = NULL;
		if (msg->msg != CURLMSG_DONE)
			continue;
		if (curl_easy_getinfo(msg->easy_handle, CURLINFO_PRIVATE, &private) != CURLE_OK)
			abort(); /* it was set in http_transfer_new() */
		t = (struct http_transfer *)private;
		if (!t->gone)
			finish_curl(t, msg->data.result);
	}
}

static void act(struct http *http, curl_socket_t fd, int mask)
{
	int running;

	http->depth++;
	/* Its errors are those of single transfers, which come as messages. */
	(void)curl_multi_socket_action(http->multi, fd, mask, &running);
	http->depth--;
	settle(http);
}

static void on_curl_timer(void *arg)
{
	struct http *http = arg;

	http->curl_timer = NULL;
	act(http, CURL_SOCKET_TIMEOUT, 0);
}

static int set_curl_timer(CURLM *multi, long timeout_ms, void *arg)
{
	struct http *http = arg;

	(void)multi;
	loop_timer_cancel(http->curl_timer);
	http->curl_timer = timeout_ms < 0
				   ? NULL
				   : loop_timer_start(http->loop, timeout_ms, on_curl_timer, http);
	return 0;
}

/* One watched socket of curl's. */
struct socket_watch {
	struct http *http;
	curl_socket_t fd;
	struct loop_watch *watch;
};

static void on_socket(void *arg, uint32_t events)
{
	struct socket_watch *w = arg;
	int mask = (events & EPOLLIN ? CURL_CSELECT_IN : 0) |
		   (events & EPOLLOUT ? CURL_CSELECT_OUT : 0) |
		   (events & (EPOLLERR | EPOLLHUP) ? CURL_CSELECT_ERR : 0);

	act(w->http, w->fd, mask); /* may free w */
}

static int set_curl_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *socket_arg)
{
	struct http *http = arg;
	struct socket_watch *w = socket_arg;
	uint32_t events =
		(what & CURL_POLL_IN ? EPOLLIN : 0) | (what & CURL_POLL_OUT ? EPOLLOUT : 0);
	struct err err;

	(void)easy;
	if (what == CURL_POLL_REMOVE) {
		if (w)
			loop_unwatch(w->watch);
		free(w);
		return 0;
	}
	if (w) {
		loop_watch_change(w->watch, events);
		return 0;
	}
	w = xmalloc(sizeof *w);
	*w = (struct socket_watch){ .http = http, .fd = fd };
	if (loop_watch_fd(http->loop, fd, events, on_socket, w, &w->watch, &err) < 0) {
		free(w);
		return -1; /* curl then fails the transfers */
	}
	/* Fails only for a descriptor that curl does not know. */
	(void)curl_multi_assign(http->multi, fd, w);
	return 0;
}

/* The first transfer that waits for a turn, or NULL. */
static struct http_transfer *kickable(struct http *http)
{
	for (struct http_transfer *t = http->transfers; t; t = t->next)
		if (!t->gone && (t->resuming || !t->added))
			return t;
	return NULL;
}

static void add(struct http_transfer *t)
{
	struct err err;

	t->added = curl_multi_add_handle(t->http->multi, t->easy) == CURLM_OK;
	if (t->added)
		return;
	(void)err_set(&err, ERR_SYSTEM, "%s: libcurl takes no further transfer", t->display);
	finish(t, &err);
}

static void resume(struct http_transfer *t)
{
	CURLcode rc;

	t->resuming = false;
	if (!t->receive_paused && !t->upload_paused)
		return; /* it never stopped; curl refuses to resume what has no connection yet */
	t->receive_paused = t->upload_paused = false;
	t->moved_ms = clock_mono_ms();
	t->http->depth++;
	rc = curl_easy_pause(t->easy, CURLPAUSE_CONT); /* delivers what curl holds back */
	t->http->depth--;
	/* A callback that ended the transfer in there makes no message. */
	if (rc != CURLE_OK && !t->gone)
		finish_curl(t, rc);
}

static void on_kick(void *arg)
{
	struct http *http = arg;
	struct http_transfer *t;

	http->kick_timer = NULL;
	for (t = http->transfers; t; t = t->next) {
		/* What asks again from now on waits for the next kick: no endless turn. */
		t->resuming = t->want_resume;
		t->want_resume = false;
	}
	while ((t = kickable(http))) {
		if (!t->added)
			add(t);
		else
			resume(t);
	}
	settle(http);
}

void http_kick(struct http *http)
{
	if (!http->kick_timer)
		http->kick_timer = loop_timer_start(http->loop, 0, on_kick, http);
}

static void on_stall_timer(void *arg)
{
	struct http_transfer *t = arg;
	int64_t left_ms = t->stall_timeout_ms - (clock_mono_ms() - t->moved_ms);
	struct err err;

	t->stall_timer = NULL;
	if (t->gone)
		return;
	if (t->receive_paused || t->upload_paused)
		left_ms = t->stall_timeout_ms;
	if (left_ms > 0) {
		t->stall_timer = loop_timer_start(t->http->loop, left_ms, on_stall_timer, t);
		return;
	}
	(void)err_set(&err, ERR_TIMEOUT, "%s: no byte in %lld ms", t->display,
		      (long long)t->stall_timeout_ms);
	finish(t, &err);
}

void http_watch_stall(struct http_transfer *t)
{
	if (t->stall_timeout_ms > 0)
		t->stall_timer =
			loop_timer_start(t->http->loop, t->stall_timeout_ms, on_stall_timer, t);
}

void http_multi_open(struct http *http)
{
	/* Setting these cannot fail. */
	(void)curl_multi_setopt(http->multi, CURLMOPT_SOCKETFUNCTION, set_curl_socket);
	(void)curl_multi_setopt(http->multi, CURLMOPT_SOCKETDATA, http);
	(void)curl_multi_setopt(http->multi, CURLMOPT_TIMERFUNCTION, set_curl_timer);
	(void)curl_multi_setopt(http->multi, CURLMOPT_TIMERDATA, http);
	(void)curl_multi_setopt(http->multi, CURLMOPT_MAXCONNECTS, KEPT_CONNECTIONS_MAX);
}

void http_multi_close(struct http *http)
{
	while (http->transfers)
		http_transfer_destroy(http->transfers);
	http_easies_free(http);
	/* Takes its sockets and timer back through the callbacks. */
	(void)curl_multi_cleanup(http->multi);
	loop_timer_cancel(http->curl_timer);
	loop_timer_cancel(http->kick_timer);
}
