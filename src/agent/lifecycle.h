/*
 * Whether this instance is to serve, by what signals and its metadata say: apart from how the app
 * does. Pure. What came last counts: a signal, or a change of the metadata.
 */
#ifndef BERTH_AGENT_LIFECYCLE_H
#define BERTH_AGENT_LIFECYCLE_H

#include "base/base.h"

enum lifecycle_duty {
	LIFECYCLE_UNKNOWN,   /* the metadata service has not been heard yet */
	LIFECYCLE_SERVING,
	LIFECYCLE_PREPARING, /* in a warm pool: everything is made ready, and /healthz stays 503 */
	LIFECYCLE_LEAVING,   /* on its way out: /healthz says draining */
};

struct lifecycle {
	enum lifecycle_duty duty;
	char reason[160];       /* of PREPARING and LEAVING; else "" */
	char target_state[64];  /* the last one heard; "" none */
	char spot_action[128];
};

/*
 * All return whether the duty has changed. SIGUSR1, SIGTERM with --stop-on-exit: why is the reason.
 * SIGUSR2: serve.
 */
bool lifecycle_leave(struct lifecycle *l, const char *why);
bool lifecycle_serve(struct lifecycle *l);

/*
 * autoscaling/target-lifecycle-state, the state that the group wants (Auto Scaling user guide,
 * "Retrieve the target lifecycle state through instance metadata"); NULL: there is none (yet),
 * which says nothing.
 */
bool lifecycle_target_state(struct lifecycle *l, const char *text);

/* spot/instance-action, {"action":"terminate","time":"…"}; NULL: none. */
bool lifecycle_spot_action(struct lifecycle *l, const char *text);

/* The metadata has said what it says, or nobody answers: no reason not to serve. */
bool lifecycle_heard(struct lifecycle *l);

#endif
