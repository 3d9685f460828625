/* What still goes on with a container that the switch has left. */
#include <arpa/inet.h>

#include "agent/conntrack.h"
#include "agent/sockets.h"
#include "agent/switch.h"

/* More connections than one container has; beyond it the drain need not know the number. */
#define PEERS_MAX 1000000
/* UDP peers forgotten at once: each is a round trip to the kernel. */
#define UDP_PEERS_MAX 65536

/*
 * A connection as the container sees it: the other end's address and port, and its own port. The listener's own are
 * in conntrack and among the sockets of this host: they count once.
 */
struct peers {
	const struct switch_endpoint *endpoints;
	size_t n_endpoints;
	struct in6_addr address; /* the container's, as ::ffff:a.b.c.d */
	uint64_t *v;
	size_t n, room;
};

static void peers_clear(struct peers *p)
{
	free(p->v);
}

static bool published(const struct peers *p, uint16_t container_port)
{
	for (size_t i = 0; i < p->n_endpoints; i++)
		if (!p->endpoints[i].udp && p->endpoints[i].container_port == container_port)
			return true;
	return false;
}

static void add(struct peers *p, uint32_t client, uint16_t client_port, uint16_t port)
{
	if (p->n == PEERS_MAX)
		return;
	if (p->n == p->room) {
		p->room = p->room ? 2 * p->room : 256;
		p->v = xreallocarray(p->v, p->room, sizeof *p->v);
	}
	p->v[p->n++] = (uint64_t)client << 32 | (uint64_t)client_port << 16 | port;
}

static void take_flow(void *arg, const struct conntrack_flow *flow)
{
	struct peers *p = arg;

	if (flow->server.s_addr == p->address.s6_addr32[3] && conntrack_alive(flow) && published(p, flow->server_port))
		add(p, flow->client.s_addr, flow->client_port, flow->server_port);
}

static void take_socket(void *arg, const struct socket_line *line)
{
	struct peers *p = arg;
	bool alive = line->state == SOCKET_ESTABLISHED || line->state == SOCKET_SYN_SENT ||
		     line->state == SOCKET_FIN_WAIT1 || line->state == SOCKET_FIN_WAIT2 ||
		     line->state == SOCKET_CLOSE_WAIT;

	/* Without an inode nobody holds it any more: the kernel only waits for a late FIN. */
	if (alive && line->inode && IN6_ARE_ADDR_EQUAL(&line->remote, &p->address) && published(p, line->remote_port))
		add(p, line->local.s6_addr32[3], line->local_port, line->remote_port);
}

static int compare(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

static size_t count(struct peers *p)
{
	size_t n = 0;

	if (p->n)
		qsort(p->v, p->n, sizeof *p->v, compare);
	for (size_t i = 0; i < p->n; i++)
		n += !i || p->v[i] != p->v[i - 1];
	return n;
}

static int mapped_address(const char *text, struct in6_addr *out, struct err *err)
{
	struct in_addr v4;

	if (inet_pton(AF_INET, text, &v4) != 1)
		return err_set(err, ERR_FAILED, "\"%s\" is no IPv4 address", text);
	*out = (struct in6_addr){ .s6_addr = { [10] = 0xff, [11] = 0xff } };
	out->s6_addr32[3] = v4.s_addr;
	return 0;
}

int switch_connections(const struct switch_endpoint *endpoints, size_t n, const char *address, bool rewritten,
		       size_t *out, struct err *err)
{
	CLEANUP(peers_clear) struct peers p = { .endpoints = endpoints, .n_endpoints = n };
	struct err why;

	if (mapped_address(address, &p.address, err) < 0)
		return -1;
	if (conntrack_each(take_flow, &p, &why) < 0 &&
	    (rewritten || (why.kind != ERR_NOT_FOUND && why.kind != ERR_DENIED))) {
		*err = why;
		return -1;
	}
	if (sockets_each(take_socket, &p, err) < 0)
		return -1;
	*out = count(&p);
	return 0;
}

struct udp_peers {
	struct in_addr address;
	struct conntrack_flow *v;
	size_t n, room;
};

static void take_udp(void *arg, const struct conntrack_flow *flow)
{
	struct udp_peers *p = arg;

	if (flow->proto != IPPROTO_UDP || flow->server.s_addr != p->address.s_addr || p->n == UDP_PEERS_MAX)
		return;
	if (p->n == p->room) {
		p->room = p->room ? 2 * p->room : 64;
		p->v = xreallocarray(p->v, p->room, sizeof *p->v);
	}
	p->v[p->n++] = *flow;
}

int switch_forget_udp(const char *address, struct err *err)
{
	struct udp_peers p = { 0 };
	struct in6_addr mapped = IN6ADDR_ANY_INIT;
	int result = 0;

	if (mapped_address(address, &mapped, err) < 0)
		return -1;
	p.address.s_addr = mapped.s6_addr32[3];
	if (conntrack_each(take_udp, &p, err) < 0)
		result = err->kind == ERR_NOT_FOUND ? 0 : -1; /* a kernel that tracks nothing has nothing to forget */
	for (size_t i = 0; i < p.n && result == 0; i++)
		result = conntrack_delete(&p.v[i], err);
	free(p.v);
	return result;
}
