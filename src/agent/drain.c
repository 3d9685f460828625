#include "agent/drain.h"

#include "agent/deployment.h"
#include "agent/notify.h"
#include "agent/route.h"
#include "base/clock.h"
#include "base/log.h"

#define SHARE 4 /* each pause is so many times as long as the counting before it */

static void end(struct deployment *d, const char *how)
{
	d->drain.over = true;
	log_notice("%s is drained: %s", d->name, how);
}

void drain_counted(struct drain *n, size_t left, int64_t began_ms, int64_t ended_ms)
{
	n->look_again_ms = ended_ms + SHARE * (ended_ms - began_ms);
	n->none_ms = left ? 0 : began_ms;
	if (left)
		n->busy_ms = ended_ms;
}

bool drain_is_quiet(const struct drain *n, int64_t quiet_ms)
{
	return n->none_ms && n->none_ms - n->busy_ms >= quiet_ms;
}

static void count(struct deployment *d, const struct container_state *state, int64_t now_ms)
{
	if (now_ms < d->drain.look_again_ms)
		return;
	size_t left = state ? route_connections(d, state, &d->drain.told) : 1;
	drain_counted(&d->drain, left, now_ms, clock_mono_ms());
}

bool drain_look(struct deployment *d, const struct container_state *state)
{
	int64_t timeout_ms = opt_number(d->context->options, OPT_DRAIN_TIMEOUT),
		now_ms = clock_mono_ms();
	int64_t quiet_ms =
		timeout_ms / 3 < DRAIN_QUIET_MAX_MS ? timeout_ms / 3 : DRAIN_QUIET_MAX_MS;
	struct drain *n = &d->drain;

	if (n->over)
		return true;
	if (!n->began_ms) {
		*n = (struct drain){ .began_ms = now_ms, .busy_ms = now_ms };
		log_notice("draining %s: until it has no connections, %.1f s at most", d->name,
			   (double)timeout_ms / 1e3);
	}
	if (state && !state->running && !state->restarting) {
		end(d, "it does not run");
		return true;
	}
	count(d, state, now_ms);
	if (drain_is_quiet(n, quiet_ms))
		end(d, "its connections are gone");
	else if (now_ms - n->began_ms >= timeout_ms)
		end(d, "--drain-timeout has passed, and it has connections still");
	return n->over;
}

void drain_forget(struct deployment *d)
{
	d->drain = (struct drain){ 0 };
}

/* Waits for the drain's end; a signal cuts it short. */
static void await(struct deployment *d)
{
	struct err err;

	for (;;) {
		CLEANUP(container_state_clear) struct container_state state = { 0 };
		bool said = container_inspect(d->context->docker, d->name, &state, &err) == 0 ||
			    err.kind == ERR_NOT_FOUND;
		if (!said && err.kind == ERR_CANCELLED)
			break;
		if (drain_look(d, said ? &state : NULL))
			return;
		d->context->last_progress_ms = clock_mono_ms();
		if (loop_sleep(d->context->loop, DRAIN_STEP_MS, &err) < 0)
			break;
	}
	log_notice("%s; the drain ends here", err.msg);
	loop_uncancel(d->context->loop);
}

int drain_stop(struct deployment *d, bool wait, struct err *err)
{
	if (deploy_lock_take(&d->deploying, "berth up", wait, d->context->loop, err) < 0)
		return -1;
	int result = container_stop(d->context->docker, d->name, -1, err);
	deploy_lock_release(&d->deploying);
	if (result < 0 && err->kind != ERR_NOT_FOUND)
		return -1;
	err_clear(err);
	return 0;
}

int deployment_drain(struct deployment *d, struct err *err)
{
	int64_t drain_ms = opt_number(d->context->options, OPT_DRAIN_TIMEOUT);

	loop_uncancel(d->context->loop); /* a second signal cuts the drain short */
	lifecycle_leave(&d->lifecycle, "berth was told to stop");
	deployment_tell(d, BOARD_DRAINING, "drain", NULL);
	notify_send("STOPPING=1\nEXTEND_TIMEOUT_USEC=%lld",
		    (long long)(drain_ms + DOCKER_TIMEOUT_MS) * 1000);
	await(d);
	deployment_tell(d, BOARD_DRAINING, "stop", NULL);
	return drain_stop(d, true, err);
}
