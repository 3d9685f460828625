#include "agent/switch.h"

#include <arpa/inet.h>
#include <unistd.h>

#include "agent/listener.h"
#include "agent/nat.h"
#include "agent/switch_follow.h"
#include "agent/switch_internal.h"
#include "base/clock.h"
#include "base/fs.h"

/* Whoever has the lock runs iptables, which may wait for its own lock. */
#define LOCK_PATIENCE_MS 30000
#define LOCK_STEP_MS 10
#define FOLLOW_STEP_MS 5
/* On a host where Docker has no iptables it is seldom looked for again. */
#define LOOK_AGAIN_MS 60000

struct switch_table {
	struct loop *loop;
	char *name;
	struct switch_paths paths;
	struct switch_follow *follow; /* NULL: this process does not listen */
	int64_t look_again_ms;
};

int switch_endpoints(const struct published_port *ports, size_t n, struct switch_endpoint **out, size_t *n_out,
		     struct err *err)
{
	CLEANUP(freep) struct switch_endpoint *list = xcalloc(n + 1, sizeof *list);

	if (n > SWITCH_ENDPOINTS_MAX)
		return err_set(err, ERR_CONFIG, "%zu published ports: the switch serves %d", n, SWITCH_ENDPOINTS_MAX);
	for (size_t i = 0; i < n; i++) {
		const struct published_port *p = &ports[i];
		if (!streq(p->proto, "tcp") && !streq(p->proto, "udp"))
			return err_set(err, ERR_CONFIG, "port %u/%s: the switch serves tcp and udp", p->container_port,
				       p->proto);
		if (!p->host_port || p->host_port_end > p->host_port)
			return err_set(err, ERR_CONFIG, "port %u: Docker is to choose its host port",
				       p->container_port);
		list[i] = (struct switch_endpoint){ .host_port = p->host_port,
						    .container_port = p->container_port,
						    .udp = streq(p->proto, "udp") };
		memcpy(list[i].host_ip, p->host_ip, sizeof list[i].host_ip);
	}
	*out = STEAL(list);
	*n_out = n;
	return 0;
}

int switch_open(const struct switch_settings *settings, struct switch_table **out, struct err *err)
{
	struct switch_table *t = xcalloc(1, sizeof *t);

	t->loop = settings->loop;
	t->name = xstrdup(settings->name);
	switch_paths_make(settings->run_dir, settings->name, &t->paths);
	if (fs_mkdirs(t->paths.directory, err) < 0 ||
	    (settings->listen && switch_follow_start(settings->loop, &t->paths, &t->follow, err) < 0)) {
		switch_close(t);
		return err_wrap(err, "the switch");
	}
	*out = t;
	return 0;
}

void switch_close(struct switch_table *t)
{
	if (!t)
		return;
	switch_follow_stop(t->follow);
	switch_paths_clear(&t->paths);
	free(t->name);
	free(t);
}

/* fs_lock() waits without the loop, on which the listener's clients are. */
static int lock(struct switch_table *t, int *fd, struct err *err)
{
	int64_t deadline_ms = clock_mono_ms() + LOCK_PATIENCE_MS;

	while (fs_lock(t->paths.lock, 0, fd, err) < 0) {
		if (err->kind != ERR_CONFLICT || clock_mono_ms() >= deadline_ms)
			return err_wrap(err, "the switch");
		if (loop_sleep(t->loop, LOCK_STEP_MS, err) < 0)
			return -1;
	}
	return 0;
}

/* A record that cannot be read is as none: it is written anew. */
static bool read_record(struct switch_table *t, struct switch_record *out)
{
	struct err ignored;

	return switch_record_read(t->paths.record, out, &ignored) == 0;
}

static bool recorded(const struct switch_record *r, const struct switch_endpoint *e)
{
	for (size_t i = 0; i < r->n; i++)
		if (!r->endpoints[i].udp && r->endpoints[i].host_port == e->host_port &&
		    streq(r->endpoints[i].host_ip, e->host_ip))
			return true;
	return false;
}

