/* The text of iptables-save, and what iptables-restore is told. */
#include "agent/nat.h"

#include "base/hash.h"

#define CHAIN_PREFIX "BERTH-"
#define HASH_DIGITS 8
#define JUMP_MATCH "! -d 127.0.0.0/8 -m addrtype --dst-type LOCAL"
#define DNATED "-m conntrack --ctstate DNAT"

/*
 * Clients on any bridge of Docker's go to the listener: rewritten, their packets would be dropped between two bridges,
 * and on one bridge they would be answered by the container directly, past the rewriting.
 */
static const char *const docker_bridges[] = { "docker0", "br-+" };

static void table_clear(struct nat_table *t)
{
	strv_free(&t->jumps);
	strv_free(&t->rules);
	*t = (struct nat_table){ 0 };
}

void nat_seen_clear(struct nat_seen *s)
{
	table_clear(&s->nat);
	table_clear(&s->filter);
	s->docker = false;
}

void nat_chain(const char *name, char out[NAT_CHAIN_SIZE])
{
	const size_t room = NAT_CHAIN_SIZE - sizeof CHAIN_PREFIX;
	char hex[SHA256_HEX_SIZE];

	if (strlen(name) <= room) {
		(void)snprintf(out, NAT_CHAIN_SIZE, CHAIN_PREFIX "%s", name);
		return;
	}
	sha256_hex_of(name, strlen(name), hex);
	(void)snprintf(out, NAT_CHAIN_SIZE, CHAIN_PREFIX "%.*s-%.*s", (int)(room - HASH_DIGITS - 1), name, HASH_DIGITS,
		       hex);
}

/* The rest of a line "-A CHAIN …", or NULL. */
static const char *rule_of(const char *line, const char *chain)
{
	const char *rest = skip_prefix(line, "-A ");

	rest = rest ? skip_prefix(rest, chain) : NULL;
	return rest && *rest == ' ' ? rest + 1 : NULL;
}

static bool jumps_to(const char *rule, const char *chain)
{
	for (const char *at = rule; (at = strstr(at, "-j ")); at++) {
		const char *rest = at == rule || at[-1] == ' ' ? skip_prefix(at + 3, chain) : NULL;
		if (rest && (*rest == '\0' || *rest == ' '))
			return true;
	}
	return false;
}

static bool declares(const char *line, const char *chain)
{
	const char *rest = *line == ':' ? skip_prefix(line + 1, chain) : NULL;

	return rest && *rest == ' ';
}

static void parse_line(struct nat_table *t, const char *hook, const char *chain, const char *line)
{
	const char *rule = rule_of(line, hook);

	if (declares(line, chain))
		t->exists = true;
	else if (rule && jumps_to(rule, chain))
		strv_add(&t->jumps, rule);
	else if (rule && !t->jumps.n && jumps_to(rule, "DOCKER"))
		t->behind_docker = true;
	else if ((rule = rule_of(line, chain)))
		strv_add(&t->rules, rule);
}

void nat_parse(const char *text, const char *chain, struct nat_seen *out)
{
	enum { OTHER, NAT, FILTER } in = OTHER;

	nat_seen_clear(out);
	for (const char *end; *text; text = *end ? end + 1 : end) {
		end = text + strcspn(text, "\n");
		CLEANUP(freep) char *line = xstrndup(text, (size_t)(end - text));
		if (*line == '*')
			in = streq(line, "*nat") ? NAT : streq(line, "*filter") ? FILTER : OTHER;
		else if (in == NAT)
			parse_line(&out->nat, "PREROUTING", chain, line);
		else if (in == FILTER)
			parse_line(&out->filter, "FORWARD", chain, line);
		if (in == NAT && declares(line, "DOCKER"))
			out->docker = true;
	}
}

/*
 * As iptables-save prints it, except that versions differ in whether they name the implied "-m tcp": both sides are
 * compared without.
 */
static void plain(const char *rule, struct strv *out)
{
	CLEANUP(freep) char *copy = xstrdup(rule);
	char *save = NULL;

	for (char *word = strtok_r(copy, " ", &save); word; word = strtok_r(NULL, " ", &save)) {
		if (out->n && streq(out->v[out->n - 1], "-m")) {
			free(out->v[--out->n]);
			out->v[out->n] = NULL;
			continue;
		}
		strv_add(out, word);
	}
}

static bool same_rule(const char *a, const char *b)
{
	CLEANUP(strv_free) struct strv left = { 0 }, right = { 0 };

	plain(a, &left);
	plain(b, &right);
	if (left.n != right.n)
		return false;
	for (size_t i = 0; i < left.n; i++)
		if (!streq(left.v[i], right.v[i]))
			return false;
	return true;
}

static bool same_rules(const struct strv *a, const struct strv *b)
{
	if (a->n != b->n)
		return false;
	for (size_t i = 0; i < a->n; i++)
		if (!same_rule(a->v[i], b->v[i]))
			return false;
	return true;
}

/* What the two tables shall hold. */
struct wanted {
	const char *table, *hook, *insert; /* how the jump gets its place */
	struct strv jump, rules;
};

