/* What the generation*.c files share. Nobody else includes this. */
#ifndef BERTH_AGENT_GENERATION_INTERNAL_H
#define BERTH_AGENT_GENERATION_INTERNAL_H

#include "agent/generation.h"

/* 0 found and ours, 1 none, ERR_CONFLICT a stranger's. */
int generation_look(struct deployment *d, const char *name, struct container_state *state, struct err *err) MUST_CHECK;

enum generation_body_kind {
	BODY_SERVES = 0,         /* at once, published by Docker */
	BODY_CANDIDATE = 1 << 0, /* Docker is not to restart it by itself */
	BODY_SWITCHED = 1 << 1,  /* published on ephemeral ports of loopback only: the switch leads to it */
};
/* The create body with berth's labels. kind: a set of those. */
int generation_body(struct deployment *d, const struct acquired *image, unsigned int kind, struct json **out,
		    struct err *err) MUST_CHECK;

/* Removes it, if it is there and ours. */
int generation_remove(struct deployment *d, const char *name, struct err *err) MUST_CHECK;

/* From what a death left to one truth: NAME serves or did, NAME-prev is the one before, and no NAME-next. */
int generation_mend(struct deployment *d, struct err *err) MUST_CHECK;

/* Also a container that is being restarted. */
int generation_rename(struct deployment *d, const char *from, const char *to, struct err *err) MUST_CHECK;

#endif
