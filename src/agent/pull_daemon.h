/*
 * What is left to the engine itself: to pull the image, where it hangs on being given one; and to
 * note the digest that an image came by, which a classic store cannot be told otherwise.
 */
#ifndef BERTH_AGENT_PULL_DAEMON_H
#define BERTH_AGENT_PULL_DAEMON_H

#include "agent/login.h"
#include "agent/progress.h"
#include "engine/store.h"

struct pull_daemon {
	struct context *context;
	const struct reference *ref;
	const struct login *login; /* as the registry has just had it */
	const struct store_image *image;
	const char *image_id; /* that it must have in the engine */
};

/* Waits on the loop; the image is there under its name and is the one that was resolved, or not 0. */
int pull_daemon_image(const struct pull_daemon *what, struct progress *progress, struct err *err) MUST_CHECK;

/* The engine lacks the digest, and can be told without fetching a layer. */
bool pull_daemon_lacks_digest(const struct pull_daemon *what);

struct daemon_pull;
/* Makes the engine note it; see engine/daemon_pull.h for the rest. */
int pull_daemon_name(const struct pull_daemon *what, struct daemon_pull **out, struct err *err) MUST_CHECK;

#endif
