/* The switch as `berth status` and recovery see it. */
#include "agent/nat.h"
#include "agent/switch.h"
#include "agent/switch_internal.h"
#include "base/fs.h"

const char *switch_nat_name(enum switch_nat nat)
{
	static const char *const names[SWITCH_NATS] = { "none", "leads", "astray", "unknown" };

	return names[nat];
}

static enum switch_nat look(struct loop *loop, const char *name, const struct switch_record *r)
{
	CLEANUP(nat_seen_clear) struct nat_seen seen = { 0 };
	struct nat_plan plan;
	char flavour[32];
	struct err ignored;
	enum switch_nat nat = SWITCH_NAT_UNKNOWN;

	memcpy(flavour, r->flavour, sizeof flavour);
	switch_plan(name, r, &plan);
	if (nat_read(loop, flavour, plan.chain, &seen, &ignored) == 0)
		nat = !*flavour ? SWITCH_NAT_NONE : nat_right(&plan, &seen) ? SWITCH_NAT_LEADS : SWITCH_NAT_ASTRAY;
	free(plan.rules);
	return nat;
}

static void look_at_listener(const struct switch_paths *paths, struct switch_state *s)
{
	struct switch_follower f = { 0 };
	struct err ignored;

	s->listening = fs_locked(paths->follower_lock);
	if (s->listening && switch_follower_read(paths->follower, &f, &ignored) == 0)
		memcpy(s->listen_problem, f.problem, sizeof f.problem);
}

int switch_list(struct loop *loop, const char *run_dir, const char *name, bool look_at_rules, struct switch_state *out,
		struct err *err)
{
	CLEANUP(switch_paths_clear) struct switch_paths paths = { 0 };
	struct switch_record r = { 0 };

	switch_paths_make(run_dir, name, &paths);
	if (switch_record_read(paths.record, &r, err) < 0) {
		if (err->kind != ERR_NOT_FOUND)
			return -1;
		*out = (struct switch_state){ .nat = SWITCH_NAT_UNKNOWN };
		return 0;
	}
	*out = (struct switch_state){
		.exists = true, .target = r.target, .moved_ms = r.moved_ms, .endpoints = r.endpoints, .n = r.n
	};
	out->nat = look_at_rules ? look(loop, name, &r) : SWITCH_NAT_UNKNOWN;
	memcpy(out->flavour, r.flavour, sizeof out->flavour);
	if (*r.flavour)
		nat_chain(name, out->chain);
	look_at_listener(&paths, out);
	return 0;
}

void switch_state_clear(struct switch_state *s)
{
	free(s->endpoints);
	*s = (struct switch_state){ 0 };
}
