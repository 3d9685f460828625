/* Complete directories become the engine's layers. */
#include "agent/transfer_internal.h"

#include "unpack/deferred.h"

/* What only the layers below know; the paths are the list's. Caller frees. */
static struct store_inherit *list_inherited(const struct deferred *deferred, size_t *n)
{
	struct store_inherit *list = NULL;
	struct deferred_item item;

	*n = 0;
	for (size_t at = 0; deferred_next(deferred, &at, &item);) {
		if (item.kind != DEFERRED_IMPLICIT_DIR)
			continue;
		if ((*n & (*n - 1)) == 0)
			list = xreallocarray(list, *n ? 2 * *n : 1, sizeof *list);
		list[(*n)++] = (struct store_inherit){ item.path, item.attributes_only };
	}
	return list;
}

/* A complete directory becomes the engine's layer, with what the jailed worker was not allowed to do itself. */
static int land(struct transfer *t, size_t i, struct err *err)
{
	CLEANUP(freep) struct store_inherit *inherit = NULL;
	size_t n_inherit;
	const struct store *store = t->req->store;
	struct lane *lane = &t->lanes[i];
	const struct deferred *deferred = worker_deferred(lane->worker);
	int root = -1;

	if (store->staging(t->session, i, &root, err) < 0)
		return transfer_engine_failed(t, err);
	if (deferred_apply(deferred, root, err) < 0)
		return err_wrap(err, "layer %zu of %zu", i + 1, t->n);
	inherit = list_inherited(deferred, &n_inherit);
	int result = store->layer(t->session, i, inherit, n_inherit, err);
	worker_free(lane->worker);
	lane->worker = NULL;
	return result < 0 ? transfer_engine_failed(t, err) : 0;
}

/* In the main line: handing a layer over waits, and meanwhile the others go on. */
int transfer_land(struct transfer *t, struct err *err)
{
	for (; t->landed < t->n; t->landed++) {
		if (loop_wait(t->context->loop, transfer_can_land, t, -1, err) < 0)
			return -1;
		if (t->rounds.failed)
			return 0;
		if (!t->req->skip[t->landed] && land(t, t->landed, err) < 0)
			return -1;
	}
	return 0;
}
