/* How one container takes another's place: both beside each other, or one after the other. Pure. */
#ifndef BERTH_AGENT_STRATEGY_H
#define BERTH_AGENT_STRATEGY_H

#include "base/json.h"

enum strategy { STRATEGY_BLUE_GREEN, STRATEGY_RECREATE };
const char *strategy_name(enum strategy s); /* "blue-green", "recreate" */

struct strategy_facts {
	const struct json *body;     /* the create body, as asked for */
	const char *asked;           /* --strategy, or NULL */
	const char *network_driver;  /* of the network it names, "" for Docker's own */
	const char *switch_problem;  /* why the switch cannot serve its ports, or NULL */
	bool podman;
};

#define STRATEGY_REASON_SIZE 320

/*
 * blue-green, unless that cannot be (host network, no published TCP port …), must not be unless it is asked for (a
 * writable volume: two containers on one database; GPUs), or recreate was asked for. *out, and why in one line: "" for
 * blue-green. ERR_USAGE: blue-green was asked for and cannot be.
 */
int strategy_choose(const struct strategy_facts *f, enum strategy *out, char reason[STRATEGY_REASON_SIZE],
		    struct err *err) MUST_CHECK;

#endif
