#include "cmd/cmd.h"

#include "agent/login.h"
#include "agent/pull.h"
#include "agent/record.h"
#include "base/log.h"

/* A bake is watched by people: a few attempts, then it is theirs. */
#define PULL_ATTEMPTS 4
#define PULL_PATIENCE_MS 60000 /* with Docker and with the metadata service, each time */

struct pull_job {
	struct context *context;
	struct reference *ref;
	char *image;
	struct progress *progress;
	struct pulled pulled;
};

static void on_phase(void *arg, const char *phase)
{
	const struct pull_job *j = arg;

	log_info("%s %s", streq(phase, "pull") ? "pulling" : "resolving", j->image);
}

static void say(const char *what, const struct err *err)
{
	char line[ERR_LINE_MAX];

	log_warning("%s; %s", err_line(err, line, sizeof line), what);
}

/* Asked anew before each attempt: the one before may have ended with the engine. */
static int wait_for_docker(struct pull_job *j, struct err *err)
{
	if (docker_connect(j->context->docker, err) == 0)
		return 0;
	if (!err->retryable)
		return -1;
	say("waiting for it", err);
	return docker_wait(j->context->docker, PULL_PATIENCE_MS, err);
}

static int pull_patiently(struct pull_job *j, struct err *err)
{
	const struct pull_hooks hooks = { .phase = on_phase, .arg = j };

	for (unsigned int failures = 1;; failures++) {
		if (wait_for_docker(j, err) < 0)
			return -1; /* it has had its time */
		if (pull_image(j->context, j->ref, -1, j->progress, &hooks, &j->pulled, NULL, err) == 0)
			return 0;
		if (!err->retryable || err->waited_out || failures == PULL_ATTEMPTS)
			return -1;
		say("trying again", err);
		if (loop_sleep(j->context->loop, net_retry_delay_ms(failures, err), err) < 0)
			return -1;
	}
}

static void print_json(const char *image, const struct pulled *p)
{
	struct json *o = json_new_object();

	json_set_str(o, "image", image);
	json_set_str(o, "id", p->image_id);
	json_set_str(o, "digest", p->digest);
	json_set_str(o, "store", *p->store ? p->store : NULL);
	json_set_bool(o, "fast_load", p->was_fast);
	json_set_bool(o, "present", p->was_present);
	json_set_int(o, "layers", (int64_t)p->n_layers);
	json_set_int(o, "layers_fetched", (int64_t)p->n_fetched);
	json_set_int(o, "bytes", p->bytes);
	json_set_int(o, "took_ms", p->took_ms);
	json_set_int(o, "backfilled_bytes", p->backfilled_bytes);
	json_set_int(o, "backfill_ms", p->backfill_ms);
	CLEANUP(freep) char *text = json_print(o, false);
	json_free(o);
	puts(text);
}

static void print_text(const char *image, const struct pulled *p)
{
	char size[SIZE_TEXT_MAX];

	printf("%s\n  id      %s\n  digest  %s\n", image, p->image_id, p->digest);
	if (p->was_present)
		printf("  already there\n");
	else
		printf("  pulled  %zu of %zu layers, %s in %.1f s (%s%s)\n", p->n_fetched, p->n_layers,
		       size_text(p->bytes, size), (double)p->took_ms / 1e3, p->store, p->was_fast ? ", fast" : "");
	if (p->backfilled_bytes)
		printf("  backfilled %s in %.1f s\n", size_text(p->backfilled_bytes, size),
		       (double)p->backfill_ms / 1e3);
}

static int pull(struct pull_job *j, const struct options *o, struct err *err)
{
	struct err noted;

	if (pull_patiently(j, err) < 0)
		return -1;
	if (record_image(opt_str(o, OPT_STATE_DIR), j->image, j->pulled.image_id,
						   j->pulled.digest, j->pulled.store, &noted) < 0)
		log_err(LOG_LEVEL_WARNING, &noted); /* history only */
	if (opt_flag(o, OPT_JSON))
		print_json(j->image, &j->pulled);
	else
		print_text(j->image, &j->pulled);
	return 0;
}

int cmd_pull(const struct invocation *in, struct err *err)
{
	const char *image = opt_str(&in->options, OPT_IMAGE);
	CLEANUP(reference_free) struct reference ref = { 0 };
	struct context c;

	if (!image)
		return err_set(err, ERR_USAGE, "no image: `berth pull IMAGE`");
	if (reference_parse(image, &ref, err) < 0)
		return opt_wrap(&in->options, OPT_IMAGE, err);
	if (login_check(&in->options, err) < 0 || context_open(&c, &in->options, PULL_PATIENCE_MS, err) < 0)
		return -1;
	CLEANUP(freep) char *name = reference_str(&ref);
	struct pull_job job = { .context = &c, .ref = &ref, .image = name, .progress = progress_new(&in->options) };
	int result = pull(&job, &in->options, err);
	progress_free(job.progress);
	context_close(&c);
	return result;
}
