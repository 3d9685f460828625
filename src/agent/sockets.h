/* What the kernel says of TCP sockets of this host (proc(5), /proc/net/tcp and tcp6): who listens, who is connected. */
#ifndef BERTH_AGENT_SOCKETS_H
#define BERTH_AGENT_SOCKETS_H

#include <netinet/in.h>

#include "base/err.h"

/* IPv4 addresses as ::ffff:a.b.c.d, so that there is one form. */
struct socket_line {
	struct in6_addr local, remote;
	uint16_t local_port, remote_port;
	unsigned int state; /* include/net/tcp_states.h: 1 established … 10 listen */
	uint64_t inode;
};

#define SOCKET_ESTABLISHED 1
#define SOCKET_SYN_SENT 2
#define SOCKET_FIN_WAIT1 4
#define SOCKET_FIN_WAIT2 5
#define SOCKET_CLOSE_WAIT 8
#define SOCKET_LISTEN 10

/* One line of either file; false for its heading and what is no such line. Pure. */
bool socket_line_parse(const char *line, struct socket_line *out);

typedef void socket_line_fn(void *arg, const struct socket_line *line);
/* Every socket of both files; a kernel without IPv6 has one. */
int sockets_each(socket_line_fn *fn, void *arg, struct err *err) MUST_CHECK;

/*
 * Who listens where a socket on address:port would (any address of its family stands in the way of each): "NAME (pid
 * 123)", or "another process" when that cannot be seen; false when nobody does. `address` may be unspecified.
 */
bool sockets_holder(const struct in6_addr *address, uint16_t port, char *out, size_t size);

#endif
