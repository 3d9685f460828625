/*
 * HTTP over libcurl: requests on a loop. Nothing is followed, decoded or retried
 * here; every size and time has a cap. The only owner of libcurl (with loop.c).
 */
#ifndef BERTH_NET_HTTP_H
#define BERTH_NET_HTTP_H

#include "base/buf.h"
#include "net/address.h"
#include "net/http_url.h"
#include "net/loop.h"

/* All header lines of an answer together; registries send about 1 KiB. 10,000 headers are an attack. */
#define HTTP_HEADERS_MAX_BYTES (64 * KIB)
#define HTTP_HEADERS_MAX 256

struct http; /* connections, TLS trust, proxies; bound to one loop */

struct http_config {
	const char *ca_bundle;   /* NULL: AWS_CA_BUNDLE, SSL_CERT_FILE, else the known paths of distributions */
	const char *user_agent;  /* "berth/0.1.0" */
	/* Or NULL: told one line per finished request, "GET https://host/path: 200, 1024 bytes, 31 ms". */
	void (*trace)(void *arg, const char *line);
	void *trace_arg;
};

/* No CA bundle found is no error here; the first TLS request fails with a hint that lists the paths. */
int http_new(struct loop *loop, const struct http_config *config, struct http **out, struct err *err) MUST_CHECK;
void http_free(struct http *http); /* running transfers are dropped without their callbacks */
struct loop *http_loop(const struct http *http);
/* Tells the trace, where there is one, of a request that was made in another way. */
void http_note(const struct http *http, const char *fmt, ...) PRINTF_LIKE(2, 3);

struct http_header {
	const char *name;
	const char *value; /* no CR, LF or NUL: asserted for ours, refused for derived ones by http_start */
};

/* What a body callback answers. */
enum http_flow { HTTP_CONTINUE, HTTP_PAUSE, HTTP_ABORT };

struct http_transfer;
struct http_response;

/*
 * Bytes of a 2xx body arrive. HTTP_PAUSE: these bytes were NOT taken and come
 * again after http_resume(). HTTP_ABORT: *err says why and becomes the result.
 */
typedef enum http_flow http_body_fn(void *arg, const struct http_response *head, const void *bytes,
				    size_t len, struct err *err);
/* Fills up to max bytes of the upload into out; *len 0 with HTTP_CONTINUE ends the body. */
typedef enum http_flow http_upload_fn(void *arg, void *out, size_t max, size_t *len, struct err *err);

struct http_request {
	const char *method;      /* "GET", "POST", "PUT", "HEAD", "DELETE" */
	const char *url;         /* http or https only; with unix_socket the host is decoration */
	const char *unix_socket; /* NULL: TCP */
	const struct http_header *headers;
	size_t n_headers;
	const void *body; /* sent with Content-Length */
	size_t body_len;
	http_upload_fn *upload; /* or a streamed body (chunked), body NULL */
	void *upload_arg;

	/*
	 * Cap of resp->body: ERR_LIMIT for a 2xx body, other bodies are cut;
	 * also for the error body when on_body is set.
	 */
	size_t max_body_bytes;
	http_body_fn *on_body;   /* 2xx bodies go there instead of resp->body */
	void *on_body_arg;

	int64_t connect_timeout_ms; /* 0: 10 s */
	int64_t total_timeout_ms;   /* 0: none (streams) */
	int64_t stall_timeout_ms;   /* no byte either way for so long while not paused; 0: none */
	/* Connect to no class more private than this (judged on the socket). The zero value allows all: for
	 * hosts that the operator chose or AWS fixed, never for those that a peer named. */
	enum address_class least;
	bool no_proxy;   /* IMDS; Unix sockets never use one */
	bool http1_only; /* blob hosts: streams must not share one TCP window */
};

#define HTTP_PEER_SIZE 64

struct http_response {
	long status;
	struct buf body;
	struct buf headers;              /* names lower-case: "name: value\n" lines; see http_header_get */
	bool body_cut;                   /* an error's body was larger than the cap: the rest is missing */
	enum address_class peer_class;   /* of the address connected to; ADDRESS_PUBLIC through a proxy */
	char peer[HTTP_PEER_SIZE];       /* "203.0.113.4:443", for messages */
	int64_t date_ms;                 /* the Date header, wall clock; 0: none */
	int64_t retry_after_ms;          /* Retry-After, seconds or date, clamped to [0, 60 s]; -1: none or nonsense */
};

void http_response_free(struct http_response *r);
/* The value of the first header of that (lower-case) name, copied to out (caller frees), or NULL. */
char *http_header_get(const struct http_response *r, const char *name);
/* All values of that header, joined by ", " (RFC 9110 §5.3: the same thing); caller frees; or NULL. */
char *http_header_all(const struct http_response *r, const char *name);

/*
 * Sends and waits on the loop. Any status is success here; -1 means that there
 * was no whole answer: ERR_NETWORK (refused, reset, resolve, TLS cut), ERR_TIMEOUT,
 * ERR_PROTOCOL (bad HTTP, Content-Encoding that was not asked for), ERR_LIMIT,
 * ERR_REFUSED (address class, certificate), ERR_CANCELLED. Messages name the
 * URL's host and path, never its query (presigned URLs are secrets).
 */
int http_do(struct http *http, const struct http_request *req, struct http_response *resp,
	    struct err *err) MUST_CHECK;

/*
 * Starts a transfer; done is called exactly once from the loop, unless cancelled.
 * resp lives until the callback returns (STEAL its parts). The request's strings
 * are copied; body and callback arguments must live until then.
 */
typedef void http_done_fn(void *arg, struct http_response *resp, const struct err *err /* NULL: answered */);
int http_start(struct http *http, const struct http_request *req, http_done_fn *done, void *arg,
	       struct http_transfer **out, struct err *err) MUST_CHECK;
void http_resume(struct http_transfer *t); /* after HTTP_PAUSE, either direction */
void http_cancel(struct http_transfer *t); /* done is not called; safe in callbacks of other transfers */

/*
 * Turns an unexpected status into an error: 401/403 ERR_DENIED, 404 ERR_NOT_FOUND,
 * 429 and 5xx ERR_NETWORK (retryable, Retry-After kept), the rest ERR_FAILED. Returns -1.
 */
int http_status_error(const struct http_response *r, const char *what, struct err *err);

/*
 * Bounded, jittered retries around one call: exponential from 250 ms to 8 s, the
 * peer's Retry-After where larger, at most `attempts` calls (0: for ever, which only IMDS
 * at boot and `berth up` use). Only errors marked retryable are tried again; with bounded
 * attempts not those that were waited out: patience is not to be multiplied by somebody else's.
 */
int net_retry(struct loop *loop, unsigned int attempts, int (*call)(void *arg, struct err *err), void *arg,
	      struct err *err) MUST_CHECK;
/* How long to wait after so many failures in a row (1: the first), err being the last: for loops of callbacks. */
int64_t net_retry_delay_ms(unsigned int failures, const struct err *err);

#endif
