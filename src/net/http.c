#include "net/http_internal.h"

#include <assert.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"

/* Idle connections that are kept: a registry, its blob host, Docker, AWS. */
#define KEPT_CONNECTIONS_MAX 24L

static char *find_ca_bundle(const struct http_config *config)
{
	static const char *const variables[] = { "AWS_CA_BUNDLE", "SSL_CERT_FILE" };
	static const char *const paths[] = {
		"/etc/ssl/certs/ca-certificates.crt", /* Debian, Ubuntu, Alpine */
		"/etc/pki/tls/certs/ca-bundle.crt",   /* Amazon Linux, Fedora */
		"/etc/ssl/ca-bundle.pem",             /* SUSE */
		"/etc/ssl/cert.pem",
	};

	if (config->ca_bundle)
		return xstrdup(config->ca_bundle);
	for (size_t i = 0; i < ARRAY_LEN(variables); i++) {
		const char *value = getenv(variables[i]);
		if (value && value[0])
			return xstrdup(value);
	}
	for (size_t i = 0; i < ARRAY_LEN(paths); i++)
		if (access(paths[i], R_OK) == 0)
			return xstrdup(paths[i]);
	return NULL;
}

static void link_in(struct http_transfer *t)
{
	t->next = t->http->transfers;
	if (t->next)
		t->next->prev = t;
	t->http->transfers = t;
}

static void unlink_out(struct http_transfer *t)
{
	if (t->prev)
		t->prev->next = t->next;
	else
		t->http->transfers = t->next;
	if (t->next)
		t->next->prev = t->prev;
}

static void destroy(struct http_transfer *t)
{
	assert(t->http->depth == 0);
	if (t->added)
		(void)curl_multi_remove_handle(t->http->multi, t->easy); /* fails only when nested */
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
	line = err ? xstrdup(err->msg) :
		     xasprintf("%s: %ld from %s, %lld bytes, %lld ms", t->display, t->resp.status,
			       t->resp.peer, (long long)bytes, (long long)(clock_mono_ms() - t->started_ms));
	t->http->trace(t->http->trace_arg, line);
}

static void finish(struct http_transfer *t, const struct err *err)
{
	if (!t->resp.peer[0])
		http_note_peer(t);
	trace(t, err);
	t->gone = true; /* a cancel from inside done changes nothing */
	t->done(t->done_arg, &t->resp, err);
	destroy(t);
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
			destroy(t);
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
	http->curl_timer = timeout_ms < 0 ? NULL : loop_timer_start(http->loop, timeout_ms, on_curl_timer, http);
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
	int mask = (events & EPOLLIN ? CURL_CSELECT_IN : 0) | (events & EPOLLOUT ? CURL_CSELECT_OUT : 0) |
		   (events & (EPOLLERR | EPOLLHUP) ? CURL_CSELECT_ERR : 0);

	act(w->http, w->fd, mask); /* may free w */
}

static int set_curl_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *socket_arg)
{
	struct http *http = arg;
	struct socket_watch *w = socket_arg;
	uint32_t events = (what & CURL_POLL_IN ? EPOLLIN : 0) | (what & CURL_POLL_OUT ? EPOLLOUT : 0);
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
	(void)curl_multi_assign(http->multi, fd, w); /* fails only for a descriptor curl does not know */
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

/*
 * Does in a later turn of the loop what may not be done now: curl takes no
 * transfer and frees none inside its callbacks, and resuming delivers bytes at
 * once, which the caller of http_resume() would see in the middle of its work.
 */
static void kick(struct http *http)
{
	if (!http->kick_timer)
		http->kick_timer = loop_timer_start(http->loop, 0, on_kick, http);
}

int http_new(struct loop *loop, const struct http_config *config, struct http **out, struct err *err)
{
	static bool initialised;
	struct http *http;

	if (!initialised && curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		return err_set(err, ERR_SYSTEM, "libcurl cannot be initialised");
	initialised = true;
	http = xcalloc(1, sizeof *http);
	*http = (struct http){
		.loop = loop,
		.multi = curl_multi_init(),
		.ca_bundle = find_ca_bundle(config),
		.user_agent = xstrdup(config->user_agent),
		.trace = config->trace,
		.trace_arg = config->trace_arg,
	};
	if (!http->multi)
		abort(); /* out of memory */
	http_proxies_from_env(&http->proxies);
	/* Setting these cannot fail. */
	(void)curl_multi_setopt(http->multi, CURLMOPT_SOCKETFUNCTION, set_curl_socket);
	(void)curl_multi_setopt(http->multi, CURLMOPT_SOCKETDATA, http);
	(void)curl_multi_setopt(http->multi, CURLMOPT_TIMERFUNCTION, set_curl_timer);
	(void)curl_multi_setopt(http->multi, CURLMOPT_TIMERDATA, http);
	(void)curl_multi_setopt(http->multi, CURLMOPT_MAXCONNECTS, KEPT_CONNECTIONS_MAX);
	*out = http;
	return 0;
}

void http_free(struct http *http)
{
	if (!http)
		return;
	while (http->transfers)
		destroy(http->transfers);
	(void)curl_multi_cleanup(http->multi); /* takes its sockets and timer back through the callbacks */
	loop_timer_cancel(http->curl_timer);
	loop_timer_cancel(http->kick_timer);
	http_proxies_free(&http->proxies);
	free(http->ca_bundle);
	free(http->user_agent);
	free(http);
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
	(void)err_set(&err, ERR_TIMEOUT, "%s: no byte in %lld ms", t->display, (long long)t->stall_timeout_ms);
	finish(t, &err);
}

int http_start(struct http *http, const struct http_request *req, http_done_fn *done, void *arg,
	       struct http_transfer **out, struct err *err)
{
	struct http_transfer *t;

	if (http_transfer_new(http, req, done, arg, &t, err) < 0)
		return -1;
	link_in(t);
	if (t->stall_timeout_ms > 0)
		t->stall_timer = loop_timer_start(http->loop, t->stall_timeout_ms, on_stall_timer, t);
	kick(http);
	*out = t;
	return 0;
}

void http_resume(struct http_transfer *t)
{
	if (t->gone)
		return;
	t->want_resume = true;
	kick(t->http);
}

void http_cancel(struct http_transfer *t)
{
	if (!t || t->gone)
		return;
	t->gone = true;
	if (t->http->depth == 0)
		destroy(t);
}

struct waiting {
	bool done, failed;
	struct http_response *resp;
	struct err *err;
};

static void on_done(void *arg, struct http_response *resp, const struct err *err)
{
	struct waiting *w = arg;

	w->done = true;
	w->failed = err != NULL;
	if (err) {
		*w->err = *err;
		return;
	}
	*w->resp = *resp;
	*resp = (struct http_response){ .retry_after_ms = -1 };
}

static bool is_done(void *arg)
{
	return ((struct waiting *)arg)->done;
}

int http_do(struct http *http, const struct http_request *req, struct http_response *resp, struct err *err)
{
	struct waiting w = { .resp = resp, .err = err };
	struct http_transfer *t;

	if (http_start(http, req, on_done, &w, &t, err) < 0)
		return -1;
	if (loop_wait(http->loop, is_done, &w, -1, err) < 0) {
		http_cancel(t);
		return -1;
	}
	return w.failed ? -1 : 0;
}
