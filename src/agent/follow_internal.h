/* What the follow*.c files share. Nobody else includes this. */
#ifndef BERTH_AGENT_FOLLOW_INTERNAL_H
#define BERTH_AGENT_FOLLOW_INTERNAL_H

#include "agent/follow.h"

/* The rest of the image's pull, once the app is ready. -1: ERR_CANCELLED. */
int follow_fetch_rest(struct deployment *d, struct err *err) MUST_CHECK;

struct follow {
	struct deployment *d;
	struct docker_events *events;
	char id[65];              /* of the container that is followed */
	struct probe probe;       /* and what asks it */
	struct container_state seen; /* of the last look that told: whether it runs, and where. Nothing else */
	bool nameless;            /* nothing is called NAME for a moment: what was said of it holds */
	bool others;              /* another berth was seen at work on the containers */
	bool unsettled;           /* and may have died at it */
	bool woken;               /* an event came: look at once */
	bool died;                /* the container died since the last look */
	bool ran;                 /* and no event has told of its end */
	bool outage;              /* Docker was away since the last look */
	bool looked;              /* at all: what was just started, or found running, nobody has stopped */
	bool was_ready;           /* ever, in this follow */
	bool failed;              /* the ready timeout has passed: `failed` until it is ready after all */
	int64_t ready_by_ms;      /* -1: no grace */
	int64_t route_by_ms;      /* when the switch is looked at again */
	char route_said[512];     /* what was wrong with it then, and has been told; "" nothing */
	char reason[PROBE_REASON_SIZE];
};

/*
 * After the engine was away: was the container ended with it, and is it to run again? Call on each
 * look.
 */
bool follow_lost_in_outage(struct follow *f, const struct container_state *state);
/* Starts it again. What fails becomes the reason, and is tried again. -1: ERR_CANCELLED. */
int follow_revive(struct follow *f, struct err *err) MUST_CHECK;
/* Takes the failure as the reason. Whether it is a new one. */
bool follow_take_reason(struct follow *f, struct err *err);

/*
 * Drains the container while the instance is on its way out, and has it serve again after that. -1:
 * ERR_CANCELLED.
 */
int follow_duty(struct follow *f, const struct container_state *state, struct err *err) MUST_CHECK;

/* Ends what a berth that died at work has left. What fails is tried again. -1: ERR_CANCELLED. */
int follow_settle(struct follow *f, struct err *err) MUST_CHECK;

#endif
