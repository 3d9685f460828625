#include "engine/load_pipeline.h"

#include "base/clock.h"
#include "base/mem.h"
#include "engine/docker_internal.h"
#include "engine/load_plan.h"
#include "engine/load_temporary.h"

/* A session that fails gives a load that the engine has whole, and goes on with, so long to come to its end. */
#define END_PATIENCE_MS 30000

/* A load of its own: of a temporary image of the layers so far; the last is the image. */
struct part {
	struct store_image image;
	char *config;  /* text of a temporary one's */
	size_t end;    /* its layers are below, and above the ends of those before it */
	struct load_upload *upload; /* NULL: not begun, or done */
	bool released; /* its end is out: the engine makes an image of it */
};

struct load_pipeline {
	struct docker *docker;
	const struct store_image *image;
	store_event_fn *event;
	void *arg;
	bool *skip, *verified;
	struct part parts[LOAD_PLAN_PARTS_MAX];
	size_t n_parts;
	size_t filling;    /* takes bytes */
	size_t loading;    /* the engine registers it, or waits for its end; n_parts: it has done all */
	bool incomplete;   /* layers were left out */
	bool committing, ended;
	struct err error;  /* ERR_NONE: ended well */
};

/* The engine's words for a layer that was left out and is not there; anything else stays as it is. */
static void name_missing_content(struct load_pipeline *p)
{
	if ((p->incomplete || p->n_parts > 1) && p->error.kind == ERR_FAILED &&
	    (strstr(p->error.msg, "not found") || strstr(p->error.msg, "no such file or directory")))
		p->error.kind = ERR_NOT_FOUND;
}

static void part_failed(struct load_pipeline *p, const struct part *part, const struct err *err)
{
	p->error = *err;
	p->ended = true;
	name_missing_content(p);
	/* Nothing is wrong with the image: the engine, or what stands before it, takes no such requests. */
	if (p->n_parts > 1 && err->kind != ERR_NETWORK && err->kind != ERR_TIMEOUT && part->upload &&
	    load_upload_heard_ms(part->upload) < 0)
		p->error.kind = ERR_CONFIG;
}

/* All its layers are in and verified; and for the image itself there is the word of whoever knows of all. */
static bool may_release(const struct load_pipeline *p, const struct part *part)
{
	bool last = part == &p->parts[p->n_parts - 1];

	if (load_upload_wants(part->upload) >= 0 || (last && !p->committing))
		return false;
	for (size_t i = 0; i < part->end; i++)
		if (!p->committing && !p->skip[i] && !p->verified[i])
			return false;
	return true;
}

/* One is registered at a time, in order: each has only layers that those before it lack. */
static void advance(struct load_pipeline *p)
{
	struct err err;

	while (!p->ended && p->loading < p->n_parts && p->parts[p->loading].upload) {
		struct part *part = &p->parts[p->loading];
		if (load_upload_ended(part->upload, &err)) {
			if (err.kind != ERR_NONE) {
				part_failed(p, part, &err);
				return;
			}
			load_upload_free(part->upload);
			part->upload = NULL;
			p->loading++;
			continue;
		}
		if (part->released || !may_release(p, part))
			return;
		part->released = true;
		p->docker->has_temporaries |= p->loading < p->n_parts - 1;
		if (load_upload_finish(part->upload, &err) < 0)
			part_failed(p, part, &err);
	}
	p->ended |= p->loading == p->n_parts;
}

/* A later one can fail while it is spooled. */
static void look_at_spooling(struct load_pipeline *p)
{
	struct err err;

	for (size_t k = p->loading; !p->ended && k < p->n_parts; k++)
		if (p->parts[k].upload && load_upload_ended(p->parts[k].upload, &err) && err.kind != ERR_NONE)
			part_failed(p, &p->parts[k], &err);
}

static void on_upload(void *arg)
{
	struct load_pipeline *p = arg;

	look_at_spooling(p);
	advance(p);
	p->event(p->arg);
}

static int start_part(struct load_pipeline *p, size_t k, struct err *err)
{
	struct part *part = &p->parts[k];
	CLEANUP(freep) bool *skip = xcalloc(part->end + 1, sizeof *skip);

	for (size_t i = 0; i < part->end; i++)
		skip[i] = p->skip[i] || (k && i < p->parts[k - 1].end);
	const struct load_upload_request req = {
		.docker = p->docker,
		.image = &part->image,
		.skip = skip,
		.event = on_upload,
		.arg = p,
	};
	return load_upload_start(&req, &part->upload, err);
}

