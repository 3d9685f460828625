/* The way from one container to the next. */
#include "agent/rollout_internal.h"

#include "agent/route.h"
#include "base/log.h"

/* "" for the networks that Docker brings. */
static int network_driver(struct docker *docker, const struct json *body, char out[64], struct err *err)
{
	static const char *const own[] = { "default", "bridge", "host", "none" };
	const char *mode = json_string(json_get(json_get(body, "HostConfig"), "NetworkMode")) ?: "default";
	CLEANUP(json_freep) struct json *network = NULL;

	*out = '\0';
	for (size_t i = 0; i < ARRAY_LEN(own); i++)
		if (streq(own[i], mode))
			return 0;
	if (!*mode || skip_prefix(mode, "container:"))
		return 0;
	CLEANUP(freep) char *escaped = docker_escape(mode);
	CLEANUP(freep) char *path = xasprintf("/networks/%s", escaped);
	if (docker_call(docker, "GET", path, NULL, &network, err) < 0)
		return err_wrap(err, "--network %s", mode);
	(void)snprintf(out, 64, "%s", json_string(json_get(network, "Driver")) ?: "unknown");
	return 0;
}

/* As many bindings as -p makes: --container-json may have added some that the switch would not know. */
static bool only_own_ports(const struct deployment *d, const struct json *body)
{
	size_t bound = 0, asked = 0;

	for (const struct json *v = json_first(json_get(json_get(body, "HostConfig"), "PortBindings")); v;
	     v = json_next(v))
		bound += json_count(v);
	for (size_t i = 0; i < d->spec.publish.n; i++) {
		CLEANUP(freep) struct published_port *ports = NULL;
		struct err ignored; /* it was parsed before */
		size_t n = 0;
		if (publish_parse(d->spec.publish.v[i], &ports, &n, &ignored) == 0)
			asked += n;
	}
	return bound == asked;
}

/*
 * By hand the flags of the last time are soon forgotten, and a service without its port looks like a success. What
 * `berth up` is told to carry out stands in its configuration.
 */
static int refuse_lost_ports(const struct rollout *r, const struct json *body, struct err *err)
{
	uint16_t lost;

	if (r->req->force || r->req->unattended || !r->has_old)
		return 0;
	if (streq(json_string(json_get(json_get(body, "HostConfig"), "NetworkMode")), "host"))
		return 0; /* it has all ports */
	lost = route_lost_port(&r->old, body);
	if (!lost)
		return 0;
	err_set(err, ERR_USAGE, "%s publishes port %u, and these options no port of its", r->d->name, lost);
	return err_hint(err,
			"give -p as when it was made, or put it into " OPTIONS_CONFIG_PATH "; --force goes without");
}

int rollout_choose(struct rollout *r, struct err *err)
{
	struct deployment *d = r->d;
	struct docker *docker = d->context->docker;
	CLEANUP(json_freep) struct json *body = NULL;
	char hash[SHA256_HEX_SIZE], driver[64], problem[256], reason[STRATEGY_REASON_SIZE];
	struct err ignored;

	if (container_body(&d->spec, &body, hash, err) < 0 || network_driver(docker, body, driver, err) < 0 ||
	    refuse_lost_ports(r, body, err) < 0)
		return -1;
	route_problem(d, problem);
	if (!*problem && !only_own_ports(d, body))
		(void)snprintf(problem, sizeof problem, "--container-json publishes ports too");
	if (!*problem && !skip_prefix(opt_str(d->context->options, OPT_DOCKER_HOST), "unix://"))
		(void)snprintf(problem, sizeof problem, "Docker is on another host");
	const struct strategy_facts facts = {
		.body = body,
		.asked = opt_str(d->context->options, OPT_STRATEGY),
		.network_driver = driver,
		.switch_problem = *problem ? problem : NULL,
		.podman = docker_info(docker)->store == DOCKER_STORE_PODMAN,
	};
	if (strategy_choose(&facts, &r->strategy, reason, err) < 0)
		return -1;
	(void)!json_opt_int(json_get(body, "HostConfig"), "Memory", 0, INT64_MAX >> 11, &r->memory_bytes, &ignored);
	if (*reason && r->has_old)
		log_notice("recreate: %s", reason);
	/* What Docker itself publishes is in the way until the old container stops; all else is a stranger. */
	if (r->strategy == STRATEGY_BLUE_GREEN && r->has_old && route_is_switched(&r->old))
		return route_check_free(d, err);
	return 0;
}
