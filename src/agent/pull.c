#include "agent/pull_internal.h"

#include "agent/transfer.h"
#include "base/clock.h"
#include "base/log.h"
#include "engine/container.h"

static void phase(const struct pull_job *j, const char *name)
{
	j->context->last_progress_ms = clock_mono_ms();
	if (j->hooks && j->hooks->phase)
		j->hooks->phase(j->hooks->arg, name);
}

/* The loop is cancelled by a timer when resolving takes too long; a cancellation by signal stays one. */
struct deadline {
	struct loop *loop;
	struct loop_timer *timer;
	bool passed;
};

static void on_deadline(void *arg)
{
	struct deadline *d = arg;

	d->timer = NULL;
	if (loop_cancelled(d->loop))
		return; /* a signal came first: it must not be taken back */
	d->passed = true;
	loop_cancel(d->loop, "the deadline");
}

static int resolve(struct pull_job *j, int64_t deadline_ms, struct err *err)
{
	struct deadline d = { .loop = j->context->loop };
	struct registry_config config = {
		.ref = j->ref,
		.login = login_registry,
		.login_arg = &j->login,
		.basic_at_once = login_is_basic(j->ref),
	};

	if (deadline_ms >= 0)
		d.timer = loop_timer_start(d.loop, deadline_ms - clock_mono_ms(), on_deadline, &d);
	int result = registry_new(j->context->http, j->context->loop, &config, &j->registry, err);
	if (result == 0)
		result = registry_resolve(j->registry, &j->context->platform, &j->image, err);
	loop_timer_cancel(d.timer);
	if (d.passed) {
		loop_uncancel(d.loop);
		if (result < 0)
			err_set(err, ERR_TIMEOUT, "no answer from %s in time", j->ref->host);
	}
	return result;
}

/*
 * An image without any name in the containerd store may be one whose load was cut before its layers
 * were unpacked: loading it again costs nothing when they were.
 */
static bool may_be_half(const struct pull_job *j, const struct image_state *state)
{
	return docker_info(j->context->docker)->store == DOCKER_STORE_CONTAINERD && !state->repo_tags.n &&
	       !state->repo_digests.n;
}

/* True when the engine has the whole image; gives it the name where that is missing. */
static int already_there(struct pull_job *j, const char *id, bool *there, struct err *err)
{
	CLEANUP(image_state_clear) struct image_state state = { 0 };

	*there = false;
	if (image_inspect(j->context->docker, id, &state, err) < 0) {
		if (err->kind != ERR_NOT_FOUND)
			return -1;
		err_clear(err);
		return 0;
	}
	if (may_be_half(j, &state))
		return 0;
	*there = true;
	if (!j->name || strv_contains(&state.repo_tags, j->name) || strv_contains(&state.repo_tags, j->full_name))
		return 0;
	return image_tag(j->context->docker, id, j->name, err);
}

/* One attempt to move the layers; skipping what the engine has, unless that turned out wrong. */
static int attempt(struct pull_job *j, struct pulled *out, struct transfer_result *result, struct err *err)
{
	struct transfer_request req = {
		.registry = j->registry,
		.store = j->store,
		.image = &j->store_image,
		.resolved = &j->image,
		.skip = j->skip,
		.progress = j->progress,
		.hooks = j->hooks,
	};

	*result = (struct transfer_result){ 0 };
	memset(j->skip, 0, j->image.parsed.n_layers * sizeof *j->skip);
	pull_choose_keeping(j);
	if (!j->sends_all && j->store->present(j->context->docker, &j->store_image, j->skip, err) < 0) {
		if (err->kind == ERR_CONFIG && j->store->fallback)
			result->trouble = TRANSFER_INCAPABLE;
		return -1;
	}
	pull_choose_keeping(j); /* again: less is wanted now */
	if (pull_hint_sizes(j, err) < 0)
		return -1;
	pull_show_layers(j);
	int ended = transfer_run(j->context, &req, result, err);
	progress_end(j->progress);
	out->bytes += result->bytes;
	out->n_fetched = result->n_fetched;
	return ended;
}

/* Nothing was wrong with the image: the engine would not take it from us. */
static int by_daemon(struct pull_job *j, struct pulled *out, const struct err *why, struct err *err)
{
	struct pull_daemon what = pull_to_daemon(j, out->image_id);
	struct err told = *why;

	(void)err_wrap(&told, "letting Docker pull the image itself");
	log_err(LOG_LEVEL_WARNING, &told);
	memset(j->skip, 0, j->image.parsed.n_layers * sizeof *j->skip);
	pull_show_layers(j);
	int result = pull_daemon_image(&what, j->progress, err);
	progress_end(j->progress);
	out->store = "daemon";
	return result;
}

/* True at the first time. */
static bool once(bool *done)
{
	bool first = !*done;

	*done = true;
	return first;
}

