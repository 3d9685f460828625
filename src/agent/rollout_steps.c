#include "agent/rollout_internal.h"

#include <errno.h>

#include "agent/app_log.h"
#include "agent/candidate.h"
#include "agent/generation.h"
#include "agent/record.h"
#include "agent/route.h"
#include "base/clock.h"
#include "base/log.h"

/* containerd gives back only after its answer what an image that did not fit had taken. */
#define FULL_DISK_PATIENCE_MS 5000
#define FULL_DISK_STEP_MS 100

static void record(struct rollout *r, const char *failure, bool at_fault)
{
	const struct rollout_result *out = r->out;
	const struct record_deployment row = {
		.name = r->d->name,
		.by = r->by,
		.image = out->image,
		.digest = out->digest,
		.config = r->config,
		.strategy = out->strategy,
		.failure = failure,
		.passing = !at_fault,
		.from_digest = r->back && !failure ? r->old.label_digest : NULL,
		.from_config = r->back && !failure ? r->old.label_config : NULL,
		.gap_ms = out->gap_ms,
	};
	int64_t deadline_ms = clock_mono_ms() + FULL_DISK_PATIENCE_MS;
	struct err noted, cut;

	r->recorded = true;
	while (record_deployment(opt_str(r->d->context->options, OPT_STATE_DIR), &row, &noted) < 0) {
		if (noted.errnum != ENOSPC || clock_mono_ms() > deadline_ms ||
		    loop_sleep(r->d->context->loop, FULL_DISK_STEP_MS, &cut) < 0) {
			log_err(LOG_LEVEL_WARNING, &noted); /* history only */
			return;
		}
	}
}

void rollout_record_success(struct rollout *r)
{
	record(r, NULL, false);
}

void rollout_record_failure(struct rollout *r, const char *failure, bool at_fault)
{
	record(r, failure, at_fault);
}

int rollout_reach_docker(struct rollout *r, struct err *err)
{
	loop_uncancel(r->d->context->loop);
	if (docker_connect(r->d->context->docker, err) == 0)
		return 0;
	return docker_wait(r->d->context->docker, ROLLOUT_PATIENCE_MS, err);
}

/* NAME's ID; "": there is none, as between two renames. */
static int name_id(struct rollout *r, char id[65], struct err *err)
{
	CLEANUP(container_state_clear) struct container_state state = { 0 };

	*id = '\0';
	if (container_inspect(r->d->context->docker, r->d->name, &state, err) == 0) {
		memcpy(id, state.id, sizeof state.id);
		return 0;
	}
	if (err->kind != ERR_NOT_FOUND)
		return -1;
	err_clear(err);
	return 0;
}

/* The candidate gone, or stopped if it was NAME-prev, and its clients back before that. */
static int clear_away(struct rollout *r, struct err *err)
{
	if (r->moved || r->promoting) {
		char id[65];
		if (name_id(r, id, err) < 0)
			return -1;
		/* The names have moved, or were moving: then the new one serves, and they follow it. */
		if (!*id || streq(id, r->new.id))
			return 0;
		if (r->moved && route_settle(r->d, err) < 0)
			return -1;
	}
	if (r->back || container_remove_whole(r->d->context->docker, r->new.id, err) == 0)
		return 0;
	if (err->kind != ERR_NOT_FOUND)
		return -1;
	err_clear(err);
	return 0;
}

/* What was stopped to make room, or has ended with dockerd meanwhile. */
static int serve_again(struct rollout *r, struct err *err)
{
	struct deployment *d = r->d;
	struct err why;
	bool ready;

	if (candidate_ready(d, d->name, &ready, &why, err) < 0)
		return -1;
	if (!ready) {
		*err = why;
		return err_wrap(err, "it had served before");
	}
	if (route_settle(d, err) < 0)
		return -1;
	if (!r->stopped) {
		log_notice("%s serves again", d->name);
		return 0;
	}
	r->out->gap_ms = clock_mono_ms() - r->stopped_ms;
	log_notice("%s serves again; %.1f s without service", d->name, (double)r->out->gap_ms / 1e3);
	return 0;
}

int rollout_ensure(struct rollout *r, struct err *err)
{
	CLEANUP(container_state_clear) struct container_state state = { 0 };
	enum generation_found found;

	if (generation_find(r->d, &found, &state, err) < 0 || generation_end_prev(r->d, err) < 0)
		return -1;
	return found == GENERATION_NONE || state.running || state.restarting ? 0 : serve_again(r, err);
}

/* One truth again: 1 the candidate is NAME after all, 0 it is gone, -1 the next berth has to look. */
static int undo(struct rollout *r)
{
	char id[65] = "";
	struct err later;

	if (rollout_reach_docker(r, &later) < 0 || clear_away(r, &later) < 0 || rollout_ensure(r, &later) < 0 ||
	    (r->promoting && name_id(r, id, &later) < 0)) {
		log_err(LOG_LEVEL_ERROR, &later);
		return -1;
	}
	return streq(id, r->new.id);
}

