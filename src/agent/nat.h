/*
 * A chain of the service's own in iptables, for IPv4 clients from outside: in the nat table it rewrites the host's
 * published addresses to the container's, jumped to from PREROUTING before Docker's rules; in the filter table, at
 * the end of FORWARD, it lets those packets through. Docker itself does that for a port published on any address,
 * loopback included (28 and later drop only packets that name the container's address on the wire), so
 * the filter part matters after an `iptables -F`, which leaves Docker's policy DROP. It is the last rule: what
 * DOCKER-USER or the host's own rules drop stays dropped.
 */
#ifndef BERTH_AGENT_NAT_H
#define BERTH_AGENT_NAT_H

#include "base/buf.h"
#include "base/mem.h"
#include "net/loop.h"

/* XT_EXTENSION_MAXNAMELEN is 29, with the NUL. */
#define NAT_CHAIN_SIZE 29
/* IFNAMSIZ */
#define NAT_INTERFACE_SIZE 16

struct nat_rule {
	char address[16]; /* of the host, IPv4; "": any local one */
	uint16_t port, to_port;
	bool udp;
};

/* What shall be. Without rules: no chain. */
struct nat_plan {
	char chain[NAT_CHAIN_SIZE];
	/* the container's; what comes from it or another of Docker's is not rewritten */
	char bridge[NAT_INTERFACE_SIZE];
	char to[16];                     /* the container's address */
	struct nat_rule *rules;          /* borrowed */
	size_t n;
};

/* One table's part of what iptables-save says: lines as they stand there. */
struct nat_table {
	bool exists;         /* our chain */
	struct strv jumps;   /* to it */
	struct strv rules;   /* in it */
	bool behind_docker;  /* a jump to DOCKER comes before ours */
};

/* What is. */
struct nat_seen {
	bool docker; /* Docker's chain is in the nat table */
	struct nat_table nat, filter;
};
void nat_seen_clear(struct nat_seen *s);

/* "BERTH-" and the name; long names are cut and told apart by a hash. Pure. */
void nat_chain(const char *name, char out[NAT_CHAIN_SIZE]);

/* From the text of iptables-save. Pure. *out is zero or cleared before. */
void nat_parse(const char *text, const char *chain, struct nat_seen *out);

/* True when everything is as planned. Pure. */
bool nat_right(const struct nat_plan *plan, const struct nat_seen *seen);

/* The input of iptables-restore that makes it so; empty when nat_right(). Pure. ERR_LIMIT. */
int nat_render(const struct nat_plan *plan, const struct nat_seen *seen, struct buf *out, struct err *err) MUST_CHECK;

/* The interface whose subnet the IPv4 address is in, the narrowest where several are; ERR_NOT_FOUND. */
int nat_bridge(const char *address, char out[NAT_INTERFACE_SIZE], struct err *err) MUST_CHECK;

/*
 * Reads by FLAVOUR-save. flavour "": finds the one that has Docker's chains and says which; it stays "" when there is
 * none. Waits on the loop. ERR_NOT_FOUND, ERR_FAILED, ERR_TIMEOUT: a flavour that was given does not answer.
 */
int nat_read(struct loop *loop, char flavour[32], const char *chain, struct nat_seen *out, struct err *err) MUST_CHECK;

/*
 * Reads, writes by one FLAVOUR-restore (each table at once or not at all), reads back. Nothing to do without a flavour.
 * *changed: something was written. Waits on the loop.
 */
int nat_apply(struct loop *loop, char flavour[32], const struct nat_plan *plan, bool *changed,
	      struct err *err) MUST_CHECK;

#endif