static void nat_wanted(const struct nat_plan *plan, struct wanted *w)
{
	bool known = false;

	*w = (struct wanted){ .table = "nat", .hook = "PREROUTING", .insert = "-I PREROUTING 1" };
	strv_take(&w->jump, xasprintf(JUMP_MATCH " -j %s", plan->chain));
	for (size_t i = 0; i < ARRAY_LEN(docker_bridges); i++) {
		const char *bridge = docker_bridges[i];
		size_t len = strcspn(bridge, "+");
		known = known || (bridge[len] ? strncmp(plan->bridge, bridge, len) == 0 : streq(plan->bridge, bridge));
		strv_take(&w->rules, xasprintf("-i %s -j RETURN", bridge));
	}
	if (!known)
		strv_take(&w->rules, xasprintf("-i %s -j RETURN", plan->bridge));
	for (size_t i = 0; i < plan->n; i++) {
		const struct nat_rule *r = &plan->rules[i];
		const char *proto = r->udp ? "udp" : "tcp";
		strv_take(&w->rules, xasprintf("%s%s%s-p %s -m %s --dport %u -j DNAT --to-destination %s:%u",
					       *r->address ? "-d " : "", r->address, *r->address ? "/32 " : "", proto,
					       proto, r->port, plan->to, r->to_port));
	}
}

static void filter_wanted(const struct nat_plan *plan, struct wanted *w)
{
	*w = (struct wanted){ .table = "filter", .hook = "FORWARD", .insert = "-A FORWARD" };
	strv_take(&w->jump, xasprintf("-j %s", plan->chain));
	strv_take(&w->rules, xasprintf("-i %s " DNATED " -j ACCEPT", plan->bridge));
	strv_take(&w->rules, xasprintf("-o %s " DNATED " -j ACCEPT", plan->bridge));
}

static void wanted_clear(struct wanted *w)
{
	strv_free(&w->jump);
	strv_free(&w->rules);
}

static bool jump_right(const struct wanted *w, const struct nat_table *seen)
{
	return same_rules(&w->jump, &seen->jumps) && !(seen->behind_docker && streq(w->table, "nat"));
}

static bool table_right(const struct wanted *w, const struct nat_table *seen)
{
	return seen->exists && jump_right(w, seen) && same_rules(&w->rules, &seen->rules);
}

static bool table_empty(const struct nat_table *seen)
{
	return !seen->exists && !seen->jumps.n;
}

bool nat_right(const struct nat_plan *plan, const struct nat_seen *seen)
{
	CLEANUP(wanted_clear) struct wanted nat = { 0 }, filter = { 0 };

	if (!plan->n)
		return table_empty(&seen->nat) && table_empty(&seen->filter);
	nat_wanted(plan, &nat);
	filter_wanted(plan, &filter);
	return table_right(&nat, &seen->nat) && table_right(&filter, &seen->filter);
}

/* Declaring a chain that exists empties it: iptables-restore(8), --noflush. */
static int render_table(const struct wanted *w, const struct nat_table *seen, const char *chain, struct buf *out,
			struct err *err)
{
	if (buf_printf(out, err, "*%s\n:%s - [0:0]\n", w->table, chain) < 0)
		return -1;
	if (!jump_right(w, seen)) {
		for (size_t i = 0; i < seen->jumps.n; i++)
			if (buf_printf(out, err, "-D %s %s\n", w->hook, seen->jumps.v[i]) < 0)
				return -1;
		for (size_t i = 0; i < w->jump.n; i++)
			if (buf_printf(out, err, "%s %s\n", w->insert, w->jump.v[i]) < 0)
				return -1;
	}
	for (size_t i = 0; i < w->rules.n; i++)
		if (buf_printf(out, err, "-A %s %s\n", chain, w->rules.v[i]) < 0)
			return -1;
	return buf_printf(out, err, "%s%s%sCOMMIT\n", w->jump.n ? "" : "-X ", w->jump.n ? "" : chain,
			  w->jump.n ? "" : "\n");
}

int nat_render(const struct nat_plan *plan, const struct nat_seen *seen, struct buf *out, struct err *err)
{
	CLEANUP(wanted_clear) struct wanted nat = { .table = "nat", .hook = "PREROUTING" };
	CLEANUP(wanted_clear) struct wanted filter = { .table = "filter", .hook = "FORWARD" };
	bool nat_done, filter_done;

	if (plan->n) {
		nat_wanted(plan, &nat);
		filter_wanted(plan, &filter);
		nat_done = table_right(&nat, &seen->nat);
		filter_done = table_right(&filter, &seen->filter);
	} else {
		nat_done = table_empty(&seen->nat);
		filter_done = table_empty(&seen->filter);
	}
	/* The way is open before anybody is sent on it. */
	if (!filter_done && render_table(&filter, &seen->filter, plan->chain, out, err) < 0)
		return -1;
	return nat_done ? 0 : render_table(&nat, &seen->nat, plan->chain, out, err);
}
