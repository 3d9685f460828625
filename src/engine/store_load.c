/* Images by POST /images/load, streamed while they arrive. */
#include "engine/store.h"

#include "base/mem.h"
#include "engine/docker_internal.h"
#include "engine/load_checks.h"
#include "engine/load_documents.h"
#include "engine/load_pipeline.h"
#include "engine/load_present.h"
#include "engine/load_spool.h"
#include "engine/load_temporary.h"

struct store_session {
	struct docker *docker;
	struct loop *loop;
	const struct store_image *image;
	struct load_pipeline *pipeline;
	bool incomplete; /* layers were left out */
};

/* An OCI layout names layers by the digest of their compressed bytes. */
static bool load_takes_raw(struct docker *d)
{
	return docker_info(d)->store != DOCKER_STORE_CONTAINERD;
}

/* Podman's loader reads every file that manifest.json names. */
static int present_of_engine(struct docker *d, const struct store_image *image, bool *present, struct err *err)
{
	if (docker_info(d)->store != DOCKER_STORE_PODMAN)
		return load_present(d, image, present, err);
	memset(present, 0, image->n_layers * sizeof *present);
	return 0;
}

static int begin(struct docker *d, struct loop *loop, const struct store_image *image, const bool *skip, bool in_parts,
		 store_event_fn *event, void *arg, struct store_session **out, struct err *err)
{
	struct store_session *s = xcalloc(1, sizeof *s);
	const struct load_pipeline_request req = {
		.docker = d,
		.image = image,
		.skip = skip,
		.in_parts = in_parts,
		.event = event,
		.arg = arg,
	};

	*s = (struct store_session){ .docker = d, .loop = loop, .image = image };
	for (size_t i = 0; i < image->n_layers; i++)
		s->incomplete |= skip && skip[i];
	if (load_pipeline_begin(&req, &s->pipeline, err) < 0) {
		free(s);
		return -1;
	}
	*out = s;
	return 0;
}

/*
 * The classic store registers nothing of a load before it has spooled all of it: several make it do
 * both at once. The containerd store and Podman would gain nothing: Podman wants every file of an
 * image in each load.
 */
static int load_begin(struct docker *d, struct loop *loop, const struct store_image *image, const bool *skip,
		      store_event_fn *event, void *arg, struct store_session **out, struct err *err)
{
	return begin(d, loop, image, skip, docker_info(d)->store == DOCKER_STORE_CLASSIC, event, arg, out, err);
}

static int single_begin(struct docker *d, struct loop *loop, const struct store_image *image, const bool *skip,
			store_event_fn *event, void *arg, struct store_session **out, struct err *err)
{
	return begin(d, loop, image, skip, false, event, arg, out, err);
}

static ssize_t load_wants(const struct store_session *s)
{
	return load_pipeline_wants(s->pipeline);
}

static ssize_t load_feed(struct store_session *s, const void *bytes, size_t len, struct err *err)
{
	struct load_upload *u;

	if (load_pipeline_upload(s->pipeline, &u, err) < 0)
		return load_explain(err);
	if (load_upload_at_layer_start(u) && load_check_compression(docker_info(s->docker), bytes, len, err) < 0)
		return -1;
	return (ssize_t)load_upload_put(u, bytes, len);
}

static void load_verified(struct store_session *s, size_t i)
{
	load_pipeline_verified(s->pipeline, i);
}

/* The verdict on what was sent. */
static int finish(struct store_session *s, struct err *err)
{
	return load_pipeline_finish(s->pipeline, s->loop, err) < 0 ? load_explain(err) : 0;
}

static int load_tidy(struct docker *d, struct err *err)
{
	if (docker_info(d)->store != DOCKER_STORE_CLASSIC)
		return 0;
	load_spool_tidy(d);
	if (load_temporary_remove(d, true, DOCKER_TIMEOUT_MS, err) < 0)
		return -1;
	d->has_temporaries = false;
	return 0;
}

/* Waits for the engine's verdict, and looks at what it has. */
static int conclude(struct store_session *s, bool layers_known, struct err *err)
{
	const struct load_outcome outcome = {
		.docker = s->docker,
		.image = s->image,
		.incomplete = s->incomplete,
		.layers_known = layers_known,
	};

	if (finish(s, err) == 0)
		return load_check_outcome(&outcome, err);
	load_drop_failed(s->docker, s->image);
	return -1;
}

static int load_commit(struct store_session *s, struct err *err)
{
	struct err ignored;

	if (conclude(s, true, err) < 0)
		return -1;
	if (load_tidy(s->docker, &ignored) < 0)
		err_clear(&ignored); /* docker_free() tries again, and so does the next run */
	return 0;
}

static void load_end(struct store_session *s)
{
	load_pipeline_end(s->pipeline, s->loop);
	free(s);
}

/* Where an engine refuses a load as such: all in one. */
static const struct store single = {
	.name = "load",
	.image_id = load_image_id,
	.takes_raw = load_takes_raw,
	.present = present_of_engine,
	.begin = single_begin,
	.wants = load_wants,
	.feed = load_feed,
	.commit = load_commit,
	.end = load_end,
	.tidy = load_tidy,
};

const struct store store_load = {
	.name = "load",
	.fallback = &single,
	.where_lacking = &single,
	.image_id = load_image_id,
	.takes_raw = load_takes_raw,
	.present = present_of_engine,
	.begin = load_begin,
	.wants = load_wants,
	.feed = load_feed,
	.verified = load_verified,
	.commit = load_commit,
	.end = load_end,
	.tidy = load_tidy,
};

static void no_event(void *arg)
{
	(void)arg;
}

int load_documents(struct docker *d, struct loop *loop, const struct store_image *image, struct err *err)
{
	CLEANUP(freep) bool *all = xmalloc(image->n_layers + 1);
	struct store_session *s;

	memset(all, true, image->n_layers);
	if (load_begin(d, loop, image, all, no_event, NULL, &s, err) < 0)
		return -1;
	int result = conclude(s, false, err);
	load_end(s);
	return result;
}
