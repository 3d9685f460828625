#include "agent/candidate.h"

#include "agent/generation.h"
#include "base/clock.h"
#include "base/log.h"

#define CANDIDATE_INTERVAL_MS 100 /* nothing can go on until it answers */

struct candidate {
	struct deployment *d;
	const char *name;
	struct probe probe;
	bool has_probe;
	struct readiness readiness;
	int restarts; /* of its former life, where Docker goes on counting */
	int64_t deadline_ms;
	char reason[PROBE_REASON_SIZE];
};

static int64_t interval_ms(const struct candidate *c)
{
	int64_t asked = opt_number(c->d->context->options, OPT_PROBE_INTERVAL);

	/* Each round of a HEALTHCHECK is a process in the container. */
	return c->probe.kind == PROBE_DOCKER || asked < CANDIDATE_INTERVAL_MS ? asked : CANDIDATE_INTERVAL_MS;
}

static void died(const struct candidate *c, const struct container_state *s, struct err *why)
{
	err_set(why, ERR_FAILED, "%s %s before it was ready: exit code %d%s", c->name,
		s->running || s->restarting ? "was restarted" : "ended", s->exit_code,
		s->oom_killed ? " (out of memory)" : "");
}

/* 1 decided: *ready or *why; 0 not yet. */
static int look(struct candidate *c, bool *ready, struct err *why, struct err *err)
{
	CLEANUP(container_state_clear) struct container_state state = { 0 };
	struct context *context = c->d->context;
	bool passed;

	if (container_inspect(context->docker, c->name, &state, err) < 0)
		return -1;
	if (!state.running || state.restarting || state.restart_count > c->restarts) {
		died(c, &state, why);
		return 1;
	}
	if (!c->has_probe && generation_probe(c->d, &state, true, &c->probe, err) < 0)
		return -1;
	c->has_probe = true;
	if (probe_once(context, &c->probe, &state, opt_number(context->options, OPT_PROBE_TIMEOUT), &passed, c->reason,
		       err) < 0)
		return -1;
	(void)readiness_feed(&c->readiness, passed);
	*ready = c->readiness.ready;
	if (*ready)
		return 1;
	if (clock_mono_ms() < c->deadline_ms)
		return 0;
	err_set(why, ERR_FAILED, "%s was not ready within %lld s: %s", c->name,
		(long long)opt_number(context->options, OPT_READY_TIMEOUT) / 1000, c->reason);
	return 1;
}

static int watch(struct candidate *c, bool *ready, struct err *why, struct err *err)
{
	for (;;) {
		int64_t started = clock_mono_ms();
		int decided = look(c, ready, why, err);
		if (decided)
			return decided < 0 ? -1 : 0;
		c->d->context->last_progress_ms = clock_mono_ms();
		int64_t left = started + interval_ms(c) - clock_mono_ms();
		if (loop_sleep(c->d->context->loop, left > 0 ? left : 0, err) < 0)
			return -1;
	}
}

int candidate_ready(struct deployment *d, const char *name, bool *ready, struct err *why, struct err *err)
{
	const struct options *o = d->context->options;
	struct candidate c = {
		.d = d,
		.name = name,
		.readiness = { .rise = opt_number(o, OPT_PROBE_RISE), .fall = opt_number(o, OPT_PROBE_FALL) },
		.deadline_ms = clock_mono_ms() + opt_number(o, OPT_READY_TIMEOUT),
	};

	CLEANUP(container_state_clear) struct container_state before = { 0 };

	*ready = false;
	if (container_inspect(d->context->docker, name, &before, err) < 0)
		return -1;
	c.restarts = before.running ? before.restart_count : 0;
	if (container_start(d->context->docker, name, err) < 0) {
		if (err->kind == ERR_CANCELLED || err->retryable)
			return -1;
		*why = *err; /* Docker refuses what it is asked for: the candidate's fault */
		err_clear(err);
		return 0;
	}
	int result = watch(&c, ready, why, err);
	probe_clear(&c.probe);
	return result;
}
