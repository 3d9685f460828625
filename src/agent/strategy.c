#include "agent/strategy.h"

#include "base/mem.h"

static const struct json *host_config(const struct strategy_facts *f, const char *name)
{
	return json_get(json_get(f->body, "HostConfig"), name);
}

static const char *network_mode(const struct strategy_facts *f)
{
	return json_string(host_config(f, "NetworkMode")) ?: "";
}

static bool on_host_network(const struct strategy_facts *f)
{
	return streq(network_mode(f), "host");
}

static bool without_own_network(const struct strategy_facts *f)
{
	return streq(network_mode(f), "none") || skip_prefix(network_mode(f), "container:");
}

static bool on_odd_network(const struct strategy_facts *f)
{
	return *f->network_driver && !streq(f->network_driver, "bridge");
}

static bool without_tcp_port(const struct strategy_facts *f)
{
	for (const struct json *v = json_first(host_config(f, "PortBindings")); v; v = json_next(v)) {
		const char *proto = strchr(json_name(v), '/');
		if (json_count(v) && (!proto || streq(proto, "/tcp")))
			return false;
	}
	return true;
}

static bool beyond_the_switch(const struct strategy_facts *f)
{
	return f->switch_problem != NULL;
}

static bool on_podman(const struct strategy_facts *f)
{
	return f->podman;
}

/* "SRC:DST[:OPTS]"; a path cannot hold a colon there. */
static bool bind_is_writable(const char *bind)
{
	const char *options = strchr(bind, ':');

	options = options ? strchr(options + 1, ':') : NULL;
	while (options) {
		const char *word = options + 1;
		size_t len = strcspn(word, ",");
		if (len == 2 && strncmp(word, "ro", 2) == 0)
			return false;
		options = strchr(word, ',');
	}
	return true;
}

static bool has_writable_volume(const struct strategy_facts *f)
{
	struct err ignored; /* what Docker would refuse is not ours to judge */

	for (const struct json *v = json_first(host_config(f, "Binds")); v; v = json_next(v))
		if (json_string(v) && bind_is_writable(json_string(v)))
			return true;
	for (const struct json *v = json_first(host_config(f, "Mounts")); v; v = json_next(v)) {
		bool read_only = false;
		(void)!json_opt_bool(v, "ReadOnly", &read_only, &ignored);
		if (!read_only && !streq(json_string(json_get(v, "Type")), "tmpfs"))
			return true;
	}
	return json_count(host_config(f, "VolumesFrom")) != 0;
}

static bool has_gpus(const struct strategy_facts *f)
{
	return json_count(host_config(f, "DeviceRequests")) != 0;
}

/* In this order; the first that applies is the reason. */
static const struct rule {
	bool (*applies)(const struct strategy_facts *f);
	const char *reason;
	bool cannot; /* else --strategy blue-green overrules it */
} rules[] = {
	{ on_host_network, "two containers on the host's network would want the same ports", true },
	{ without_own_network, "the container has no network of its own", true },
	{ on_odd_network, "its network is no bridge of this host", true },
	{ without_tcp_port, "no TCP port is published", true },
	{ beyond_the_switch, NULL, true },
	{ on_podman, "Podman's networks are not switched", true },
	{ has_writable_volume, "two containers must not write to one volume", false },
	{ has_gpus, "the old container has the GPUs", false },
};

const char *strategy_name(enum strategy s)
{
	return s == STRATEGY_BLUE_GREEN ? "blue-green" : "recreate";
}

int strategy_choose(const struct strategy_facts *f, enum strategy *out, char reason[STRATEGY_REASON_SIZE],
		    struct err *err)
{
	bool insists = streq(f->asked, "blue-green");

	*reason = '\0';
	*out = STRATEGY_RECREATE;
	if (streq(f->asked, "recreate")) {
		(void)snprintf(reason, STRATEGY_REASON_SIZE, "as --strategy says");
		return 0;
	}
	for (size_t i = 0; i < ARRAY_LEN(rules); i++) {
		if (!rules[i].applies(f) || (insists && !rules[i].cannot))
			continue;
		(void)snprintf(reason, STRATEGY_REASON_SIZE, "%s", rules[i].reason ?: f->switch_problem);
		return insists ? err_set(err, ERR_USAGE, "--strategy blue-green: %s", reason) : 0;
	}
	*out = STRATEGY_BLUE_GREEN;
	return 0;
}
