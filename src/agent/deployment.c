#include "agent/deployment.h"

#include <stdarg.h>
#include <unistd.h>

#include "agent/follow.h"
#include "agent/generation.h"
#include "agent/login.h"
#include "agent/notify.h"
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

void deployment_tell(struct deployment *d, enum board_status status, const char *phase, const char *reason, ...)
{
	struct snapshot *s = &d->snapshot;
	char text[sizeof s->reason] = "";
	va_list args;

	if (reason) {
		va_start(args, reason);
		(void)vsnprintf(text, sizeof text, reason, args);
		va_end(args);
		text_clean(text); /* it becomes a line of sd_notify's too */
	}
	bool changed = s->status != status || !streq(s->reason, text) || (*phase && !streq(s->phase, phase));
	s->status = status;
	memcpy(s->reason, text, sizeof text);
	if (*phase)
		(void)snprintf(s->phase, sizeof s->phase, "%s", phase);
	board_publish(d->board, s);
	if (!changed)
		return;
	notify_send("STATUS=%s%s%s", board_status_name(status), *text ? ": " : "", text);
	write_status_file(d);
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

/* Brings NAME to life: adopts it, starts it, or makes it. */
static int bring_up(struct deployment *d, struct err *err)
{
	CLEANUP(container_state_clear) struct container_state state = { 0 };
	enum generation_found found;
	struct acquired image;

	if (await_docker(d, err) < 0)
		return -1;
	if (generation_find(d, &found, &state, err) < 0)
		return -1;
	if (found == GENERATION_SAME) {
		(void)snprintf(d->snapshot.digest, sizeof d->snapshot.digest, "%s", state.label_digest ?: "");
		log_notice("%s %s", state.running ? "adopting the running container" : "starting the container", d->name);
		return state.running ? 0 : generation_start(d, err);
	}
	if (acquire(d, &image, err) < 0)
		return -1;
	deployment_tell(d, BOARD_STARTING, "start", "starting container %s", d->name);
	return generation_make(d, &image, found == GENERATION_OTHER ? &state : NULL, err);
}

/* What the app said last: the first question of whoever reads the log. */
static void show_logs(struct deployment *d)
{
	CLEANUP(buf_free) struct buf text = BUF_INIT(DOCKER_LOG_MAX_BYTES);
	struct err err;

	if (container_logs(d->context->docker, d->name, LOG_LINES_ON_FAILURE, &text, &err) < 0) {
		log_info("no logs of %s: %s", d->name, err.msg);
		return;
	}
	for (char *line = text.data, *next; line && *line; line = next) {
		next = strchr(line, '\n');
		if (next)
			*next++ = '\0';
		log_error("%s | %s", d->name, line);
	}
}

/* The new container was no good: the one before serves again, if this run replaced one. 1: restored. */
static int fall_back(struct deployment *d, const struct err *why, struct err *err)
{
	if (!d->replaced)
		return 0;
	log_err(LOG_LEVEL_ERROR, why);
	log_notice("going back to the container before");
	if (generation_restore(d, err) < 0)
		return err_wrap(err, "restore %s", d->prev);
	return 1;
}

/* After bring_up(): follow for life. Returns 0 to look again. */
static int serve(struct deployment *d, struct err *err)
{
	bool stay = streq(opt_str(d->context->options, OPT_ON_FAILURE), "stay");
	enum follow_end end;
	struct err why;

	(void)snprintf(d->snapshot.container, sizeof d->snapshot.container, "%s", d->name);
	if (follow_container(d, FOLLOW_FRESH, -1, &end, &why, err) < 0)
		return -1;
	if (end == FOLLOW_NOT_READY) {
		show_logs(d);
		int restored = fall_back(d, &why, err);
		if (restored < 0)
			return -1;
		if (restored)
			return follow_container(d, FOLLOW_OLD, -1, &end, &why, err);
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
	d->replaced = false; /* what was replaced is history now: nothing to go back to */
	log_notice("container %s is gone; looking again", d->name);
	return 0;
}

static int attempt(struct deployment *d, struct err *err)
{
	if (bring_up(d, err) < 0) {
		/* A temporary failure says nothing about the new container. */
		if (!d->replaced || err->kind == ERR_CANCELLED || err->retryable)
			return -1;
		struct err why = *err;
		if (fall_back(d, &why, err) < 0)
			return -1;
	}
	return serve(d, err);
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
		if (!why.retryable)
			return linger(d, &why, err);
		if (wait_to_retry(d, &why, &delay_ms, err) < 0)
			return -1;
	}
}

int deployment_drain(struct deployment *d, struct err *err)
{
	int64_t drain_ms = opt_number(d->context->options, OPT_DRAIN_TIMEOUT);

	loop_uncancel(d->context->loop); /* a second signal cuts the drain short */
	deployment_tell(d, BOARD_DRAINING, "drain", "berth was told to stop");
	notify_send("STOPPING=1\nEXTEND_TIMEOUT_USEC=%lld", (long long)(drain_ms + DOCKER_TIMEOUT_MS) * 1000);
	log_notice("draining for %.1f s", (double)drain_ms / 1e3);
	d->context->last_progress_ms = clock_mono_ms() + drain_ms;
	if (loop_sleep(d->context->loop, drain_ms, err) < 0) {
		loop_uncancel(d->context->loop);
		err_clear(err);
	}
	deployment_tell(d, BOARD_DRAINING, "stop", "stopping the container");
	if (container_stop(d->context->docker, d->name, -1, err) < 0 && err->kind != ERR_NOT_FOUND)
		return -1;
	err_clear(err);
	return 0;
}

static int open_options(struct deployment *d, struct err *err)
{
	const struct options *o = d->context->options;
	const char *image = opt_str(o, OPT_IMAGE), *probe = opt_str(o, OPT_PROBE);

	if (!image) {
		err_set(err, ERR_USAGE, "no image");
		return err_hint(err, "give it as the first argument, as BERTH_IMAGE, or in " OPTIONS_CONFIG_PATH);
	}
	if (reference_parse(image, &d->ref, err) < 0)
		return opt_wrap(o, OPT_IMAGE, err);
	d->image = reference_str(&d->ref);
	d->name = xstrdup(opt_str(o, OPT_NAME) ?: reference_name(&d->ref));
	if (container_name_check(d->name, err) < 0) {
		(void)err_wrap(err, "the image's name makes no container name");
		return err_hint(err, "choose one with --name");
	}
	d->next = xasprintf("%s-next", d->name);
	d->prev = xasprintf("%s-prev", d->name);
	if (probe && probe_parse(probe, &d->probe, err) < 0)
		return opt_wrap(o, OPT_PROBE, err);
	d->probe_given = probe != NULL;
	return login_check(o, err) < 0 ? -1 : spec_open(o, d->name, &d->spec, d->config_hash, err);
}

static int take_lock(struct deployment *d, struct err *err)
{
	const char *run_dir = opt_str(d->context->options, OPT_RUN_DIR);
	CLEANUP(freep) char *lock = xasprintf("%s/%s.lock", run_dir, d->name);

	d->status_path = xasprintf("%s/%s.json", run_dir, d->name);
	if (fs_mkdirs(run_dir, err) < 0)
		return -1;
	if (fs_lock(lock, 0, &d->lock_fd, err) == 0)
		return 0;
	if (err->kind != ERR_CONFLICT)
		return -1;
	err_set(err, ERR_CONFLICT, "another `berth up` serves %s", d->name);
	return err_hint(err, "`berth status --name %s` shows it; `systemctl restart berth` replaces it", d->name);
}

int deployment_open(struct deployment *d, struct context *c, struct board *board, struct err *err)
{
	struct snapshot *s = &d->snapshot;

	*d = (struct deployment){ .context = c, .board = board, .lock_fd = -1 };
	if (open_options(d, err) < 0 || take_lock(d, err) < 0) {
		deployment_close(d);
		return -1;
	}
	d->progress = progress_new(c->options);
	s->started_ms = clock_wall_ms();
	s->pid = getpid();
	(void)snprintf(s->image, sizeof s->image, "%s", d->image);
	deployment_tell(d, BOARD_STARTING, "start", "berth has started");
	return 0;
}

void deployment_close(struct deployment *d)
{
	pull_rest_free(d->rest);
	progress_free(d->progress);
	if (d->lock_fd >= 0 && d->status_path)
		(void)unlink(d->status_path); /* it says what a running berth thinks; there is none now */
	spec_close(&d->spec);
	probe_clear(&d->probe);
	reference_free(&d->ref);
	free(d->image);
	free(d->name);
	free(d->next);
	free(d->prev);
	free(d->status_path);
	closep(&d->lock_fd);
}
