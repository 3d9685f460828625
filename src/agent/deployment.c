#include "agent/deployment.h"

#include <stdarg.h>
#include <unistd.h>

#include "agent/app_log.h"
#include "agent/follow.h"
#include "agent/generation.h"
#include "agent/login.h"
#include "agent/notify.h"
#include "agent/record.h"
#include "agent/spec.h"
#include "base/clock.h"
#include "base/fs.h"
#include "base/log.h"
#include "base/text.h"

static void write_status_file(struct deployment *d)
{
	struct json *o = board_json(&d->snapshot, true);
	CLEANUP(freep) char *text = json_print(o, true);
	struct err ignored; /* the endpoint has it too; a full /run must not stop the service */

	json_free(o);
	if (fs_write_atomic(d->status_path, text, strlen(text), 0644, &ignored) < 0)
		log_debug("%s", ignored.msg);
}

/* What the instance is there for is said before how the app does. */
static const char *effective(const struct deployment *d, enum board_status *status)
{
	static const char unheard[] = "waiting for what the instance's metadata says";
	const struct lifecycle *l = &d->lifecycle;

	*status = d->status;
	if (l->duty == LIFECYCLE_LEAVING)
		*status = BOARD_DRAINING;
	else if (d->status == BOARD_READY && l->duty != LIFECYCLE_SERVING)
		*status = BOARD_STARTING;
	else
		return d->reason;
	return l->duty == LIFECYCLE_UNKNOWN ? unheard : l->reason;
}

static void publish(struct deployment *d, const char *phase)
{
	struct snapshot *s = &d->snapshot;
	enum board_status status;
	const char *reason = effective(d, &status);

	bool changed = s->status != status || !streq(s->reason, reason) || (*phase && !streq(s->phase, phase));
	s->status = status;
	(void)snprintf(s->reason, sizeof s->reason, "%s", reason);
	if (*phase)
		(void)snprintf(s->phase, sizeof s->phase, "%s", phase);
	board_publish(d->board, s);
	if (!changed)
		return;
	notify_send("STATUS=%s%s%s", board_status_name(status), *reason ? ": " : "", reason);
	write_status_file(d);
}

void deployment_tell(struct deployment *d, enum board_status status, const char *phase, const char *reason, ...)
{
	char text[sizeof d->reason] = "";
	va_list args;

	if (!d->board)
		return;
	if (reason) {
		va_start(args, reason);
		(void)vsnprintf(text, sizeof text, reason, args);
		va_end(args);
		text_clean(text); /* it becomes a line of sd_notify's too */
	}
	d->status = status;
	memcpy(d->reason, text, sizeof text);
	publish(d, phase);
}

void deployment_retell(struct deployment *d)
{
	d->retold = true;
	publish(d, "");
}

static void on_phase(void *arg, const char *phase)
{
	struct deployment *d = arg;

	bool pulling = streq(phase, "pull");

	log_info("%s %s", pulling ? "pulling" : "resolving", d->image);
	deployment_tell(d, BOARD_PULLING, phase, "%s", pulling ? "fetching the layers" : "asking the registry");
}

static void on_bytes(void *arg, int64_t received, int64_t total)
{
	struct deployment *d = arg;

	d->snapshot.pull_bytes = received;
	d->snapshot.pull_total_bytes = total;
	board_publish(d->board, &d->snapshot);
}

static int acquire(struct deployment *d, struct acquired *image, struct err *err)
{
	const struct pull_hooks hooks = { .bytes = on_bytes, .phase = on_phase, .arg = d };
	struct snapshot *s = &d->snapshot;

	if (acquire_image(d->context, &d->ref, d->progress, &hooks, image, err) < 0)
		return -1;
	pull_rest_free(d->rest);
	d->rest = image->rest;
	(void)snprintf(s->digest, sizeof s->digest, "%s", image->digest);
	(void)snprintf(s->store, sizeof s->store, "%s", image->store);
	s->fast_load = image->was_fast;
	s->pull_ms = image->pull_ms;
	if (*image->store)
		log_notice("pulled %s in %.1f s (%s%s)", d->image, (double)image->pull_ms / 1e3, image->store,
			   image->was_fast ? ", fast" : "");
	return 0;
}

/* On a booting instance its socket comes late; what is missing is told meanwhile. */
static int await_docker(struct deployment *d, struct err *err)
{
	struct docker *docker = d->context->docker;
	char line[ERR_LINE_MAX];

	deployment_tell(d, BOARD_STARTING, "docker", "waiting for Docker");
	if (docker_connect(docker, err) == 0)
		return 0;
	if (!err->retryable)
		return -1;
	log_warning("%s; waiting for it", err_line(err, line, sizeof line));
	deployment_tell(d, BOARD_STARTING, "docker", "waiting for Docker: %s", line);
	return docker_wait(docker, DOCKER_PATIENCE_MS, err);
}

