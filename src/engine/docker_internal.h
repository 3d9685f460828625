/* What the docker*.c files share. Nobody else includes this. */
#ifndef BERTH_ENGINE_DOCKER_INTERNAL_H
#define BERTH_ENGINE_DOCKER_INTERNAL_H

#include "engine/docker.h"

#define DOCKER_ERROR_MAX_BYTES \
	(64 * KIB) /* of an error's body; Docker's messages are a line or two */

struct docker {
	struct http *http;
	struct loop *loop;
	char *host;   /* as given, for messages */
	char *socket; /* NULL: TCP */
	char *base;   /* "http://docker" or "http://127.0.0.1:2375" */
	bool is_default; /* the socket that Docker has where nobody chose another */
	struct docker_info info;
	char *containerd_socket;       /* as told; NULL: to be found */
	bool has_temporaries;          /* loads made images that are only good for the next: see load_temporary.h */
	struct containerd *containerd; /* once store_choose() found that it can be used */
};

struct docker_exchange {
	const char *method;
	const char *path;        /* "/containers/x/json?…" */
	bool unversioned;        /* for what comes before the version is known */
	const struct json *body; /* or NULL */
	int64_t timeout_ms;
	http_body_fn *on_body; /* or NULL: the answer's body ends up in the response */
	void *on_body_arg;
};

/* Sends and waits. 2xx and 304 are success, the rest are errors as docker_call() says. */
int docker_do(struct docker *d, const struct docker_exchange *x, struct http_response *resp,
	      struct err *err) MUST_CHECK;

/*
 * A request for http_start(): the url is the caller's to free, and holds until http_start()
 * returns.
 */
struct http_request docker_request(const struct docker *d, const char *method, const char *path,
				   bool unversioned, char **url);

/* Words of an engine that is going down, or has lost its containerd: they say nothing about what it was asked for. */
bool docker_is_passing(const char *message);

/* The error that a status other than 2xx and 304 means; returns -1. */
int docker_status_error(const struct http_response *r, struct err *err);

/* Says whose error it is: "Docker: …"; returns -1. */
int docker_transport_error(struct err *err);

/* Docker's JSON, which may hold what berth's reader refuses: "\u0000" becomes U+FFFD. */
int docker_parse(char *bytes, size_t len, size_t max_bytes, struct json **out,
		 struct err *err) MUST_CHECK;

#endif
