#include "agent/follow_internal.h"

#include "agent/generation.h"
#include "agent/route.h"
#include "base/clock.h"
#include "base/log.h"

#define STARTING_INTERVAL_MS 100
/* A dockerd that is slower keeps nobody from asking the app. */
#define LOOK_TIMEOUT_MS 2000

static void on_event(void *arg, const struct json *event)
{
	struct follow *f = arg;
	const char *id_or_name = json_string(json_get(json_get(json_get(event, "Actor"), "Attributes"), "name"));
	const char *action = json_string(json_get(event, "Action"));

	if (!event) {
		f->woken = f->outage = true; /* the stream was cut: anything may have happened */
		f->route_by_ms = 0;
		return;
	}
	if (streq(id_or_name, f->d->next) || streq(id_or_name, f->d->prev))
		f->unsettled = true;
	if (!streq(id_or_name, f->d->name) || !action || skip_prefix(action, "exec_"))
		return;
	f->woken = true;
	f->route_by_ms = 0; /* it may have another address now */
	if (streq(action, "die"))
		f->died = true;
}

static bool woken(void *arg)
{
	const struct follow *f = arg;

	return f->woken || f->d->retold || f->d->redeploy.state >= REDEPLOY_DONE ||
	       (f->d->rest && pull_rest_settled(f->d->rest));
}

/*
 * A starting app is asked more often, until its first good answer: what it is waited for
 * longer than it needs, the whole instance is. Not by HEALTHCHECK, whose every round is a process in the container.
 */
static int64_t interval_ms(const struct follow *f)
{
	const struct deployment *d = f->d;
	int64_t interval = opt_number(d->context->options, OPT_PROBE_INTERVAL);
	bool draining = d->lifecycle.duty == LIFECYCLE_LEAVING && !d->drain.over;

	if (draining && interval > DRAIN_STEP_MS)
		return DRAIN_STEP_MS;
	bool eager = f->nameless ||
		     (!f->was_ready && !f->failed && d->readiness.passes == 0 && f->probe.kind != PROBE_DOCKER);

	return eager && interval > STARTING_INTERVAL_MS ? STARTING_INTERVAL_MS : interval;
}

/* The next look, or an event before it. */
static int wait_interval(struct follow *f, int64_t started_ms, struct err *err)
{
	struct deployment *d = f->d;
	int64_t until = started_ms + interval_ms(f);

	d->context->last_progress_ms = until;
	if (loop_wait(d->context->loop, woken, f, until, err) < 0) {
		if (err->kind != ERR_TIMEOUT)
			return -1;
		err_clear(err);
	}
	f->woken = d->retold = false;
	return 0;
}

static void tell_state(struct follow *f)
{
	struct deployment *d = f->d;

	if (d->readiness.ready)
		deployment_tell(d, BOARD_READY, "serve", NULL);
	else if (f->failed)
		deployment_tell(d, BOARD_FAILED, "probe", "%s", f->reason);
	else if (f->was_ready)
		deployment_tell(d, BOARD_UNHEALTHY, "serve", "%s", f->reason);
	else
		deployment_tell(d, BOARD_STARTING, "probe", "%s", f->reason);
}

static void became_ready(struct follow *f)
{
	struct snapshot *s = &f->d->snapshot;

	if (s->ready_after_ms) {
		log_notice("%s is ready again", f->d->name);
	} else {
		s->ready_after_ms = clock_wall_ms() - s->started_ms;
		log_notice("%s is ready, %.1f s after start", f->d->name, (double)s->ready_after_ms / 1e3);
	}
	f->was_ready = f->d->served = true;
	f->failed = false;
}

static void feed(struct follow *f, bool passed)
{
	struct deployment *d = f->d;

	if (passed)
		d->snapshot.probes_passed++;
	else
		d->snapshot.probes_failed++;
	if (!readiness_feed(&d->readiness, passed))
		return;
	if (d->readiness.ready)
		became_ready(f);
	else
		log_warning("%s is not ready any more: %s", d->name, f->reason);
}

/* The container does not run: not ready at once, whatever the rise and fall. */
static void feed_dead(struct follow *f, const struct container_state *s)
{
	bool running_again = s->running && !s->restarting;

	(void)snprintf(f->reason, sizeof f->reason, "container %s%s, exit code %d%s",
		       running_again ? "died and was restarted" : s->status,
		       s->oom_killed ? " (out of memory)" : "", s->exit_code,
		       s->restarting ? ", Docker restarts it" : "");
	if (readiness_reset(&f->d->readiness))
		log_warning("%s is not ready any more: %s", f->d->name, f->reason);
}

