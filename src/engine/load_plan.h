/*
 * Private to the load store: how many loads an image is best sent in. Each but the last makes an
 * image of the layers so far, which the engine registers while the next ones are on their way.
 * Pure.
 */
#ifndef BERTH_ENGINE_LOAD_PLAN_H
#define BERTH_ENGINE_LOAD_PLAN_H

#include "engine/store.h"

/* What a load costs beside its bytes (a process that unpacks the archive, an image) is a few hundredths of a second. */
#define LOAD_PLAN_PARTS_MAX 8
#define LOAD_PLAN_PART_MIN_BYTES ((int64_t)(16 * MIB)) /* as they are sent: less is registered in no time */

/*
 * ends[k]: part k has the layers up to there that no part before it has; skip[i] ones have no
 * bytes. The last part ends with the image. How many parts: at least 1, at most
 * LOAD_PLAN_PARTS_MAX.
 */
size_t load_plan(const struct store_image *image, const bool *skip, size_t ends[LOAD_PLAN_PARTS_MAX]);

#endif
