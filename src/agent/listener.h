/*
 * The switch's second way: sockets on the published TCP addresses that lead to the container, for clients whom the
 * rules in nat do not cover. A connection leads to where the listener led when it was accepted, to its end.
 */
#ifndef BERTH_AGENT_LISTENER_H
#define BERTH_AGENT_LISTENER_H

#include "agent/switch.h"

struct listener;

/* Raises this process's limit of open files to what RELAYS_MAX connections take, or takes as many as that allows. */
struct listener *listener_new(struct loop *loop);
void listener_free(struct listener *l); /* NULL is fine; what systemd keeps stays there */

/*
 * From now on listens on the endpoints' addresses (UDP ones aside) and leads to address ("": nobody, clients are
 * reset). What cannot be listened on is tried again, at first every 20 ms: see listener_problem(). Addresses that are
 * not among them any more are left, systemd's copies of their sockets too. Fine in callbacks.
 */
void listener_set(struct listener *l, const struct switch_endpoint *endpoints, size_t n, const char *address);

/* Why some address is not listened on, naming who holds it; "" none. */
const char *listener_problem(const struct listener *l);

/* A socket as the listener opens them. ERR_CONFLICT with the holder's name; ERR_CONFIG: no address of this host. */
int listener_open(const struct switch_endpoint *endpoint, int *out, struct err *err) MUST_CHECK;

#endif
