/* What the files of the HTTP client share. Nobody else includes this. */
#ifndef BERTH_NET_HTTP_INTERNAL_H
#define BERTH_NET_HTTP_INTERNAL_H

#include <curl/curl.h>

#include "net/http.h"
#include "net/http_proxy.h"

/* As many as a pull has connections to blobs. */
#define HTTP_IDLE_MAX 16

struct http {
	struct loop *loop;
	CURLM *multi;
	struct loop_timer *curl_timer; /* what curl asked for */
	struct loop_timer *kick_timer; /* see http_kick() */
	unsigned int depth; /* calls into curl that may call back: no call into it may nest */
	struct http_transfer *transfers;
	CURL *idle[HTTP_IDLE_MAX]; /* see http_easy_take() */
	size_t n_idle;
	struct http_proxies proxies;
	char *ca_bundle; /* NULL: none found */
	char *user_agent;
	void (*trace)(void *arg, const char *line);
	void *trace_arg;
};

struct http_transfer {
	struct http *http;
	struct http_transfer *prev, *next;
	CURL *easy;
	struct curl_slist *headers;
	char error_text[CURL_ERROR_SIZE];

	char *method;
	struct http_url url;
	char *unix_socket;
	char *display; /* "GET https://host/path", for messages */
	http_upload_fn *upload;
	void *upload_arg;
	http_body_fn *on_body;
	void *on_body_arg;
	http_done_fn *done;
	void *done_arg;
	int64_t connect_timeout_ms, total_timeout_ms, stall_timeout_ms;
	enum address_class least;
	bool proxied;

	bool added;       /* curl's multi handle has it */
	bool answered;    /* its easy handle may serve again */
	bool gone;        /* cancelled or done: freed when no call into curl is running */
	bool want_resume; /* http_resume() was called */
	bool resuming;    /* and it is this kick's turn */
	bool receive_paused, upload_paused;
	int64_t started_ms;
	int64_t moved_ms; /* when bytes last moved, or a pause ended */
	struct loop_timer *stall_timer;

	size_t header_bytes, header_lines; /* of all answers, 1xx included */
	bool head_done;                    /* final status line and headers are in */
	struct http_response resp;
	char connecting_to[HTTP_PEER_SIZE]; /* the last address tried */
	bool address_refused; /* an address of the name was too private; err says which */
	bool failed;          /* err was set by a callback and is the result */
	bool cut;             /* the error body is long enough: stop, as a success */
	struct err err;
};

/* http_request.c: checks req and builds the easy handle; the transfer is not yet in any list. */
int http_transfer_new(struct http *http, const struct http_request *req, http_done_fn *done,
		      void *arg, struct http_transfer **out, struct err *err) MUST_CHECK;
void http_transfer_free(struct http_transfer *t);

/*
 * http.c: an easy handle as a new one is. Making one sets up c-ares, which reads resolv.conf,
 * nsswitch.conf and hosts; so those whose transfers went well serve again. After a failure none
 * does: what c-ares has read may be out of date.
 */
CURL *http_easy_take(struct http *http);
void http_easy_give(struct http *http, CURL *easy, bool good);
void http_easies_free(struct http *http);

/* http_multi.c: what drives curl from the loop. */
void http_multi_open(struct http *http);
void http_multi_close(struct http *http); /* drops all transfers */
/* Not inside a call into curl (depth). */
void http_transfer_destroy(struct http_transfer *t);
void http_watch_stall(struct http_transfer *t);
/*
 * Does in a later turn of the loop what may not be done now: curl takes no
 * transfer and frees none inside its callbacks, and resuming delivers bytes at
 * once, which the caller of http_resume() would see in the middle of its work.
 */
void http_kick(struct http *http);

/* http_callbacks.c: what curl calls for headers, body, upload and addresses. */
void http_set_callbacks(struct http_transfer *t);
/* Fills peer, peer_class from the connection. */
void http_note_peer(struct http_transfer *t);

/* http_error.c: how curl says it → how we say it. */
int http_curl_error(struct http_transfer *t, CURLcode rc, struct err *err);

/* http_response.c: one header line → t->resp, counted. */
int http_header_line(struct http_transfer *t, const char *line, size_t len,
		     struct err *err) MUST_CHECK;

/* http_date.c */
bool http_date_parse(const char *text, int64_t *wall_ms);
int64_t http_retry_after_parse(const char *text, int64_t now_wall_ms); /* -1: nonsense */

#endif