static int ask(struct follow *f, const struct container_state *state, struct err *err)
{
	struct deployment *d = f->d;
	bool passed;

	if (probe_once(d->context, &f->probe, state, opt_number(d->context->options, OPT_PROBE_TIMEOUT), &passed,
		       f->reason, err) < 0)
		return -1;
	feed(f, passed);
	return 0;
}

/* The container that is called NAME now. Another one than before was put there, and probed, by another berth. */
static int meet(struct follow *f, const struct container_state *state, struct err *err)
{
	struct deployment *d = f->d;
	struct snapshot *s = &d->snapshot;
	bool others = *f->id != '\0';

	if (streq(f->id, state->id))
		return 0;
	probe_clear(&f->probe);
	/* --probe is for what these options make; another container has its own. */
	bool own = others || d->served || !generation_is_same(d, state);
	if (generation_probe(d, state, own, &f->probe, err) < 0)
		return -1;
	CLEANUP(freep) char *text = probe_text(&f->probe);
	log_info("probe: %s", text);
	memcpy(f->id, state->id, sizeof f->id);
	(void)snprintf(s->image, sizeof s->image, "%s", state->label_image ?: d->image);
	(void)snprintf(s->digest, sizeof s->digest, "%s", state->label_digest ?: "");
	if (!others)
		return 0;
	log_notice("another container is %s now: %s", d->name, state->label_digest ?: state->id);
	if (d->redeploy.state == REDEPLOY_WAITS) { /* somebody has asked for this one meanwhile */
		redeploy_stop(&d->redeploy);
		deployment_note_wanted(d);
	}
	f->died = false;
	f->ran = state->running;
	if (f->ready_by_ms >= 0)
		f->ready_by_ms = clock_mono_ms() + opt_number(d->context->options, OPT_READY_TIMEOUT);
	return 0;
}

static void note_place(struct follow *f, const struct container_state *state)
{
	f->seen = (struct container_state){
		.running = state->running && !state->restarting,
		.host_network = state->host_network,
	};
	memcpy(f->seen.address, state->address, sizeof f->seen.address);
}

/* Docker is away, hangs, or is unwell: the app may well serve on, and may have ended. It can say so itself. */
static int ask_where_it_was(struct follow *f, struct err *err)
{
	bool listens = f->probe.kind == PROBE_HTTP || f->probe.kind == PROBE_TCP;

	f->outage |= err->retryable;
	(void)follow_take_reason(f, err);
	if (listens && f->seen.running && !f->died)
		return ask(f, &f->seen, err);
	feed(f, false);
	return 0;
}

/* One look at the container. 0 looked, 1 it is not there any more. */
static int look(struct follow *f, struct container_state *state, struct err *err)
{
	struct deployment *d = f->d;

	if (container_inspect_for(d->context->docker, d->name, LOOK_TIMEOUT_MS, state, err) < 0) {
		if (err->kind == ERR_NOT_FOUND) {
			err_clear(err);
			f->nameless = deploy_lock_is_others(&d->deploying);
			return !f->nameless;
		}
		return err->kind == ERR_CANCELLED ? -1 : ask_where_it_was(f, err);
	}
	f->nameless = false;
	note_place(f, state);
	if (!state->label_name || meet(f, state, err) < 0)
		return state->label_name ? -1 : 1;
	d->snapshot.restart_count = state->restart_count;
	if (follow_lost_in_outage(f, state)) {
		*state->status = '\0'; /* not hopeless: it is starting */
		return follow_revive(f, err);
	}
	if (f->died || !state->running || state->restarting) {
		f->died = false;
		feed_dead(f, state);
		return 0;
	}
	return ask(f, state, err);
}

