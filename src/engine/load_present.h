/* Private to the load store: which layers the engine has. */
#ifndef BERTH_ENGINE_LOAD_PRESENT_H
#define BERTH_ENGINE_LOAD_PRESENT_H

#include "engine/store.h"

/* See struct store. A layer is there when some image of the engine begins with the same diff_ids up to it. */
int load_present(struct docker *d, const struct store_image *image, bool *present, struct err *err) MUST_CHECK;

#endif
