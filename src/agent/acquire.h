/* The image a container is made from, as --pull says: from the registry, or the one that is here. */
#ifndef BERTH_AGENT_ACQUIRE_H
#define BERTH_AGENT_ACQUIRE_H

#include "agent/pull.h"

struct acquired {
	char image_id[80];
	char digest[72];     /* of what the tag points at; "" when it is not known */
	/* what goes into the create body: the name, or the ID where the name means another image */
	char image_ref[1100];
	const char *store;   /* "load", "containerd", "daemon", or "" */
	bool was_fast;       /* by --fast-load */
	int64_t pull_ms;
	struct pull_rest *rest; /* the caller's; NULL: nothing is left */
};

/* How long `newer` waits for the registry when the image is here. */
#define ACQUIRE_NEWER_MS 10000

int acquire_image(struct context *c, const struct reference *ref, struct progress *progress,
		  const struct pull_hooks *hooks, struct acquired *out, struct err *err) MUST_CHECK;

/* What the registry has now, whatever --pull says: it is asked once, and nothing else will do. */
int acquire_newest(struct context *c, const struct reference *ref, struct progress *progress,
		   const struct pull_hooks *hooks, struct acquired *out, struct err *err) MUST_CHECK;

#endif