/* Before the first ready: an end that nobody will mend, or a deadline. */
static bool hopeless(struct follow *f, const struct container_state *state, struct err *why)
{
	bool over = *state->status && !state->running && !state->restarting;
	int64_t now = clock_mono_ms();

	if (f->was_ready || f->failed || f->ready_by_ms < 0 || f->d->drain.over ||
	    deploy_lock_is_others(&f->d->deploying))
		return false;
	if (over)
		err_set(why, ERR_FAILED, "%s ended before it was ready: exit code %d%s", f->d->name, state->exit_code,
			state->oom_killed ? " (out of memory)" : "");
	else if (now >= f->ready_by_ms)
		err_set(why, ERR_FAILED, "%s was not ready within %lld s: %s", f->d->name,
			(long long)opt_number(f->d->context->options, OPT_READY_TIMEOUT) / 1000, f->reason);
	else
		return false;
	return true;
}

/* What strangers do to the switch is undone within seconds. It is no reason to give up the app. */
static int mind_route(struct follow *f, const struct container_state *state, struct err *err)
{
	if (clock_mono_ms() < f->route_by_ms)
		return 0;
	f->route_by_ms = clock_mono_ms() + SWITCH_CHECK_MS;
	if (route_is_lost(f->d, state))
		f->unsettled = f->woken = true; /* what is true is written again under the lock of whoever deploys */
	if (route_check(f->d, err) == 0) {
		f->route_said[0] = '\0';
		return 0;
	}
	if (err->kind == ERR_CANCELLED)
		return -1;
	if (!streq(f->route_said, err->msg))
		log_warning("%s", err->msg);
	(void)snprintf(f->route_said, sizeof f->route_said, "%s", err->msg);
	err_clear(err);
	return 0;
}

/* The child that carries out these options. True: it could not, and what was there does not serve either. */
static bool redeploy_is_over(struct follow *f, struct err *why)
{
	const struct deployment *d = f->d;

	if (redeploy_look(&f->d->redeploy) != REDEPLOY_FAILED || streq(d->redeploy.argv0, REDEPLOY_MEND_ARGV0))
		return false;
	if (d->readiness.ready) {
		log_notice("these options were not carried out; %s serves on as it was made", d->name);
		return false;
	}
	err_set(why, ERR_FAILED, "these options were not carried out, and %s is not ready as it was made: %s", d->name,
		f->reason);
	return true;
}

static int follow_until(struct follow *f, int64_t give_up_ms, enum follow_end *end, struct err *why, struct err *err)
{
	struct deployment *d = f->d;

	for (;;) {
		CLEANUP(container_state_clear) struct container_state state = { 0 };
		int64_t started = clock_mono_ms();

		int looked = look(f, &state, err);
		if (looked < 0)
			return -1;
		d->context->last_progress_ms = clock_mono_ms();
		if (looked == 1) {
			*end = FOLLOW_GONE;
			return 0;
		}
		if (follow_settle(f, err) < 0 || mind_route(f, &state, err) < 0 || follow_duty(f, &state, err) < 0)
			return -1;
		tell_state(f);
		if (redeploy_is_over(f, why) || hopeless(f, &state, why) ||
		    (f->failed && give_up_ms >= 0 && started >= give_up_ms)) {
			*end = FOLLOW_NOT_READY;
			return 0;
		}
		if (f->was_ready)
			give_up_ms = -1;
		if (follow_fetch_rest(d, err) < 0)
			return -1;
		if (wait_interval(f, started, err) < 0)
			return -1;
	}
}

int follow_container(struct deployment *d, enum follow_mode mode, int64_t give_up_ms, enum follow_end *end,
		     struct err *why, struct err *err)
{
	const struct options *o = d->context->options;
	struct follow f = {
		.d = d,
		.ran = mode == FOLLOW_FRESH,
		.outage = true, /* no event tells of what was before the first */
		.ready_by_ms = -1,
		.failed = mode == FOLLOW_FAILED,
	};

	if (mode == FOLLOW_FRESH)
		f.ready_by_ms = clock_mono_ms() + opt_number(o, OPT_READY_TIMEOUT);
	if (mode == FOLLOW_FAILED)
		(void)snprintf(f.reason, sizeof f.reason, "%.*s", (int)sizeof f.reason - 1, d->snapshot.reason);
	d->readiness.rise = opt_number(o, OPT_PROBE_RISE);
	d->readiness.fall = opt_number(o, OPT_PROBE_FALL);
	(void)readiness_reset(&d->readiness); /* a new container: what the last one was does not count */
	if (docker_events_start(d->context->docker, "container", on_event, &f, &f.events, err) < 0)
		return -1;
	int result = follow_until(&f, give_up_ms, end, why, err);
	docker_events_stop(f.events);
	probe_clear(&f.probe);
	return result;
}