static int serves_already(struct deployment *d, bool *serves, struct err *err)
{
	CLEANUP(container_state_clear) struct container_state state = { 0 };

	*serves = false;
	if (container_inspect(d->context->docker, d->name, &state, err) < 0) {
		if (err->kind != ERR_NOT_FOUND)
			return -1;
		err_clear(err);
		return 0;
	}
	*serves = state.running && streq(state.label_name, d->name);
	return 0;
}

/*
 * The right to change containers: 0. While another has it, a container that serves is followed as it is: 1; else
 * there is nothing to do but to wait.
 */
static int take_turn(struct deployment *d, struct err *err)
{
	bool serves;

	for (;;) {
		if (deploy_lock_take(&d->deploying, "berth up", false, d->context->loop, err) == 0)
			return 0;
		if (err->kind != ERR_CONFLICT)
			return -1;
		deployment_tell(d, d->status, "wait", "%s", err->msg);
		if (serves_already(d, &serves, err) < 0)
			return -1;
		if (serves)
			return 1;
		d->context->last_progress_ms = clock_mono_ms();
		if (loop_sleep(d->context->loop, DEPLOY_LOCK_POLL_MS, err) < 0)
			return -1;
	}
}

void deployment_note_wanted(struct deployment *d)
{
	struct err noted;

	if (record_wanted(opt_str(d->context->options, OPT_STATE_DIR), d->name, d->image, d->config_hash, &noted) < 0)
		log_err(LOG_LEVEL_WARNING, &noted);
}

bool deployment_is_wanted(const struct deployment *d)
{
	return record_is_wanted(opt_str(d->context->options, OPT_STATE_DIR), d->name, d->image, d->config_hash);
}

static int adopt(struct deployment *d, const struct container_state *state, struct err *err)
{
	log_notice("%s %s", state->running ? "adopting the running container" : "starting the container", d->name);
	return state->running ? 0 : generation_start(d, err);
}

static int make_first(struct deployment *d, struct err *err)
{
	struct acquired image;
	struct err noted;

	if (acquire(d, &image, err) < 0)
		return -1;
	deployment_tell(d, BOARD_STARTING, "start", "starting container %s", d->name);
	if (generation_make(d, &image, err) < 0)
		return -1;
	const struct record_deployment row = {
		.name = d->name, .by = "up", .image = d->image, .digest = image.digest, .config = d->config_hash,
		.strategy = "first", .gap_ms = -1,
	};
	if (record_deployment(opt_str(d->context->options, OPT_STATE_DIR), &row, &noted) < 0)
		log_err(LOG_LEVEL_WARNING, &noted); /* history only */
	return 0;
}

int deployment_hand_over(struct deployment *d, const char *argv0, struct err *err)
{
	deploy_lock_release(&d->deploying);
	return redeploy_start(&d->redeploy, d->context->loop, argv0, d->context->options->arguments, err);
}

/* What these options replace serves until then, if it can: the new one may be what mends it. */
static int keep_serving(struct deployment *d, const struct container_state *state, struct err *err)
{
	if (state->running)
		return 0;
	log_notice("starting the container %s", d->name);
	if (generation_start(d, err) == 0)
		return 0;
	if (err->kind == ERR_CANCELLED || err->kind == ERR_CONFLICT)
		return -1;
	log_err(LOG_LEVEL_WARNING, err);
	err_clear(err);
	return 0;
}

/* NAME is there. What others put in its place while this process served, or since then, is what is wanted now. */
static int take(struct deployment *d, enum generation_found found, const struct container_state *state,
		enum follow_mode *mode, struct err *err)
{
	bool others = found == GENERATION_OTHER && (d->served || deployment_is_wanted(d));

	if (found == GENERATION_OTHER && !others) {
		log_notice("%s was made with other options; it serves until these are carried out", d->name);
		*mode = FOLLOW_OLD;
		return keep_serving(d, state, err) < 0 ? -1 : deployment_hand_over(d, REDEPLOY_ARGV0, err);
	}
	if (others && !d->served)
		log_notice("these options have been carried out, and %s is what was deployed since", d->name);
	if (adopt(d, state, err) < 0)
		return -1;
	if (!others)
		deployment_note_wanted(d);
	return d->prev_runs ? deployment_hand_over(d, REDEPLOY_MEND_ARGV0, err) : 0;
}

