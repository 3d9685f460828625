/*
 * What is left for later: the blobs of layers that the engine got unpacked (--backfill),
 * or the digest that the image came by.
 */
#include "agent/pull_internal.h"

#include "agent/backfill.h"
#include "base/clock.h"
#include "base/log.h"
#include "engine/daemon_pull.h"

/* What the rest may use of the bandwidth while the app runs; and at least, where the pull was too small to tell. */
#define REST_SHARE 4
#define REST_LEAST_BYTES_PER_S ((int64_t)(2 * MIB))

struct pull_rest {
	struct pull_job *job; /* as the pull left it */
	bool *lacks; /* layers; NULL: only the digest */
	int64_t rate_bytes_per_s; /* 0: no limit */
	struct backfill *backfill;
	struct daemon_pull *naming;
	bool given_up; /* naming could not even begin */
};

/* Takes the job where the engine has the image, but not the digest that it came by. */
static void find_digest(struct pull_job **job, const struct pulled *pulled, struct pull_rest **out)
{
	struct pull_daemon what = pull_to_daemon(*job, pulled->image_id);

	if (!pull_daemon_lacks_digest(&what))
		return;
	(*job)->hooks = NULL;
	*out = xcalloc(1, sizeof **out);
	(*out)->job = STEAL(*job);
}

int pull_rest_find(struct pull_job **job, const struct pulled *pulled, struct pull_rest **out, struct err *err)
{
	struct pull_job *j = *job;
	size_t n = j->image.parsed.n_layers, lacking = 0;
	CLEANUP(freep) bool *lacks = xcalloc(n, sizeof *lacks);
	int64_t rate = pulled->bytes / REST_SHARE * 1000 / (pulled->took_ms + 1);

	*out = NULL;
	if (!j->lacks)
		find_digest(job, pulled, out);
	if (!j->lacks || streq(opt_str(j->context->options, OPT_BACKFILL), "no"))
		return 0;
	if (j->lacks(j->context->docker, &j->store_image, lacks, err) < 0)
		return -1;
	for (size_t i = 0; i < n; i++) {
		lacking += lacks[i];
		j->skip[i] = !lacks[i];
	}
	if (!lacking)
		return 0;
	j->hooks = NULL;
	*out = xcalloc(1, sizeof **out);
	**out = (struct pull_rest){
		.job = STEAL(*job),
		.lacks = STEAL(lacks),
		.rate_bytes_per_s = rate > REST_LEAST_BYTES_PER_S ? rate : REST_LEAST_BYTES_PER_S,
	};
	return 0;
}

static int start_rest(struct pull_rest *r, struct progress *progress, int64_t rate, struct err *err)
{
	struct pull_job *j = r->job;
	const struct backfill_request req = {
		.registry = j->registry,
		.image = &j->store_image,
		.resolved = &j->image,
		.lacks = r->lacks,
		.progress = progress,
		.rate_bytes_per_s = rate,
	};

	return backfill_start(j->context, &req, &r->backfill, err) < 0 ? err_wrap(err, "backfill") : 0;
}

/* That the engine knows the digest is a nicety: nothing fails for it. */
static void start_naming(struct pull_rest *r)
{
	struct pull_daemon what = pull_to_daemon(r->job, "");
	struct err err;

	r->given_up = pull_daemon_name(&what, &r->naming, &err) < 0;
	if (r->given_up)
		log_debug("Docker does not note the image's digest: %s", err.msg);
}

static void finish_naming(const struct pull_rest *r)
{
	struct err err;

	if (r->naming && daemon_pull_ended(r->naming, &err) && err.kind != ERR_NONE)
		log_debug("Docker does not note the image's digest: %s", err.msg);
}

int pull_rest_start(struct pull_rest *r, struct err *err)
{
	if (!r->lacks) {
		start_naming(r);
		return 0;
	}
	return start_rest(r, NULL, r->rate_bytes_per_s, err);
}

bool pull_rest_started(const struct pull_rest *r)
{
	return r->backfill || r->naming || r->given_up;
}

bool pull_rest_settled(const struct pull_rest *r)
{
	struct err ignored;

	return r->given_up || (r->backfill && backfill_settled(r->backfill)) ||
	       (r->naming && daemon_pull_ended(r->naming, &ignored));
}

int pull_rest_finish(struct pull_rest *r, int64_t *bytes, struct err *err)
{
	if (!r->lacks) {
		finish_naming(r);
		*bytes = 0;
		return 0;
	}
	return backfill_finish(r->backfill, bytes, err) < 0 ? err_wrap(err, "backfill") : 0;
}

void pull_rest_free(struct pull_rest *r)
{
	if (!r)
		return;
	backfill_free(r->backfill);
	daemon_pull_free(r->naming);
	pull_job_free(r->job);
	free(r->lacks);
	free(r);
}

static bool is_settled(void *arg)
{
	return pull_rest_settled(arg);
}

/* Nothing but a cancellation fails it. */
static int do_naming(struct pull_rest *r, struct err *err)
{
	start_naming(r);
	if (loop_wait(r->job->context->loop, is_settled, r, -1, err) < 0)
		return -1;
	finish_naming(r);
	return 0;
}

int pull_rest_do(struct pull_rest *r, struct progress *progress, struct pulled *out, struct err *err)
{
	if (!r->lacks)
		return do_naming(r, err);
	int64_t began = clock_mono_ms();

	pull_show_layers(r->job);
	int result = start_rest(r, progress, 0, err);
	if (result == 0)
		result = pull_rest_finish(r, &out->backfilled_bytes, err);
	progress_end(progress);
	out->backfill_ms = clock_mono_ms() - began;
	return result;
}
