#include "cmd/cmd.h"

#include "agent/pull.h"
#include "agent/record.h"
#include "base/log.h"

/* A bake is watched by people: a few attempts, then it is theirs. */
#define PULL_ATTEMPTS 4
#define DOCKER_PATIENCE_MS 300000

struct pull_job {
	struct context *context;
	struct reference *ref;
	struct progress *progress;
	struct pulled pulled;
};

static int pull_once(void *arg, struct err *err)
{
	struct pull_job *j = arg;

	/* Also on a second attempt: the first may have ended with the engine. */
	if (docker_wait(j->context->docker, DOCKER_PATIENCE_MS, err) < 0)
		return err_wrap(err, "docker");
	return pull_image(j->context, j->ref, -1, j->progress, NULL, &j->pulled, err);
}

static void print_json(const char *image, const struct pulled *p)
{
	struct json *o = json_new_object();

	json_set_str(o, "image", image);
	json_set_str(o, "id", p->image_id);
	json_set_str(o, "digest", p->digest);
	json_set_str(o, "store", *p->store ? p->store : NULL);
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
		printf("  pulled  %zu of %zu layers, %s in %.1f s (%s)\n", p->n_fetched, p->n_layers,
		       size_text(p->bytes, size), (double)p->took_ms / 1e3, p->store);
	if (p->backfilled_bytes)
		printf("  backfilled %s in %.1f s\n", size_text(p->backfilled_bytes, size), (double)p->backfill_ms / 1e3);
}

static int pull(struct pull_job *j, const struct options *o, struct err *err)
{
	CLEANUP(freep) char *image = reference_str(j->ref);
	struct err noted;

	if (net_retry(j->context->loop, PULL_ATTEMPTS, pull_once, j, err) < 0)
		return -1;
	if (!j->pulled.was_present && record_image(opt_str(o, OPT_STATE_DIR), image, j->pulled.image_id,
						   j->pulled.digest, j->pulled.store, &noted) < 0)
		log_err(LOG_LEVEL_WARNING, &noted); /* history only */
	if (opt_flag(o, OPT_JSON))
		print_json(image, &j->pulled);
	else
		print_text(image, &j->pulled);
	return 0;
}

int cmd_pull(const struct invocation *in, struct err *err)
{
	const char *image = opt_str(&in->options, OPT_IMAGE);
	CLEANUP(reference_free) struct reference ref = { 0 };
	struct context c;

	if (!image)
		return err_set(err, ERR_USAGE, "no image: `berth pull IMAGE`");
	if (reference_parse(image, &ref, err) < 0 || context_open(&c, &in->options, IMDS_OUTAGE_MAX_MS, err) < 0)
		return -1;
	struct pull_job job = { .context = &c, .ref = &ref, .progress = progress_new(&in->options) };
	int result = pull(&job, &in->options, err);
	progress_free(job.progress);
	context_close(&c);
	return result;
}
