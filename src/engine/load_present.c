#include "engine/load_present.h"

#include "base/mem.h"
#include "engine/container.h"
#include "engine/load_spool.h"

/* Images looked at, newest first: beyond them a layer is sent again, which is slow and not wrong. */
#define IMAGES_MAX 500

/* A chain ID is a function of the diff_ids below it, so equal beginnings are equal chains. */
static size_t common_layers(const struct store_image *image, const struct image_state *other)
{
	size_t n = 0;

	while (n < image->n_layers && n < other->diff_ids.n &&
	       streq(image->layers[n].diff_id, other->diff_ids.v[n]))
		n++;
	return n;
}

/* An image that went away meanwhile has no layers. */
static int layers_in(struct docker *d, const char *id, const struct store_image *image, size_t *n, struct err *err)
{
	CLEANUP(image_state_clear) struct image_state state = { 0 };

	*n = 0;
	if (image_inspect(d, id, &state, err) < 0) {
		if (err->kind != ERR_NOT_FOUND)
			return -1;
		err_clear(err);
		return 0;
	}
	*n = common_layers(image, &state);
	return 0;
}

int load_present(struct docker *d, const struct store_image *image, bool *present, struct err *err)
{
	CLEANUP(json_freep) struct json *list = NULL;
	size_t best = 0, looked = 0;

	load_spool_tidy(d); /* so that every pull does, and before it makes its own */
	if (docker_call(d, "GET", "/images/json", NULL, &list, err) < 0)
		return -1;
	/* Docker lists them newest first. */
	for (const struct json *v = json_first(list); v && looked < IMAGES_MAX; v = json_next(v), looked++) {
		const char *id;
		size_t n;
		if (json_str(v, "Id", &id, err) < 0 || layers_in(d, id, image, &n, err) < 0)
			return err_wrap(err, "listing images");
		best = n > best ? n : best;
		if (best == image->n_layers)
			break;
	}
	for (size_t i = 0; i < image->n_layers; i++)
		present[i] = i < best;
	return 0;
}
