/*
 * The end of a container's service: until its clients have left it, and no longer than --drain-
 * timeout.
 */
#ifndef BERTH_AGENT_DRAIN_H
#define BERTH_AGENT_DRAIN_H

#include "engine/container.h"

struct deployment;

/*
 * A load balancer goes on sending until it has seen the 503 often enough, so that one moment
 * without connections is no end: there must be none for a third of --drain-timeout, or this long.
 */
#define DRAIN_QUIET_MAX_MS 10000
#define DRAIN_STEP_MS 200

struct drain {
	int64_t began_ms;     /* clock_mono_ms(); 0: not begun */
	int64_t busy_ms;      /* when connections were last seen */
	int64_t none_ms;      /* when there were none, by the last counting; 0: there were some */
	int64_t look_again_ms; /* counting takes time where there are many: not sooner */
	bool over, stopped;   /* the container was stopped at its end */
	bool told;            /* that its connections cannot be counted */
};

/*
 * One look at the container (NULL: the engine does not say), which begins the drain if need be.
 * Whether it is over: no connection for the quiet time, or --drain-timeout has passed, or it does
 * not run. What cannot be counted (on the host's network,
 * or by a kernel that does not list them) is waited for.
 */
bool drain_look(struct deployment *d, const struct container_state *state);

/* What a counting from began_ms to ended_ms has found. */
void drain_counted(struct drain *n, size_t left, int64_t began_ms, int64_t ended_ms);
/* The last counting found none, quiet_ms after there were any: that nobody has counted meanwhile says nothing. */
bool drain_is_quiet(const struct drain *n, int64_t quiet_ms);

/*
 * At the drain's end: stops NAME, whichever container that is by then, as nobody deploys meanwhile. Who does is waited
 * for, or ERR_CONFLICT. A container that is gone is success.
 */
int drain_stop(struct deployment *d, bool wait, struct err *err) MUST_CHECK;

/* It serves again: the next drain begins anew. */
void drain_forget(struct deployment *d);

#endif
