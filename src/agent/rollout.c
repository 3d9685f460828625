#include "agent/rollout_internal.h"

#include "agent/candidate.h"
#include "agent/generation.h"
#include "agent/prune.h"
#include "agent/record.h"
#include "agent/route.h"
#include "base/clock.h"
#include "base/log.h"

static void on_phase(void *arg, const char *phase)
{
	const struct rollout *r = arg;

	log_info("%s %s", streq(phase, "pull") ? "pulling" : "resolving", r->d->image);
}

static int await_docker(struct deployment *d, struct err *err)
{
	char line[ERR_LINE_MAX];

	if (docker_connect(d->context->docker, err) == 0)
		return 0;
	if (!err->retryable)
		return -1;
	log_warning("%s; waiting for it", err_line(err, line, sizeof line));
	return docker_wait(d->context->docker, ROLLOUT_PATIENCE_MS, err);
}

/*
 * A death in recreate's gap leaves NAME stopped: it serves again before anything takes its time. What somebody else has
 * stopped is not started to be replaced. The one that comes may be the cure for what cannot start.
 */
static int revive(struct rollout *r, enum generation_found *found, struct err *err)
{
	struct deployment *d = r->d;

	bool died = d->deploying.abandoned || d->prev_runs;
	if (generation_end_prev(d, err) < 0)
		return -1;
	if (!died || !r->has_old || r->old.running || r->old.restarting)
		return 0;
	log_notice("starting %s: an interrupted run had left it stopped", d->name);
	r->revived = true;
	if (generation_start(d, err) < 0) {
		if (err->kind == ERR_CANCELLED)
			return -1;
		log_err(LOG_LEVEL_WARNING, err);
		err_clear(err);
	}
	container_state_clear(&r->old);
	return generation_find(d, found, &r->old, err);
}

/* A failure before there was anything to undo. Who sends a signal has not asked for a service. */
static void leave_running(struct rollout *r, const struct err *why)
{
	bool runs = !r->has_old || r->old.running || r->old.restarting;
	struct err later;

	if (runs || r->undone || (why->kind == ERR_CANCELLED && !r->revived))
		return;
	if (rollout_reach_docker(r, &later) < 0 || rollout_ensure(r, &later) < 0)
		log_err(LOG_LEVEL_WARNING, &later);
}

/* Docker there, the lock ours, one truth, and what serves. */
static int begin(struct rollout *r, struct err *err)
{
	struct deployment *d = r->d;
	CLEANUP(freep) char *what = xasprintf("berth %s", r->by);
	enum generation_found found;

	r->began_ms = clock_mono_ms();
	*r->out = (struct rollout_result){ .strategy = "", .gap_ms = -1 };
	if (await_docker(d, err) < 0 ||
	    deploy_lock_take(&d->deploying, what, r->req->wait, d->context->loop, err) < 0 ||
	    generation_find(d, &found, &r->old, err) < 0)
		return -1;
	r->has_old = found != GENERATION_NONE;
	if (revive(r, &found, err) < 0)
		return -1;
	r->has_old = found != GENERATION_NONE;
	r->same = found == GENERATION_SAME;
	if (r->has_old)
		(void)snprintf(r->out->previous, sizeof r->out->previous, "%s", r->old.label_digest ?: "");
	return 0;
}

static void end(struct rollout *r)
{
	deploy_lock_release(&r->d->deploying);
	container_state_clear(&r->old);
	container_state_clear(&r->new);
}

static bool is_current(const struct rollout *r)
{
	const struct deployment *d = r->d;
	const struct container_state *s = &r->old;

	return r->has_old && *r->out->digest && streq(s->label_digest, r->out->digest) &&
	       streq(s->label_config, d->config_hash) && streq(s->label_image, d->image);
}

