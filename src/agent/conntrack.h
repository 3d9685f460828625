/*
 * The kernel's table of tracked connections, over netlink (linux/netfilter/nfnetlink_conntrack.h): entries are counted
 * and deleted. Not /proc/net/nf_conntrack: many kernels are built without it, and it deletes nothing.
 */
#ifndef BERTH_AGENT_CONNTRACK_H
#define BERTH_AGENT_CONNTRACK_H

#include <netinet/in.h>

#include "base/err.h"

/* More than a host has; beyond it a dump ends early. */
#define CONNTRACK_FLOWS_MAX 1000000
/* CTA_TUPLE_ORIG of an IPv4 flow takes 48 bytes. */
#define CONNTRACK_TUPLE_MAX 128

struct conntrack_flow {
	uint8_t proto;     /* IPPROTO_TCP, IPPROTO_UDP, … */
	uint8_t tcp_state; /* linux/netfilter/nf_conntrack_tcp.h; 0: no TCP */
	/* As the answering side sees it, behind all rewriting. */
	struct in_addr server, client;
	uint16_t server_port, client_port;
	/* The original tuple's attribute as it came: what deletes the entry. */
	uint8_t original[CONNTRACK_TUPLE_MAX];
	size_t original_len;
};

/* True while the connection carries data or soon may: from the SYN to the second FIN. Pure. */
bool conntrack_alive(const struct conntrack_flow *flow);

/* The attributes of one entry, behind the nfgenmsg; false when it lacks one or is malformed. Pure. */
bool conntrack_parse(const void *attributes, size_t len, struct conntrack_flow *out);

typedef void conntrack_fn(void *arg, const struct conntrack_flow *flow);
/* Every IPv4 entry. ERR_NOT_FOUND: this kernel tracks nothing; ERR_DENIED; ERR_SYSTEM. Some ms for 10,000. */
int conntrack_each(conntrack_fn *fn, void *arg, struct err *err) MUST_CHECK;

/* Already gone is success. */
int conntrack_delete(const struct conntrack_flow *flow, struct err *err) MUST_CHECK;

#endif
