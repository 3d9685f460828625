/*
 * What comes from elsewhere: an engine that was away, a berth that died at work, an instance that
 * is to go.
 */
#include "agent/follow_internal.h"

#include "agent/generation.h"
#include "base/log.h"

/*
 * A dockerd that crashed ends, when it is back, the containers that it finds running, and counts
 * that as somebody's wish: `unless-stopped` stays down (20.10 to 28.5). What ran before an outage
 * and does not after it is started.
 */
bool follow_lost_in_outage(struct follow *f, const struct container_state *state)
{
	const struct json *policy =
		json_get(json_get(json_get(state->inspect, "HostConfig"), "RestartPolicy"), "Name");
	bool outage = f->outage || docker_events_are_cut(f->events);

	if (deploy_lock_is_others(
		    &f->d->deploying)) { /* who may have stopped it: looked at again when they are done */
		f->ran |= state->running;
		f->outage = outage;
		return false;
	}
	bool lost = outage && f->ran && (!f->died || !f->looked) && !state->running &&
		    !state->restarting;

	f->outage = false;
	f->looked = true;
	f->ran = state->running || (f->ran && !f->died);
	return lost && (streq(json_string(policy), "unless-stopped") ||
			streq(json_string(policy), "always"));
}

/* Takes the failure as the reason. Whether it is a new one. */
bool follow_take_reason(struct follow *f, struct err *err)
{
	char before[sizeof f->reason];

	memcpy(before, f->reason, sizeof before);
	(void)snprintf(f->reason, sizeof f->reason, "%.*s", (int)sizeof f->reason - 1, err->msg);
	err_clear(err);
	return !streq(before, f->reason);
}

int follow_revive(struct follow *f, struct err *err)
{
	struct deployment *d = f->d;
	char line[ERR_LINE_MAX];

	(void)readiness_reset(&d->readiness);
	if (generation_start(d, err) == 0) {
		log_warning("%s had ended with Docker; started it again", d->name);
		(void)snprintf(f->reason, sizeof f->reason, "started again, after Docker was away");
		f->woken = true;
		return 0;
	}
	if (err->kind == ERR_CANCELLED)
		return -1;
	f->outage = err->retryable; /* the next look tries again */
	(void)err_line(err, line, sizeof line);
	if (follow_take_reason(f, err))
		log_warning("%s had ended with Docker: %s", d->name, line);
	return 0;
}

/*
 * What a berth that died while it deployed has left. Nothing that fails here is worth the app: the
 * next look tries again.
 */
static int take_over(struct follow *f, struct err *err)
{
	CLEANUP(container_state_clear) struct container_state state = { 0 };
	struct deployment *d = f->d;
	int result = -1;

	if (deploy_lock_take(&d->deploying, "berth up", false, d->context->loop, err) < 0)
		return err->kind == ERR_CONFLICT ? 0 : -1;
	enum generation_found found;
	if (generation_find(d, &found, &state, err) == 0)
		result = found == GENERATION_NONE || state.running || !f->others
				 ? 0
				 : generation_start(d, err);
	deploy_lock_release(&d->deploying);
	if (result == 0 && d->prev_runs) /* which takes time */
		result = deployment_hand_over(d, REDEPLOY_MEND_ARGV0, err);
	f->unsettled = result < 0;
	f->others &= f->unsettled;
	f->woken |= !f->unsettled; /* what failed is as it was: the next look comes at its time */
	return result;
}

int follow_settle(struct follow *f, struct err *err)
{
	struct deployment *d = f->d;

	bool others = deploy_lock_is_others(&d->deploying);
	f->others |= others;
	f->unsettled |= others;
	if (!f->unsettled || others || take_over(f, err) == 0) {
		err_clear(err);
		return 0;
	}
	if (err->kind == ERR_CANCELLED)
		return -1;
	log_debug("%s", err->msg);
	err_clear(err);
	return 0;
}

/* At its end, with --stop-on-exit. An engine that cannot now, or a deploy at work, is asked again at the next look. */
static int stop_drained(struct deployment *d, struct err *err)
{
	if (drain_stop(d, false, err) < 0) {
		if (err->kind == ERR_CANCELLED)
			return -1;
		log_err(err->kind == ERR_CONFLICT ? LOG_LEVEL_DEBUG : LOG_LEVEL_WARNING, err);
		err_clear(err);
		return 0;
	}
	d->drain.stopped = true;
	log_notice("stopped %s", d->name);
	return 0;
}

int follow_duty(struct follow *f, const struct container_state *state, struct err *err)
{
	struct deployment *d = f->d;

	if (d->lifecycle.duty == LIFECYCLE_LEAVING) {
		bool over = drain_look(d, *state->status ? state : NULL);
		bool stop = over && !d->drain.stopped &&
			    opt_flag(d->context->options, OPT_STOP_ON_EXIT);
		return stop ? stop_drained(d, err) : 0;
	}
	bool stopped = d->drain.stopped;
	if (d->drain.began_ms)
		log_notice("the drain of %s has ended%s", d->name,
			   stopped ? "; starting it again" : "");
	drain_forget(d);
	if (!stopped || generation_start(d, err) == 0)
		return 0;
	if (err->kind == ERR_CANCELLED)
		return -1;
	d->drain.stopped = err->retryable; /* the next look tries again */
	if (follow_take_reason(f, err))
		log_warning("%s: %s", d->name, f->reason);
	return 0;
}