int rollout_undo(struct rollout *r, bool at_fault, const struct err *why, struct err *err)
{
	struct deployment *d = r->d;

	r->undone = true;
	log_warning("%s; %s", why->msg,
		    r->promoting ? "the names were moving already"
		    : !r->has_old ? "it is removed"
		    : r->stopped || !(r->old.running || r->old.restarting) ? "the old container is started again"
				  : "the old container serves on");
	if (at_fault)
		app_log_show(d->context->docker, r->candidate);
	int now = undo(r);
	if (now == 1) {
		r->out->took_ms = clock_mono_ms() - r->began_ms;
		log_notice("%s is the new container", d->name);
		err_clear(err);
		return 0;
	}
	if (now == 0 && r->promoting && r->has_old && !r->stopped)
		log_notice("the old container serves on");
	if (at_fault)
		rollout_record_failure(r, why->msg, true);
	*err = *why;
	err->retryable = r->req->unattended && !at_fault && why->retryable;
	return err_wrap(err, "%s of %s failed", r->back ? "rollback" : "deploy", d->image ?: d->name);
}

int rollout_look_at_old(struct rollout *r, struct err *err)
{
	struct container_state now = { 0 };

	if (!r->has_old)
		return 0;
	if (container_inspect(r->d->context->docker, r->old.id, &now, err) == 0) {
		container_state_clear(&r->old);
		r->old = now;
		return 0;
	}
	if (err->kind != ERR_NOT_FOUND)
		return -1;
	err_clear(err);
	r->old.running = r->old.restarting = false;
	return 0;
}

static int make_room(struct rollout *r, struct err *err)
{
	if (rollout_look_at_old(r, err) < 0)
		return -1;
	if (!r->has_old || !(r->old.running || r->old.restarting))
		return 0;
	log_notice("stopping %s; there is no service until the new one is ready", r->d->name);
	r->stopped_ms = clock_mono_ms();
	r->stopped = true;
	return container_stop(r->d->context->docker, r->old.id, -1, err);
}

/* The listener may have the ports that Docker is to publish, whether or not what it led to still runs. */
static int make_way(struct rollout *r, struct err *err)
{
	if (make_room(r, err) < 0)
		return -1;
	return route_is_switched(&r->new) ? 0 : route_leave(r->d, err);
}

/*
 * Docker may have gone in the middle of it, or a signal come: what was done is seen by the container that is NAME, and
 * the new one has passed its probe, so that the end is forward.
 */
int rollout_promote(struct rollout *r, struct err *err)
{
	CLEANUP(container_state_clear) struct container_state state = { 0 };
	enum generation_found found;

	r->promoting = true;
	if (generation_promote(r->d, r->back, r->has_old, err) == 0)
		return 0;
	struct err why = *err;
	r->hurried = why.kind == ERR_CANCELLED;
	if (rollout_reach_docker(r, err) < 0 || generation_find(r->d, &found, &state, err) < 0 ||
	    !streq(state.id, r->new.id)) {
		*err = why;
		return -1;
	}
	err_clear(err);
	if (r->hurried)
		log_notice("%s; %s is the new container already", why.msg, r->d->name);
	return 0;
}

/* recreate, or the first container. */
static int in_place(struct rollout *r, struct err *err)
{
	struct err why = { 0 };
	bool ready = false;

	if (make_way(r, err) < 0 || candidate_ready(r->d, r->candidate, &ready, &why, err) < 0) {
		why = *err;
		return rollout_undo(r, false, &why, err);
	}
	if (!ready)
		return rollout_undo(r, true, &why, err);
	if (r->stopped)
		r->out->gap_ms = clock_mono_ms() - r->stopped_ms;
	if (rollout_promote(r, err) < 0) {
		why = *err;
		return rollout_undo(r, false, &why, err);
	}
	r->out->took_ms = clock_mono_ms() - r->began_ms;
	if (r->stopped)
		log_notice("%s is ready; %.1f s without service", r->d->name, (double)r->out->gap_ms / 1e3);
	else
		log_notice("%s is ready", r->d->name);
	return 0;
}

int rollout_carry_out(struct rollout *r, struct err *err)
{
	bool beside = r->has_old && r->strategy == STRATEGY_BLUE_GREEN;

	if (container_inspect(r->d->context->docker, r->candidate, &r->new, err) < 0)
		return -1;
	(void)snprintf(r->config, sizeof r->config, "%s", r->new.label_config ?: "");
	r->out->strategy = r->has_old ? strategy_name(r->strategy) : "first";
	log_info("starting %s", r->candidate);
	if ((beside ? rollout_beside(r, err) : in_place(r, err)) < 0)
		return -1;
	rollout_record_success(r);
	return 0;
}
