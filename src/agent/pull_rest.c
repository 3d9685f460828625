/* What --backfill leaves for later: the blobs of layers that the engine got unpacked. */
#include "agent/pull_internal.h"

#include "agent/backfill.h"
#include "base/clock.h"

struct pull_rest {
	struct pull_job *job; /* as the pull left it */
	bool *lacks;
	int64_t rate_bytes_per_s; /* 0: no limit */
	struct backfill *backfill;
};

/* What the rest may use of the bandwidth while the app runs; and at least, where the pull was too small to tell. */
#define REST_SHARE 4
#define REST_LEAST_BYTES_PER_S ((int64_t)(2 * MIB))

int pull_rest_find(struct pull_job **job, const struct pulled *pulled, struct pull_rest **out, struct err *err)
{
	struct pull_job *j = *job;
	size_t n = j->image.parsed.n_layers, lacking = 0;
	CLEANUP(freep) bool *lacks = xcalloc(n, sizeof *lacks);
	int64_t rate = pulled->bytes / REST_SHARE * 1000 / (pulled->took_ms + 1);

	*out = NULL;
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

int pull_rest_start(struct pull_rest *r, struct err *err)
{
	return start_rest(r, NULL, r->rate_bytes_per_s, err);
}

bool pull_rest_started(const struct pull_rest *r)
{
	return r->backfill;
}

bool pull_rest_settled(const struct pull_rest *r)
{
	return r->backfill && backfill_settled(r->backfill);
}

int pull_rest_finish(struct pull_rest *r, int64_t *bytes, struct err *err)
{
	return backfill_finish(r->backfill, bytes, err) < 0 ? err_wrap(err, "backfill") : 0;
}

void pull_rest_free(struct pull_rest *r)
{
	if (!r)
		return;
	backfill_free(r->backfill);
	pull_job_free(r->job);
	free(r->lacks);
	free(r);
}

int pull_rest_do(struct pull_rest *r, struct progress *progress, struct pulled *out, struct err *err)
{
	int64_t began = clock_mono_ms();

	pull_show_layers(r->job);
	int result = start_rest(r, progress, 0, err);
	if (result == 0)
		result = pull_rest_finish(r, &out->backfilled_bytes, err);
	progress_end(progress);
	out->backfill_ms = clock_mono_ms() - began;
	return result;
}
