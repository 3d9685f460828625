/*
 * Connections of the listener: each joins a client to the container with splice(2), so that no byte passes through
 * berth's memory. Either side may close its half while the other goes on. All on the loop.
 */
#ifndef BERTH_AGENT_RELAY_H
#define BERTH_AGENT_RELAY_H

#include <netinet/in.h>

#include "net/loop.h"

/* More than an app on one instance holds; beyond it clients wait in the backlog. */
#define RELAYS_MAX 4096
/* Of one connection: two sockets, and two pipes while bytes are on their way. */
#define RELAY_DESCRIPTORS 6

struct relays;

/* Where connections lead now, for one that is refused just as the switch moved. False: nowhere. */
typedef bool relay_target_fn(void *arg, uint16_t to_port, struct sockaddr_in *out);
/* A connection ended: there is room again. */
typedef void relay_room_fn(void *arg);

struct relays *relays_new(struct loop *loop, relay_target_fn *target, relay_room_fn *room, void *arg);
void relays_free(struct relays *r); /* ends all connections; NULL is fine */

size_t relays_count(const struct relays *r);

/*
 * Takes the client's socket (nonblocking) and dials the target's to_port; when that fails, the client is reset, as the
 * kernel would have refused it.
 */
void relay_start(struct relays *r, int client_fd, uint16_t to_port);

#endif