/* Brings NAME to life: adopts it, starts it, makes it, or has it replaced. */
static int bring_up(struct deployment *d, enum follow_mode *mode, struct err *err)
{
	CLEANUP(container_state_clear) struct container_state state = { 0 };
	enum generation_found found;

	*mode = FOLLOW_FRESH;
	if (await_docker(d, err) < 0)
		return -1;
	int turn = take_turn(d, err);
	if (turn > 0 && !d->served) {
		*mode = FOLLOW_OLD;
		return deployment_hand_over(d, REDEPLOY_ARGV0, err);
	}
	if (turn)
		return turn < 0 ? -1 : 0;
	if (generation_find(d, &found, &state, err) < 0)
		return -1;
	if (found != GENERATION_NONE)
		return take(d, found, &state, mode, err);
	if (make_first(d, err) < 0)
		return -1;
	deployment_note_wanted(d);
	return 0;
}

/* After bring_up(): follow for life. Returns 0 to look again. */
static int serve(struct deployment *d, enum follow_mode mode, struct err *err)
{
	bool stay = streq(opt_str(d->context->options, OPT_ON_FAILURE), "stay");
	enum follow_end end;
	struct err why;

	(void)snprintf(d->snapshot.container, sizeof d->snapshot.container, "%s", d->name);
	deploy_lock_release(&d->deploying);
	if (follow_container(d, mode, -1, &end, &why, err) < 0)
		return -1;
	if (end == FOLLOW_NOT_READY) {
		app_log_show(d->context->docker, d->name);
		log_err(LOG_LEVEL_ERROR, &why);
		deployment_tell(d, BOARD_FAILED, "probe", "%s", why.msg);
		struct err later;
		int64_t give_up_ms = stay ? -1 : clock_mono_ms() + FAILED_LINGER_MS;
		if (follow_container(d, FOLLOW_FAILED, give_up_ms, &end, &later, err) < 0)
			return -1;
		if (end == FOLLOW_NOT_READY) {
			d->failure_shown = true;
			*err = why;
			return -1;
		}
	}
	log_notice("container %s is gone; looking again", d->name);
	return 0;
}

static int attempt(struct deployment *d, struct err *err)
{
	enum follow_mode mode;

	return bring_up(d, &mode, err) < 0 ? -1 : serve(d, mode, err);
}

/* A temporary failure: say it, wait, try again. */
static int wait_to_retry(struct deployment *d, struct err *why, int64_t *delay_ms, struct err *err)
{
	char line[ERR_LINE_MAX];
	int64_t wait = *delay_ms / 2 + clock_jitter((uint32_t)*delay_ms / 2 + 1);

	if (why->retry_after_ms > wait)
		wait = why->retry_after_ms;
	*delay_ms = *delay_ms * 2 > RETRY_MAX_MS ? RETRY_MAX_MS : *delay_ms * 2;
	log_warning("%s; trying again in %.1f s", err_line(why, line, sizeof line), (double)wait / 1e3);
	deployment_tell(d, BOARD_STARTING, "", "%s; trying again", why->msg);
	d->context->last_progress_ms = clock_mono_ms() + wait;
	return loop_sleep(d->context->loop, wait, err);
}

static bool never(void *arg)
{
	(void)arg;
	return false;
}

/* A permanent failure is shown on the endpoint first: the ALB and people have to see it. */
static int linger(struct deployment *d, struct err *why, struct err *err)
{
	bool stay = streq(opt_str(d->context->options, OPT_ON_FAILURE), "stay");
	char line[ERR_LINE_MAX];

	if (d->failure_shown) {
		*err = *why;
		return -1;
	}
	deployment_tell(d, BOARD_FAILED, "", "%s", err_line(why, line, sizeof line));
	log_err(LOG_LEVEL_ERROR, why);
	d->context->last_progress_ms = INT64_MAX / 2; /* waiting is all there is to do */
	int waited = loop_wait(d->context->loop, never, NULL, stay ? -1 : clock_mono_ms() + FAILED_LINGER_MS, err);
	if (waited < 0 && err->kind != ERR_TIMEOUT)
		return -1;
	*err = *why;
	return -1;
}

int deployment_run(struct deployment *d, struct err *err)
{
	int64_t delay_ms = RETRY_FIRST_MS;

	for (;;) {
		if (attempt(d, err) == 0) {
			delay_ms = RETRY_FIRST_MS;
			continue;
		}
		if (err->kind == ERR_CANCELLED)
			return -1;
		struct err why = *err;
		deploy_lock_release(&d->deploying); /* not while it waits */
		if (!why.retryable)
			return linger(d, &why, err);
		if (wait_to_retry(d, &why, &delay_ms, err) < 0)
			return -1;
	}
}