static int check_free(struct switch_table *t, const struct switch_record *old, const struct switch_endpoint *endpoints,
		      size_t n, struct err *err)
{
	bool listening = t->follow || fs_locked(t->paths.follower_lock);

	for (size_t i = 0; i < n; i++) {
		CLEANUP(closep) int fd = -1;
		if (endpoints[i].udp || (listening && recorded(old, &endpoints[i])))
			continue;
		if (listener_open(&endpoints[i], &fd, err) < 0)
			return -1;
	}
	return 0;
}

int switch_check_free(struct switch_table *t, const struct switch_endpoint *endpoints, size_t n, struct err *err)
{
	CLEANUP(switch_record_clear) struct switch_record old = { 0 };

	(void)read_record(t, &old);
	return check_free(t, &old, endpoints, n, err);
}

static int find_flavour(struct switch_table *t, struct switch_record *r, struct err *err)
{
	CLEANUP(nat_seen_clear) struct nat_seen seen = { 0 };
	char chain[NAT_CHAIN_SIZE];

	if (*r->flavour || clock_mono_ms() < t->look_again_ms)
		return 0;
	t->look_again_ms = clock_mono_ms() + LOOK_AGAIN_MS;
	nat_chain(t->name, chain);
	return nat_read(t->loop, r->flavour, chain, &seen, err);
}

static int apply(struct switch_table *t, struct switch_record *r, bool *changed, struct err *err)
{
	struct nat_plan plan;

	*changed = false;
	if (!*r->flavour)
		return 0;
	switch_plan(t->name, r, &plan);
	int result = nat_apply(t->loop, r->flavour, &plan, changed, err);
	free(plan.rules);
	return result;
}

/* Record first: whoever finds the two apart after a death makes the rules follow. */
static int write_and_apply(struct switch_table *t, const struct switch_record *old, struct switch_record *r,
			   struct err *err)
{
	struct err ignored;
	bool changed;

	r->serial = clock_mono_us();
	if (r->serial <= old->serial)
		r->serial = old->serial + 1;
	if (switch_record_write(t->paths.record, r, err) < 0)
		return -1;
	if (apply(t, r, &changed, err) == 0)
		return 0;
	/* Each table is written at once or not at all, so the old record is still true. */
	if (!old->serial)
		(void)unlink(t->paths.record);
	else if (switch_record_write(t->paths.record, old, &ignored) < 0)
		(void)err_wrap(err, "(%s)", ignored.msg);
	return -1;
}

static int check_arguments(const struct switch_endpoint *endpoints, size_t n, const struct switch_target *target,
			   const struct switch_record *r, struct err *err)
{
	struct in_addr scratch;

	if (n > SWITCH_ENDPOINTS_MAX)
		return err_set(err, ERR_CONFIG, "%zu published ports: the switch serves %d", n, SWITCH_ENDPOINTS_MAX);
	if (inet_pton(AF_INET, target->address, &scratch) != 1)
		return err_set(err, ERR_FAILED, "container %.12s has no IPv4 address", target->container);
	for (size_t i = 0; i < n && !*r->flavour; i++)
		if (endpoints[i].udp)
			return err_set(err, ERR_CONFIG,
				       "UDP port %u: only iptables moves it, and Docker uses none here",
				       endpoints[i].host_port);
	return 0;
}

/* The part of a move that the lock covers. *serial: of the record written. */
static int move(struct switch_table *t, const struct switch_endpoint *endpoints, size_t n,
		const struct switch_target *target, enum switch_busy busy, int64_t *serial, struct err *err)
{
	CLEANUP(switch_record_clear) struct switch_record old = { 0 }, r = { 0 };
	CLEANUP(closep) int fd = -1;

	if (lock(t, &fd, err) < 0)
		return -1;
	(void)read_record(t, &old);
	memcpy(r.flavour, old.flavour, sizeof r.flavour);
	t->look_again_ms = 0;
	if (find_flavour(t, &r, err) < 0 || check_arguments(endpoints, n, target, &r, err) < 0 ||
	    (busy == SWITCH_BUSY_FAILS && check_free(t, &old, endpoints, n, err) < 0))
		return -1;
	r.target = *target;
	r.moved_ms = streq(old.target.container, target->container) ? old.moved_ms : clock_wall_ms();
	r.n = n;
	r.endpoints = xcalloc(n + 1, sizeof *r.endpoints);
	memcpy(r.endpoints, endpoints, n * sizeof *endpoints);
	if (write_and_apply(t, &old, &r, err) < 0)
		return -1;
	*serial = r.serial;
	return 0;
}

