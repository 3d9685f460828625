/* Private to the stores: an image whose layers the engine has already. */
#ifndef BERTH_ENGINE_LOAD_DOCUMENTS_H
#define BERTH_ENGINE_LOAD_DOCUMENTS_H

#include "engine/store.h"

/*
 * Index, manifest and config through POST /images/load, without a layer; waits on the loop, then
 * inspects. ERR_NOT_FOUND: the engine lacks a layer. ERR_REFUSED: what it made is another image.
 */
int load_documents(struct docker *d, struct loop *loop, const struct store_image *image, struct err *err) MUST_CHECK;

#endif
