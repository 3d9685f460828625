#include "engine/load_plan.h"

static int64_t sent_bytes(const struct store_image *image, const bool *skip, size_t i)
{
	const struct store_layer *l = &image->layers[i];

	if (skip && skip[i])
		return 0;
	return l->raw_bytes > 0 ? l->raw_bytes : l->size_bytes;
}

size_t load_plan(const struct store_image *image, const bool *skip, size_t ends[LOAD_PLAN_PARTS_MAX])
{
	int64_t total = 0, part = 0, sent = 0, least;
	size_t n = 0;

	for (size_t i = 0; i < image->n_layers; i++)
		total += sent_bytes(image, skip, i);
	least = total / LOAD_PLAN_PARTS_MAX;
	if (least < LOAD_PLAN_PART_MIN_BYTES)
		least = LOAD_PLAN_PART_MIN_BYTES;
	for (size_t i = 0; i < image->n_layers && n < LOAD_PLAN_PARTS_MAX - 1; i++) {
		part += sent_bytes(image, skip, i);
		/* A rest that is small goes with what is before it: nothing would be there to overlap with. */
		if (part < least || total - sent - part < LOAD_PLAN_PART_MIN_BYTES)
			continue;
		ends[n++] = i + 1;
		sent += part;
		part = 0;
	}
	ends[n++] = image->n_layers;
	return n;
}
