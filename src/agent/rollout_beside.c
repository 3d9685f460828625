/* blue-green: both containers run, and the switch leads to one of them. */
#include "agent/rollout_internal.h"

#include <errno.h>
#include <stdio.h>

#include "agent/candidate.h"
#include "agent/generation.h"
#include "agent/route.h"
#include "base/clock.h"
#include "base/log.h"

#define MOVE_ATTEMPTS 3
#define LISTENER_PATIENCE_MS 3000 /* it takes a port that is free within 20 ms */
#define LISTENER_STEP_MS 10
#define HURRIED_DRAIN_MS 1000 /* who sent a signal waits; requests that have begun are over by then */

/* MemAvailable of /proc/meminfo; -1 where the kernel does not say. */
static int64_t available_bytes(void)
{
	FILE *f = fopen("/proc/meminfo", "re");
	long long kib = -1;
	char line[128];

	while (f && kib < 0 && fgets(line, sizeof line, f))
		if (sscanf(line, "MemAvailable: %lld kB", &kib) != 1)
			kib = -1;
	if (f)
		(void)fclose(f);
	return kib < 0 ? -1 : kib * 1024;
}

/* What the container uses without the page cache that it could do without; 0 when Docker does not know. */
static int64_t used_bytes(struct docker *docker, const char *id)
{
	CLEANUP(freep) char *path = xasprintf("/containers/%s/stats?stream=false&one-shot=true", id);
	CLEANUP(json_freep) struct json *stats = NULL;
	int64_t usage = 0, cache = 0;
	struct err ignored;

	if (docker_call(docker, "GET", path, NULL, &stats, &ignored) < 0)
		return 0;
	const struct json *memory = json_get(stats, "memory_stats"), *detail = json_get(memory, "stats");
	(void)!json_opt_int(memory, "usage", 0, INT64_MAX >> 11, &usage, &ignored);
	(void)!json_opt_int(detail, "inactive_file", 0, INT64_MAX >> 11, &cache, &ignored);
	(void)!json_opt_int(detail, "total_inactive_file", 0, INT64_MAX >> 11, &cache, &ignored);
	return usage > cache ? usage - cache : 0;
}

/* Two run for a while: the kernel must not choose between them. */
static int check_memory(struct rollout *r, struct err *err)
{
	int64_t there = available_bytes();
	int64_t wanted = r->memory_bytes;

	if (!wanted && r->old.running)
		wanted = used_bytes(r->d->context->docker, r->old.id);
	if (there < 0 || wanted <= there)
		return 0;
	err_set(err, ERR_FAILED, "two containers need %lld MB more than the %lld MB of memory that are available",
		(long long)((wanted - there) / 1000000 + 1), (long long)(there / 1000000));
	return err_hint(err, "--strategy recreate needs no more than one");
}

/* ERR_TIMEOUT: the rules have moved and the listener has not: nothing may stop yet, and asking again is right. */
static int move(struct rollout *r, struct err *err)
{
	/* A port that Docker itself publishes for the old one is free when that stops. */
	enum switch_busy busy = route_is_switched(&r->old) ? SWITCH_BUSY_FAILS : SWITCH_BUSY_WAITS;

	r->moved = true;
	for (int i = 0; i < MOVE_ATTEMPTS; i++) {
		if (route_lead(r->d, r->new.id, busy, err) == 0)
			return 0;
		if (err->kind != ERR_TIMEOUT)
			return -1;
	}
	err->retryable = false;
	return -1;
}

/* The first move away from what Docker published: clients of this host wait until the listener has their ports. */
static int await_listener(struct rollout *r, struct err *err)
{
	const struct deployment *d = r->d;
	int64_t deadline_ms = clock_mono_ms() + LISTENER_PATIENCE_MS;

	for (;;) {
		CLEANUP(switch_state_clear) struct switch_state s = { 0 };
		if (switch_list(d->context->loop, opt_str(d->context->options, OPT_RUN_DIR), d->name, false, &s,
				err) < 0)
			return -1;
		if (!s.listening)
			return 0; /* which is said at the end */
		if (route_is_open(&r->new)) {
			r->out->gap_ms = clock_mono_ms() - r->stopped_ms;
			log_notice("%.1f s without service for clients on this host and by IPv6: Docker's own ports "
				   "had to go first, this once", (double)r->out->gap_ms / 1e3);
			return 0;
		}
		if (clock_mono_ms() >= deadline_ms)
			return err_set(err, ERR_FAILED, "%s",
				       *s.listen_problem ? s.listen_problem : "the listener is late");
		if (loop_sleep(d->context->loop, LISTENER_STEP_MS, err) < 0)
			return -1;
	}
}

/* A signal cuts the wait short; the old one stops in any case. */
static int retire_old(struct rollout *r, struct err *err)
{
	struct deployment *d = r->d;
	int64_t patience_ms = r->hurried ? HURRIED_DRAIN_MS : INT64_MAX;
	size_t left = 0;

	if (rollout_look_at_old(r, err) < 0 && err->kind != ERR_CANCELLED)
		return -1;
	if (!r->old.running && !r->old.restarting)
		return 0;
	log_info("draining the old container");
	if (route_drain_within(d, &r->old, patience_ms, &left, err) < 0)
		loop_uncancel(d->context->loop);
	if (left)
		log_notice("%zu connections to the old container were not over when it was stopped", left);
	r->stopped_ms = clock_mono_ms();
	if (container_stop(d->context->docker, r->old.id, -1, err) < 0)
		return -1;
	return route_is_switched(&r->old) ? 0 : await_listener(r, err);
}

int rollout_beside(struct rollout *r, struct err *err)
{
	struct deployment *d = r->d;
	struct err why = { 0 };
	bool ready = false;

	if (check_memory(r, err) < 0 || candidate_ready(d, r->candidate, &ready, &why, err) < 0) {
		why = *err;
		return rollout_undo(r, false, &why, err);
	}
	if (!ready)
		return rollout_undo(r, true, &why, err);
	log_info("leading clients to %s", r->candidate);
	if (move(r, err) < 0 || rollout_promote(r, err) < 0) {
		why = *err;
		return rollout_undo(r, false, &why, err);
	}
	r->out->took_ms = clock_mono_ms() - r->began_ms;
	log_notice("%s is ready, and has the clients", d->name);
	if (retire_old(r, err) < 0) {
		log_err(LOG_LEVEL_WARNING, err);
		if (rollout_reach_docker(r, err) < 0 || rollout_ensure(r, err) < 0)
			log_err(LOG_LEVEL_WARNING, err); /* the next berth ends what is left */
	}
	err_clear(err);
	return 0;
}