static int refuse_known_failure(struct rollout *r, struct err *err)
{
	const struct deployment *d = r->d;
	CLEANUP(json_freep) struct json *row =
		record_objection(opt_str(d->context->options, OPT_STATE_DIR), d->name, r->out->digest, d->config_hash);

	if (!row)
		return 0;
	r->refused = true;
	const char *failure = json_string(json_get(row, "failure")), *at = json_string(json_get(row, "at"));
	if (failure)
		err_set(err, ERR_FAILED, "this image (%.19s) failed on %s: %s", r->out->digest, at ?: "an earlier day",
			failure);
	else
		err_set(err, ERR_FAILED, "this image (%.19s) was rolled back from on %s", r->out->digest,
			at ?: "an earlier day");
	return err_hint(err, "`berth deploy --force` tries it again; a new image under this tag needs no --force");
}

/* What is known to be no good is not even fetched. */
static int on_resolved(void *arg, const char *digest, struct err *err)
{
	struct rollout *r = arg;

	(void)snprintf(r->out->digest, sizeof r->out->digest, "%s", digest);
	return r->req->force || is_current(r) ? 0 : refuse_known_failure(r, err);
}

static int acquire(struct rollout *r, struct acquired *image, struct err *err)
{
	struct deployment *d = r->d;
	const struct pull_hooks hooks = { .phase = on_phase, .resolved = on_resolved, .arg = r };
	char line[ERR_LINE_MAX];

	for (unsigned int failures = 1;; failures++) {
		if ((r->req->unattended ? acquire_image : acquire_newest)(d->context, &d->ref, d->progress, &hooks,
									  image, err) == 0)
			break;
		if (!err->retryable || err->waited_out || failures == ROLLOUT_PULL_ATTEMPTS)
			return -1;
		log_warning("%s; trying again", err_line(err, line, sizeof line));
		if (loop_sleep(d->context->loop, net_retry_delay_ms(failures, err), err) < 0 ||
		    await_docker(d, err) < 0)
			return -1;
	}
	err_clear(err);
	d->rest = image->rest;
	if (*image->store)
		log_notice("pulled %s in %.1f s (%s)", d->image, (double)image->pull_ms / 1e3, image->store);
	(void)snprintf(r->out->digest, sizeof r->out->digest, "%s", image->digest);
	return 0;
}

/* Same digest, same options. One that is stopped is started; that it runs is all that can be asked for. */
static int stay(struct rollout *r, struct err *err)
{
	struct err why;
	bool ready;

	r->out->current = true;
	if ((r->old.running || r->old.restarting) && !r->revived)
		return 0;
	if (!r->old.running && !r->old.restarting)
		log_notice("%s is current and stopped; starting it", r->d->name);
	if (candidate_ready(r->d, r->d->name, &ready, &why, err) < 0)
		return -1;
	if (ready)
		return 0;
	*err = why;
	return -1;
}

/* What the registry and the engine's disk need of the image, now that it serves. */
static void fetch_rest(struct deployment *d)
{
	int64_t bytes;
	struct err err;

	if (d->rest && (pull_rest_start(d->rest, &err) < 0 || pull_rest_finish(d->rest, &bytes, &err) < 0))
		log_info("%s; the image runs, `berth pull` completes it", err.msg);
	pull_rest_free(d->rest);
	d->rest = NULL;
}

/* The options were carried out; if something else serves now, somebody has asked for that since. */
static bool holds(const struct rollout *r)
{
	return r->req->unattended && r->has_old && (r->same || deployment_is_wanted(r->d));
}

/* What the image or the machine lacks, asking again does not bring; the way there may be better tomorrow. */
static bool is_lasting(const struct err *err)
{
	switch (err->kind) {
	case ERR_REFUSED:
	case ERR_LIMIT:
	case ERR_FAILED:
	case ERR_SYSTEM:
		return !err->retryable;
	default:
		return false;
	}
}

static void acquire_failed(struct rollout *r, struct err *err)
{
	bool again = r->req->unattended && err->retryable;

	if (!r->refused && is_lasting(err))
		rollout_record_failure(r, err->msg, true);
	err->retryable = again; /* else it has been tried as often as is sensible */
}

/* What nobody has noted yet is no fault of the image's; what is tried again at once would fill the history. */
static void note_failure(struct rollout *r, const struct err *err)
{
	bool begun = *r->out->image, again = r->req->unattended && err->retryable;

	if (begun && !again && !r->recorded && !r->refused && err->kind != ERR_CANCELLED)
		rollout_record_failure(r, err->msg, false);
}

