/*
 * Generations of the service's container. Docker is the database: the serving one is called
 * NAME, one being made NAME-next, the one before NAME-prev. Whoever starts rebuilds
 * the truth from names and labels.
 */
#ifndef BERTH_AGENT_GENERATION_H
#define BERTH_AGENT_GENERATION_H

#include "agent/deployment.h"

enum generation_found {
	GENERATION_NONE,  /* nothing called NAME */
	GENERATION_SAME,  /* ours, of this configuration and image */
	GENERATION_OTHER, /* ours, of another */
};

/*
 * Looks, and first mends what a death left, finishing or undoing it: one NAME, no NAME-next, and NAME's restart policy
 * as asked. d->prev_runs: NAME-prev has not been drained and stopped yet. ERR_CONFLICT when NAME is a stranger's
 * container, which is never touched. For this and all that changes containers the caller holds the service's
 * deploy_lock.
 */
int generation_find(struct deployment *d, enum generation_found *found, struct container_state *state,
		    struct err *err) MUST_CHECK;

/* Of this configuration and image. */
bool generation_is_same(const struct deployment *d, const struct container_state *state);

/* Drains and stops NAME-prev where generation_find() has seen it run. As long as --drain-timeout. */
int generation_end_prev(struct deployment *d, struct err *err) MUST_CHECK;

/*
 * Starts NAME, once generation_end_prev() has made room. One that the engine cannot start any more is removed,
 * for find() to see: retryable.
 */
int generation_start(struct deployment *d, struct err *err) MUST_CHECK;

/* Makes and starts NAME from the image, where there is none. */
int generation_make(struct deployment *d, const struct acquired *image, struct err *err) MUST_CHECK;

/*
 * Makes NAME-next from the image beside what is there: not started, and Docker will not restart it by itself.
 * switched: to be reached through the switch, so that both can run.
 */
int generation_candidate(struct deployment *d, const struct acquired *image, bool switched, struct err *err) MUST_CHECK;

/* ERR_CONFLICT: a stranger's container is called NAME-next, or NAME-prev, which is what NAME (has_old) becomes. */
int generation_check_names(struct deployment *d, bool has_old, struct err *err) MUST_CHECK;

/*
 * The names move, without touching what runs: NAME (has_old) → NAME-prev, whose predecessor is removed, and
 * NAME-next → NAME; or back: NAME and NAME-prev change places. Then NAME gets its restart policy.
 */
int generation_promote(struct deployment *d, bool back, bool has_old, struct err *err) MUST_CHECK;

/* What NAME's restart policy has to be; a container without the label keeps its own. */
int generation_set_restart(struct deployment *d, const struct container_state *state, struct err *err) MUST_CHECK;

/* It does not serve any more, and nothing but berth is to start it. */
int generation_retire(struct deployment *d, const char *name, struct err *err) MUST_CHECK;

/*
 * What asks whether this container is ready: --probe, its label (the other way round with own_first), or the default.
 */
int generation_probe(struct deployment *d, const struct container_state *state, bool own_first, struct probe *out,
		     struct err *err) MUST_CHECK;

/* NULL: it has no such label. Borrowed from state. */
const char *generation_label(const struct container_state *state, const char *label);

#endif
