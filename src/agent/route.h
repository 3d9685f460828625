/*
 * Where the service's clients are led, from what containers are: one with the label io.berth.publish is reached
 * through the switch (switch.h), one without it publishes its ports through Docker.
 */
#ifndef BERTH_AGENT_ROUTE_H
#define BERTH_AGENT_ROUTE_H

#include "agent/deployment.h"
#include "agent/switch.h"

/* Opens d->table; listen: this process serves, and is the listener. */
int route_open(struct deployment *d, bool listen, struct err *err) MUST_CHECK;

bool route_is_switched(const struct container_state *s);

/* Why the switch cannot serve -p, into out; "" when it can. */
void route_problem(struct deployment *d, char out[256]);

/*
 * A TCP port of this host that the container publishes, where the create body publishes none of them; else 0. Ports
 * that Docker chooses do not count.
 */
uint16_t route_lost_port(const struct container_state *s, const struct json *body);

/* The published ports are free for the switch, or its own: see switch_check_free(). */
int route_check_free(struct deployment *d, struct err *err) MUST_CHECK;

/*
 * Clients reach that container (name or ID, running) from now on; established connections stay where they are. For one
 * that Docker publishes the switch goes, before that one is started, and this returns when its ports are free.
 */
int route_lead(struct deployment *d, const char *name, enum switch_busy busy, struct err *err) MUST_CHECK;
int route_leave(struct deployment *d, struct err *err) MUST_CHECK;

/* The container that the switch leads to: its ID, "" when there is no switch. No program is run. */
void route_target(struct deployment *d, char id[65]);

/* There is a switch, and no running `berth up` that listens and mends it. */
bool route_is_unminded(struct deployment *d);

/* Somebody accepts connections on each published TCP port of this host. */
bool route_is_open(const struct container_state *s);

/*
 * How many connections the container has: see switch_connections(). 1 where they cannot be counted (no address of its
 * own, a conntrack that cannot be read), which is warned of unless *told, and then *told is true.
 */
size_t route_connections(struct deployment *d, const struct container_state *s, bool *told);

/*
 * Waits until the container's connections are over, at most --drain-timeout, and then lets UDP peers go elsewhere.
 * *left: how many were not over. What cannot be counted is waited for.
 */
int route_drain(struct deployment *d, const struct container_state *old, size_t *left, struct err *err) MUST_CHECK;
/* The same, at most patience_ms too. */
int route_drain_within(struct deployment *d, const struct container_state *old, int64_t patience_ms, size_t *left,
		       struct err *err) MUST_CHECK;

/* NAME serves: leads to it what does not lead there. And every SWITCH_CHECK_MS what strangers have changed, logged. */
int route_settle(struct deployment *d, struct err *err) MUST_CHECK;
int route_check(struct deployment *d, struct err *err) MUST_CHECK;
/*
 * It runs, and is reached through a switch of which nothing is written, or what is no record:
 * for generation_find() to mend.
 */
bool route_is_lost(struct deployment *d, const struct container_state *s);

#endif