static int deploy(struct rollout *r, struct err *err)
{
	struct deployment *d = r->d;
	struct acquired image;

	if (begin(r, err) < 0)
		return -1;
	if (holds(r)) {
		r->out->current = true;
		return 0;
	}
	(void)snprintf(r->out->image, sizeof r->out->image, "%s", d->image);
	memcpy(r->config, d->config_hash, sizeof r->config);
	if (acquire(r, &image, err) < 0) {
		acquire_failed(r, err);
		return -1;
	}
	if (!r->req->force && is_current(r))
		return stay(r, err);
	if (!r->req->force && refuse_known_failure(r, err) < 0)
		return -1;
	if (generation_check_names(d, r->has_old, err) < 0 || rollout_choose(r, err) < 0)
		return -1;
	bool switched = r->has_old && r->strategy == STRATEGY_BLUE_GREEN;
	if (generation_candidate(d, &image, switched, err) < 0) {
		if (!err->retryable && err->kind != ERR_CANCELLED)
			rollout_record_failure(r, err->msg, true);
		return -1;
	}
	if (rollout_carry_out(r, err) < 0)
		return -1;
	if (r->req->unattended)
		deployment_note_wanted(d);
	if (prune_images(d->context, &d->ref, r->req->keep, err) < 0) {
		log_notice("%s; older images stay", err->msg); /* the deployment is done */
		err_clear(err);
	}
	deploy_lock_release(&d->deploying);
	fetch_rest(d);
	return 0;
}

static void warn_of_loneliness(const struct rollout *r)
{
	if (!r->req->unattended && route_is_unminded(r->d))
		log_warning("no `berth up` runs: %s does not serve this host and IPv6, nor anybody after a reboot "
			    "without one", r->d->name);
}

int rollout_deploy(struct deployment *d, const struct rollout_request *req, struct rollout_result *out,
		   struct err *err)
{
	struct rollout r = {
		.d = d, .req = req, .out = out, .by = req->unattended ? "up" : "deploy", .candidate = d->next
	};

	int result = deploy(&r, err);
	if (result < 0) {
		note_failure(&r, err);
		leave_running(&r, err);
	} else {
		warn_of_loneliness(&r);
	}
	end(&r);
	return result;
}

int rollout_mend(struct deployment *d, const struct rollout_request *req, struct rollout_result *out,
		 struct err *err)
{
	struct rollout r = { .d = d, .req = req, .out = out, .by = "up", .candidate = d->next };

	int result = begin(&r, err);
	end(&r);
	return result;
}

static int go_back(struct rollout *r, struct err *err)
{
	struct deployment *d = r->d;
	CLEANUP(container_state_clear) struct container_state prev = { 0 };

	if (begin(r, err) < 0)
		return -1;
	err_clear(err);
	if (container_inspect(d->context->docker, d->prev, &prev, err) < 0 ||
	    !streq(prev.label_name, d->name)) {
		if (err->kind != ERR_NONE && err->kind != ERR_NOT_FOUND)
			return -1;
		err_set(err, ERR_NOT_FOUND, "nothing to go back to: there is no %s", d->prev);
		return err_hint(err, "it is there after a `berth deploy` that replaced a container");
	}
	if (generation_check_names(d, true, err) < 0)
		return -1;
	/* As it was made: only one that is reached through the switch can stand beside another. */
	r->strategy = route_is_switched(&prev) ? STRATEGY_BLUE_GREEN : STRATEGY_RECREATE;
	(void)snprintf(r->out->digest, sizeof r->out->digest, "%s", prev.label_digest ?: "");
	(void)snprintf(r->out->image, sizeof r->out->image, "%s", prev.label_image ?: "");
	return rollout_carry_out(r, err);
}

int rollout_back(struct deployment *d, const struct rollout_request *req, struct rollout_result *out,
		 struct err *err)
{
	struct rollout r = { .d = d, .req = req, .out = out, .by = "rollback", .back = true, .candidate = d->prev };

	int result = go_back(&r, err);
	if (result < 0) {
		note_failure(&r, err);
		leave_running(&r, err);
	} else {
		warn_of_loneliness(&r);
	}
	end(&r);
	return result;
}
