/*
 * The Docker Engine API over its Unix socket (or tcp:// on loopback): version
 * negotiation, JSON calls, streams, events, exec. Also what Podman's Docker API answers.
 */
#ifndef BERTH_ENGINE_DOCKER_H
#define BERTH_ENGINE_DOCKER_H

#include "base/json.h"
#include "net/http.h"

#define DOCKER_ANSWER_MAX_BYTES (16 * MIB) /* /images/json on a build host */
#define DOCKER_LOG_MAX_BYTES (64 * KIB)    /* the last lines of a failed container */
#define DOCKER_TIMEOUT_MS 60000            /* an ordinary call; dockerd under load takes seconds */
#define DOCKER_API_MAX_MAJOR 1
#define DOCKER_API_MAX_MINOR 51            /* newest API berth was written against */

enum docker_store {
	DOCKER_STORE_CLASSIC,    /* graph drivers */
	DOCKER_STORE_CONTAINERD, /* DriverStatus driver-type io.containerd.snapshotter.v1 */
	DOCKER_STORE_PODMAN      /* Podman's Docker API */
};

struct docker_info {
	char api[16];            /* negotiated: "1.41" */
	char version[64];        /* the engine's: "20.10.24" */
	enum docker_store store;
	char driver[64];         /* "overlay2", "overlayfs" */
	char root_dir[256];
	char containerd_address[256], containerd_namespace[64]; /* "" where not told */
	bool userns_or_rootless;
	int64_t n_cpu, mem_bytes;
};

struct docker;

/* host: "unix:///var/run/docker.sock" or "tcp://127.0.0.1:2375". ERR_CONFIG. No traffic yet. */
int docker_new(struct http *http, struct loop *loop, const char *host, struct docker **out, struct err *err) MUST_CHECK;
/* Also gives back what containerd holds, or Docker was given, for an unfinished pull, in a few seconds at most. */
void docker_free(struct docker *d);

/* The socket of this engine's containerd, where it does not say so itself. NULL: look in the usual places. */
void docker_set_containerd(struct docker *d, const char *socket);

/*
 * /_ping, /version where the ping does not tell enough, /info. The socket not there, or refused:
 * ERR_NETWORK (retryable), with a hint ("install docker" when there is neither a socket nor a
 * dockerd or podman binary in PATH and the usual places; then not retryable: ERR_NOT_FOUND). A
 * socket we may not open: ERR_DENIED. The engine's oldest API newer than ours: ERR_PROTOCOL.
 */
int docker_connect(struct docker *d, struct err *err) MUST_CHECK;
/* Waits for the socket up to patience_ms; at once ERR_NOT_FOUND if there is no docker at all. */
int docker_wait(struct docker *d, int64_t patience_ms, struct err *err) MUST_CHECK;

/* Whether the error is of a full disk, in Docker's words or the kernel's; if so, with a hint at what helps. */
bool docker_disk_is_full(struct err *err);
const struct docker_info *docker_info(const struct docker *d);

/*
 * METHOD /v1.N/PATH. body may be NULL. *out (may be NULL) is the JSON answer of a 2xx (NULL for an
 * empty body). Other statuses: 404 ERR_NOT_FOUND, 409 ERR_CONFLICT, 401/403 ERR_DENIED, 5xx
 * ERR_FAILED (Docker says 500 for permanent things too), 304 is success; the message is Docker's
 * "message" field.
 */
int docker_call(struct docker *d, const char *method, const char *path, const struct json *body,
		struct json **out, struct err *err) MUST_CHECK;
/* The same with another deadline: stop, wait. */
int docker_call_for(struct docker *d, const char *method, const char *path, const struct json *body,
		    int64_t timeout_ms, struct json **out, struct err *err) MUST_CHECK;

/*
 * A request whose body is streamed and whose answer is a stream of JSON objects (images/load,
 * images/create). message() sees each; docker's in-band errors ("errorDetail", "error", "Error
 * unpacking" in "stream") end it as ERR_FAILED with their text. The stream is read to its end.
 * idle_ms: cut when neither side moves for so long.
 */
typedef void docker_message_fn(void *arg, const struct json *message);
struct docker_stream; /* a running one */
typedef void docker_done_fn(void *arg, const struct err *err /* NULL: success */);
struct docker_stream_request {
	const char *method, *path;
	const char *registry_auth;   /* X-Registry-Auth, base64url; or NULL */
	const char *content_type;    /* of the upload */
	http_upload_fn *upload;      /* or NULL */
	void *upload_arg;
	docker_message_fn *message;  /* or NULL */
	docker_done_fn *done;
	void *arg;                   /* for message and done */
	int64_t idle_ms;
};
int docker_stream_start(struct docker *d, const struct docker_stream_request *req, struct docker_stream **out,
			struct err *err) MUST_CHECK;
void docker_stream_resume(struct docker_stream *s); /* the upload has bytes again */
void docker_stream_cancel(struct docker_stream *s); /* done is not called; NULL is fine */

/*
 * The events of one kind ("container"), from now on; reconnects by itself with back-off after
 * dockerd restarts, and calls fn(arg, NULL) after each reconnect (state may have changed unseen). A
 * removed container is "destroy" to Docker and "remove" to Podman.
 */
struct docker_events;
typedef void docker_event_fn(void *arg, const struct json *event);
int docker_events_start(struct docker *d, const char *type, docker_event_fn *fn, void *arg, struct docker_events **out,
			struct err *err) MUST_CHECK;
/* The stream has ended, and fn has not been told yet of another. */
bool docker_events_are_cut(const struct docker_events *e);
void docker_events_stop(struct docker_events *e);

/* Percent-encodes a path segment or query value (RFC 3986 unreserved stay); caller frees. */
char *docker_escape(const char *s);

#endif
