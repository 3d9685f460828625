/*
 * The switch: which container the service's published addresses lead to. Two ways lead there and move together: rules
 * in the nat table for IPv4 clients from outside (nat.h), and the listener of `berth up` for everybody else: loopback,
 * IPv6, containers of this host, and all clients where there is no iptables (listener.h).
 *
 * RUN_DIR/switch/NAME.json is the truth: rewritten under NAME.lock beside it before anything follows it. Rules and
 * record vanish together at a reboot. The process that opened the table with `listen` follows every record, whoever
 * wrote it, from callbacks of its loop, and says so in NAME.listener beside it.
 */
#ifndef BERTH_AGENT_SWITCH_H
#define BERTH_AGENT_SWITCH_H

#include "engine/container.h"
#include "net/loop.h"

/* How long a move waits for the process that listens to follow. */
#define SWITCH_FOLLOW_MS 2000
/* How often `berth up` calls switch_check(). */
#define SWITCH_CHECK_MS 2000
/* Each is a rule and a socket; more are for --network host. */
#define SWITCH_ENDPOINTS_MAX 256

struct switch_table;

/* One published port. TCP goes both ways; UDP through nat only, so from outside only. */
struct switch_endpoint {
	char host_ip[46]; /* "": every address, both families; "0.0.0.0", "::" or one address */
	uint16_t host_port, container_port;
	bool udp;
};

/* Where it leads. */
struct switch_target {
	char container[65]; /* Docker's ID */
	char address[46];   /* its IPv4 address on a bridge of this host */
};

struct switch_settings {
	struct loop *loop;     /* borrowed */
	const char *run_dir;   /* as --run-dir; copied */
	const char *name;      /* the service's; copied */
	bool listen;           /* `berth up`: this process is the listener. One per name: ERR_CONFLICT */
};

/*
 * From -p as parsed, into an array that the caller frees. ERR_CONFIG, naming the port, for what a switch cannot serve
 * (SCTP, a host port that Docker picks, more than SWITCH_ENDPOINTS_MAX): such a service is redeployed by `recreate`.
 */
int switch_endpoints(const struct published_port *ports, size_t n, struct switch_endpoint **out, size_t *n_out,
		     struct err *err) MUST_CHECK;

/*
 * Opens the table; with `listen` also follows a record that is there (after a restart of berth), on sockets that
 * systemd kept where it did. A recorded port that is busy then does not fail this: switch_list() says it, and it
 * is tried again.
 */
int switch_open(const struct switch_settings *settings, struct switch_table **out, struct err *err) MUST_CHECK;
/* The rules and the record stay: the service goes on. Connections through the listener end. NULL is fine. */
void switch_close(struct switch_table *t);

/* What somebody else holds a port for. */
enum switch_busy {
	SWITCH_BUSY_FAILS, /* ERR_CONFLICT that names the holder; the switch is as it was */
	SWITCH_BUSY_WAITS  /* the rules move, the listener takes the port as soon as it is free (within 20 ms): for the
			      first move away from a container that Docker publishes itself */
};

/*
 * True (0) when no other process holds a TCP endpoint, so before any work is done; ERR_CONFLICT with the holder's name
 * and pid. Endpoints that the running listener has are free.
 */
int switch_check_free(struct switch_table *t, const struct switch_endpoint *endpoints, size_t n,
		      struct err *err) MUST_CHECK;

/*
 * Moves both ways to the target: new connections go there once this returns, established ones stay. Replaces the
 * endpoints too. Not from callbacks (it waits). Again with the same target: repairs. ERR_TIMEOUT: the rules moved,
 * but the running `berth up` does not follow; nothing may be stopped yet, calling again is right.
 * ERR_CONFLICT: see switch_busy. Other failures leave the switch where it was, except that after ERR_CANCELLED the
 * rules may lead to either: move again, after loop_uncancel(), before anything is stopped.
 */
int switch_move(struct switch_table *t, const struct switch_endpoint *endpoints, size_t n,
		const struct switch_target *target, enum switch_busy busy, struct err *err) MUST_CHECK;

/* Takes rules, record and listening sockets away; nothing there is success. Not from callbacks. */
int switch_remove(struct switch_table *t, struct err *err) MUST_CHECK;

/* Asks Docker: the address of a container by ID; "" when it does not run or is no more. */
typedef int switch_where_fn(void *arg, const char *container, char address[46], struct err *err);

/*
 * Compares with the record and mends: the recorded container is gone → its rules go and clients are refused; it has
 * another address → both ways follow; rules are missing or changed (iptables -F) → written again; a port that
 * was busy → tried. No record, or none that can be read: nothing to do here (route_is_lost()). *mended says what was
 * done, NULL when nothing; static. Every SWITCH_CHECK_MS, after a restart of the container or of dockerd, and first
 * thing of whoever starts. Not from callbacks.
 */
int switch_check(struct switch_table *t, switch_where_fn *where, void *arg, const char **mended,
		 struct err *err) MUST_CHECK;

/*
 * TCP connections to the container's published ports that are not over, from outside and through the listener: for the
 * drain. endpoints: as moved. rewritten: clients come by rules of iptables, so that only conntrack knows them, and one
 * that cannot be read is an error: ERR_NOT_FOUND (the kernel lists none), ERR_DENIED. Without, the sockets of this host
 * are all.
 */
int switch_connections(const struct switch_endpoint *endpoints, size_t n, const char *address, bool rewritten,
		       size_t *out, struct err *err) MUST_CHECK;

/* After the drain: conntrack forgets UDP peers of that address; their next packet goes where the switch leads. */
int switch_forget_udp(const char *address, struct err *err) MUST_CHECK;

enum switch_nat {
	SWITCH_NAT_NONE,    /* no iptables that Docker uses: the listener serves everybody */
	SWITCH_NAT_LEADS,   /* to where the record says */
	SWITCH_NAT_ASTRAY,  /* rules are missing or others; `berth up` mends them within SWITCH_CHECK_MS */
	SWITCH_NAT_UNKNOWN, /* iptables does not answer us (not root) */
	SWITCH_NATS
};
const char *switch_nat_name(enum switch_nat nat); /* "none", "leads", …; static */

/* For `berth status` and for recovery. */
struct switch_state {
	bool exists;                 /* false: no switch here; the rest is empty */
	struct switch_target target; /* address "": the container does not run */
	int64_t moved_ms;            /* wall clock, of the last move to another container */
	struct switch_endpoint *endpoints;
	size_t n;
	enum switch_nat nat;
	char chain[32];              /* for `iptables -t nat -nvL CHAIN`; "" none */
	char flavour[32];            /* "iptables-nft", "iptables-legacy" or "iptables"; "" none */
	bool listening;              /* a running `berth up` serves loopback, IPv6 and this host's containers */
	char listen_problem[512];    /* why some endpoint is not listened on; "" none */
};
/*
 * Takes no lock. look_at_rules false: the record only (nat is SWITCH_NAT_UNKNOWN), which runs no program and waits for
 * nothing.
 */
int switch_list(struct loop *loop, const char *run_dir, const char *name, bool look_at_rules, struct switch_state *out,
		struct err *err) MUST_CHECK;
void switch_state_clear(struct switch_state *s);

#endif
