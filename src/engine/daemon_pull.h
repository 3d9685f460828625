/*
 * The engine's own pull, POST /images/create: for an engine that hangs on loads, and to tell a
 * classic one the digest of an image that it has. Always by digest: nothing can come that was not
 * resolved before.
 */
#ifndef BERTH_ENGINE_DAEMON_PULL_H
#define BERTH_ENGINE_DAEMON_PULL_H

#include "base/secret.h"
#include "engine/store.h"

enum daemon_step { DAEMON_WAITING, DAEMON_FETCHING, DAEMON_DONE, DAEMON_PRESENT };

struct daemon_pull_request {
	const char *repository;  /* "docker.io/library/debian" */
	const char *digest;      /* of what the tag names */
	const char *platform;    /* "linux/amd64", or NULL: the engine's */
	/* base64url JSON, see daemon_auth(); NULL: anonymous */
	const struct secret *auth;
	const struct store_image *image; /* borrowed */
	bool only_name;          /* the engine has all layers: ends as ERR_REFUSED before it fetches one */
	/* Or NULL: where the engine is with layer i, as far as its words tell. From the loop; must not wait. */
	void (*layer)(void *arg, size_t i, enum daemon_step step, int64_t received_bytes);
	void *arg;
	int64_t idle_ms;         /* ends as ERR_TIMEOUT when it says nothing for so long */
};

struct daemon_pull;

int daemon_pull_start(struct docker *d, const struct daemon_pull_request *req, struct daemon_pull **out,
		      struct err *err) MUST_CHECK;
/* *error: ERR_NONE, or what the engine said, also in the midst of a 200. */
bool daemon_pull_ended(const struct daemon_pull *p, struct err *error);
void daemon_pull_free(struct daemon_pull *p); /* NULL is fine; the engine stops what nobody waits for */

/* What X-Registry-Auth takes. */
void daemon_auth(const char *user, const struct secret *password, const char *server, struct secret *out);

#endif