static int wait_for_follower(struct switch_table *t, int64_t serial, struct err *err)
{
	int64_t deadline_ms = clock_mono_ms() + SWITCH_FOLLOW_MS;
	struct switch_follower f = { 0 };
	struct err ignored;

	while (fs_locked(t->paths.follower_lock)) {
		if (switch_follower_read(t->paths.follower, &f, &ignored) == 0 && f.serial >= serial)
			return 0;
		if (clock_mono_ms() >= deadline_ms)
			return err_set(err, ERR_TIMEOUT, "the running `berth up` does not follow the switch");
		if (loop_sleep(t->loop, FOLLOW_STEP_MS, err) < 0)
			return -1;
	}
	return 0; /* nobody listens: there is nobody to wait for */
}

int switch_move(struct switch_table *t, const struct switch_endpoint *endpoints, size_t n,
		const struct switch_target *target, enum switch_busy busy, struct err *err)
{
	int64_t serial;

	if (move(t, endpoints, n, target, busy, &serial, err) < 0)
		return err_wrap(err, "move the switch");
	if (!t->follow)
		return wait_for_follower(t, serial, err);
	switch_follow_now(t->follow);
	return 0;
}

int switch_remove(struct switch_table *t, struct err *err)
{
	CLEANUP(switch_record_clear) struct switch_record old = { 0 }, none = { 0 };
	CLEANUP(closep) int fd = -1;
	bool changed;

	if (lock(t, &fd, err) < 0)
		return -1;
	t->look_again_ms = 0;
	(void)read_record(t, &old);
	memcpy(none.flavour, old.flavour, sizeof none.flavour);
	if (find_flavour(t, &none, err) < 0 || apply(t, &none, &changed, err) < 0)
		return err_wrap(err, "remove the switch");
	(void)unlink(t->paths.record); /* mostly there; the directory is ours */
	if (!t->follow)
		return 0; /* the other process sees it */
	switch_follow_now(t->follow);
	return 0;
}

/* Under the lock, when the record is still the one that was asked about. */
static int mend(struct switch_table *t, const struct switch_record *old, const char *address, const char **mended,
		struct err *err)
{
	CLEANUP(switch_record_clear) struct switch_record r = { 0 };
	bool changed = false;

	if (!read_record(t, &r) || r.serial != old->serial)
		return 0; /* somebody moved it meanwhile, and what was asked is about another container */
	if (find_flavour(t, &r, err) < 0)
		return -1;
	if (!streq(r.target.address, address) || !streq(r.flavour, old->flavour)) {
		*mended = streq(r.target.address, address) ? "iptables is there now"
			  : *address			   ? "the container has another address"
							   : "the container does not run";
		(void)snprintf(r.target.address, sizeof r.target.address, "%s", address);
		return write_and_apply(t, old, &r, err);
	}
	if (apply(t, &r, &changed, err) < 0)
		return -1;
	if (changed)
		*mended = "the rules were missing or changed";
	return 0;
}

int switch_check(struct switch_table *t, switch_where_fn *where, void *arg, const char **mended, struct err *err)
{
	CLEANUP(switch_record_clear) struct switch_record r = { 0 };
	CLEANUP(closep) int fd = -1;
	char address[46] = "";

	*mended = NULL;
	if (!read_record(t, &r))
		return 0;
	if (where(arg, r.target.container, address, err) < 0 || lock(t, &fd, err) < 0)
		return -1;
	if (mend(t, &r, address, mended, err) < 0)
		return err_wrap(err, "mend the switch");
	if (t->follow)
		switch_follow_now(t->follow);
	return 0;
}
