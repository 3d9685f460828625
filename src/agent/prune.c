#include "agent/prune.h"

#include "agent/record.h"
#include "base/log.h"
#include "engine/container.h"

static bool same_repository(const char *image, const struct reference *ref)
{
	CLEANUP(reference_free) struct reference brought = { 0 };
	struct err ignored; /* a damaged row is nobody's */

	return image && reference_parse(image, &brought, &ignored) == 0 && streq(brought.host, ref->host) &&
	       streq(brought.repository, ref->repository);
}

/* The images that containers, running or not, are made from. */
static int used_images(struct docker *docker, struct strv *out, struct err *err)
{
	CLEANUP(json_freep) struct json *list = NULL;

	if (docker_call(docker, "GET", "/containers/json?all=1", NULL, &list, err) < 0)
		return err_wrap(err, "list containers");
	for (const struct json *v = json_first(list); v; v = json_next(v))
		if (json_string(json_get(v, "ImageID")))
			strv_add(out, json_string(json_get(v, "ImageID")));
	return 0;
}

/* 0 also when it stays: somebody may have use for it. */
static int remove_image(struct context *c, const char *id, struct err *err)
{
	struct err noted;

	if (image_remove(c->docker, id, err) < 0) {
		if (err->kind != ERR_NOT_FOUND && err->kind != ERR_CONFLICT)
			return -1;
		if (err->kind == ERR_CONFLICT) {
			log_debug("%s", err->msg);
			err_clear(err);
			return 0;
		}
		err_clear(err);
	} else {
		log_info("removed the image %.19s", id);
	}
	if (record_forget_image(opt_str(c->options, OPT_STATE_DIR), id, &noted) < 0)
		log_err(LOG_LEVEL_WARNING, &noted);
	return 0;
}

static int prune(struct context *c, const struct reference *ref, int64_t keep, struct err *err)
{
	CLEANUP(json_freep) struct json *images = record_images(opt_str(c->options, OPT_STATE_DIR));
	CLEANUP(strv_free) struct strv used = { 0 }, spare = { 0 };

	if (used_images(c->docker, &used, err) < 0)
		return -1;
	for (const struct json *row = json_first(images); row; row = json_next(row)) {
		const char *id = json_string(json_get(row, "id"));
		if (!id || !same_repository(json_string(json_get(row, "image")), ref))
			continue;
		if (strv_contains(&used, id))
			keep--;
		else
			strv_add(&spare, id);
	}
	for (size_t i = keep > 0 ? (size_t)keep : 0; i < spare.n; i++)
		if (remove_image(c, spare.v[i], err) < 0)
			return -1;
	return 0;
}

int prune_images(struct context *c, const struct reference *ref, int64_t keep, struct err *err)
{
	if (prune(c, ref, keep, err) == 0)
		return 0;
	if (err->kind == ERR_CANCELLED)
		return -1;
	log_warning("older images stay: %s", err->msg);
	err_clear(err);
	return 0;
}