static int describe_part(struct load_pipeline *p, size_t k, struct err *err)
{
	struct part *part = &p->parts[k];

	part->image = *p->image;
	if (k == p->n_parts - 1)
		return 0;
	part->image.name = NULL;
	part->image.n_layers = part->end;
	return load_temporary_config(p->image, part->end, &part->image.config, &part->config, err);
}

static int plan(struct load_pipeline *p, bool pipelined, struct err *err)
{
	size_t ends[LOAD_PLAN_PARTS_MAX] = { p->image->n_layers };

	p->n_parts = pipelined ? load_plan(p->image, p->skip, ends) : 1;
	for (size_t k = 0; k < p->n_parts; k++) {
		p->parts[k].end = ends[k];
		if (describe_part(p, k, err) < 0)
			return -1;
	}
	return start_part(p, 0, err);
}

static void pipeline_free(struct load_pipeline *p)
{
	for (size_t k = 0; k < p->n_parts; k++) {
		load_upload_free(p->parts[k].upload);
		free(p->parts[k].config);
	}
	free(p->skip);
	free(p->verified);
	free(p);
}

int load_pipeline_begin(const struct load_pipeline_request *req, struct load_pipeline **out, struct err *err)
{
	struct load_pipeline *p = xcalloc(1, sizeof *p);
	size_t n = req->image->n_layers;

	*p = (struct load_pipeline){ .docker = req->docker, .image = req->image, .event = req->event, .arg = req->arg };
	p->skip = xcalloc(n + 1, sizeof *p->skip);
	p->verified = xcalloc(n + 1, sizeof *p->verified);
	for (size_t i = 0; i < n; i++)
		p->incomplete |= p->skip[i] = req->skip && req->skip[i];
	if (plan(p, req->in_parts, err) < 0) {
		pipeline_free(p);
		return -1;
	}
	*out = p;
	return 0;
}

static ssize_t first_layer(const struct load_pipeline *p, size_t k)
{
	for (size_t i = p->parts[k - 1].end; i < p->parts[k].end; i++)
		if (!p->skip[i])
			return (ssize_t)i;
	return -1;
}

ssize_t load_pipeline_wants(const struct load_pipeline *p)
{
	ssize_t i = p->parts[p->filling].upload ? load_upload_wants(p->parts[p->filling].upload) : -1;

	for (size_t k = p->filling + 1; k < p->n_parts && i < 0; k++)
		i = first_layer(p, k);
	return i;
}

/* Takes no more bytes. */
static bool is_full(const struct load_pipeline *p, const struct part *part)
{
	return part->upload ? load_upload_wants(part->upload) < 0 : part < &p->parts[p->loading];
}

int load_pipeline_upload(struct load_pipeline *p, struct load_upload **out, struct err *err)
{
	while (!p->ended && is_full(p, &p->parts[p->filling]) && p->filling + 1 < p->n_parts)
		if (start_part(p, ++p->filling, err) < 0)
			return -1;
	if (p->error.kind != ERR_NONE) {
		*err = p->error;
		return -1;
	}
	*out = p->parts[p->filling].upload;
	return 0;
}

void load_pipeline_verified(struct load_pipeline *p, size_t i)
{
	p->verified[i] = true;
	advance(p);
}

static bool has_ended(void *arg)
{
	return ((const struct load_pipeline *)arg)->ended;
}

int load_pipeline_finish(struct load_pipeline *p, struct loop *loop, struct err *err)
{
	struct load_upload *last;

	if (load_pipeline_upload(p, &last, err) < 0)
		return -1;
	p->committing = true;
	advance(p);
	if (loop_wait(loop, has_ended, p, -1, err) < 0)
		return -1;
	if (p->error.kind == ERR_NONE)
		return 0;
	*err = p->error;
	return -1;
}

/* An image may come of a load that the engine has whole, whatever becomes of us: it has to be there to be removed. */
static bool nothing_to_come(void *arg)
{
	const struct load_pipeline *p = arg;
	struct err err;

	for (size_t k = 0; k + 1 < p->n_parts; k++)
		if (p->parts[k].upload && p->parts[k].released && !load_upload_ended(p->parts[k].upload, &err))
			return false;
	return true;
}

static void no_event(void *arg)
{
	(void)arg;
}

void load_pipeline_end(struct load_pipeline *p, struct loop *loop)
{
	struct err ignored;

	p->event = no_event;
	p->ended = true;
	for (size_t k = 0; k < p->n_parts; k++)
		if (!p->parts[k].released) {
			load_upload_free(p->parts[k].upload);
			p->parts[k].upload = NULL;
		}
	if (loop_wait(loop, nothing_to_come, p, clock_mono_ms() + END_PATIENCE_MS, &ignored) < 0)
		err_clear(&ignored);
	pipeline_free(p);
}