static bool use_fallback(struct pull_job *j)
{
	j->store = j->store->fallback;
	j->lacks = j->store->lacks;
	return true;
}

/* A layer that it had said it has: content pruned, snapshot kept; or an image of a load in parts. */
static bool send_all(struct pull_job *j)
{
	if (!once(&j->sends_all))
		return false;
	if (j->store->where_lacking)
		j->store = j->store->where_lacking;
	return true;
}

static bool fetch_again(struct pull_job *j)
{
	return once(&j->fetched_again);
}

static bool do_without_hints(struct pull_job *j)
{
	return once(&j->no_hints);
}

/* What makes another attempt different from the one that failed. False: there has been that already. */
static bool (*const remedies[TRANSFER_TROUBLES])(struct pull_job *j) = {
	[TRANSFER_BAD_BYTES] = fetch_again,
	[TRANSFER_BAD_HINT] = do_without_hints,
	[TRANSFER_ENGINE_LACKS] = send_all,
	[TRANSFER_INCAPABLE] = use_fallback,
};

static int move_layers(struct pull_job *j, struct pulled *out, struct err *err)
{
	struct transfer_result result;

	while (attempt(j, out, &result, err) < 0) {
		if (result.trouble == TRANSFER_ENGINE_HANGS &&
		    docker_info(j->context->docker)->store != DOCKER_STORE_PODMAN) {
			struct err why = *err;
			return by_daemon(j, out, &why, err);
		}
		if (!remedies[result.trouble] || !remedies[result.trouble](j))
			return -1;
		if (result.trouble == TRANSFER_INCAPABLE)
			log_err(LOG_LEVEL_WARNING, err);
		else
			log_info("%s; fetching again", err->msg);
	}
	out->store = j->store->name;
	out->was_fast = j->store->fast && result.n_fetched;
	return 0;
}

static void choose_store(struct pull_job *j)
{
	struct docker *docker = j->context->docker;
	struct err why;

	j->store = store_choose(docker, &why);
	if (why.kind != ERR_NONE)
		log_err(LOG_LEVEL_WARNING, &why);
	if (opt_flag(j->context->options, OPT_FAST_LOAD)) {
		j->store = store_choose_fast(docker, j->store, &why);
		if (why.kind != ERR_NONE)
			log_err(LOG_LEVEL_WARNING, &why);
	}
	j->lacks = j->store->lacks;
}

static int run(struct pull_job *j, int64_t deadline_ms, struct pulled *out, struct err *err)
{
	int64_t began = clock_mono_ms();

	phase(j, "resolve");
	if (resolve(j, deadline_ms, err) < 0) {
		if (err->kind == ERR_NETWORK || err->kind == ERR_TIMEOUT)
			err_hint(err, "does this instance reach it? DNS, security group, route (NAT gateway or VPC "
				      "endpoints), HTTPS_PROXY");
		return err_wrap(err, "resolve %s", reference_name(j->ref));
	}
	pull_describe(j);
	choose_store(j);
	j->store->image_id(j->context->docker, &j->store_image, out->image_id);
	memcpy(out->digest, j->image.top.descriptor.digest.text, DIGEST_SIZE);
	out->n_layers = j->image.parsed.n_layers;
	if (j->hooks && j->hooks->resolved && j->hooks->resolved(j->hooks->arg, out->digest, err) < 0)
		return -1;
	if (already_there(j, out->image_id, &out->was_present, err) < 0)
		return -1;
	out->store = "";
	if (out->was_present && j->store->tidy && j->store->tidy(j->context->docker, err) < 0)
		return -1;
	if (!out->was_present) {
		phase(j, "pull");
		if (move_layers(j, out, err) < 0)
			return err_wrap(err, "pull %s", reference_name(j->ref));
	}
	out->took_ms = clock_mono_ms() - began;
	return 0;
}

int pull_image(struct context *c, const struct reference *ref, int64_t resolve_deadline_ms,
	       struct progress *progress, const struct pull_hooks *hooks, struct pulled *out, struct pull_rest **rest,
	       struct err *err)
{
	struct pull_job *j = xcalloc(1, sizeof *j);
	struct pulled pulled = { 0 };
	struct pull_rest *left = NULL;

	*j = (struct pull_job){
		.context = c,
		.ref = ref,
		.progress = progress,
		.hooks = hooks,
		.login = { .context = c, .ref = ref },
		.whole = !rest,
	};
	int result = run(j, resolve_deadline_ms, &pulled, err);
	if (result == 0)
		result = pull_rest_find(&j, &pulled, &left, err);
	if (j)
		pull_job_free(j);
	if (result == 0 && left && !rest)
		result = pull_rest_do(left, progress, &pulled, err);
	if (result == 0)
		*out = pulled;
	if (rest)
		*rest = STEAL(left);
	pull_rest_free(left);
	return result;
}
