/* Images of older generations, removed: only what berth brought, and nothing that any container is made from. */
#ifndef BERTH_AGENT_PRUNE_H
#define BERTH_AGENT_PRUNE_H

#include "agent/context.h"
#include "oci/reference.h"

/*
 * Of the images that berth brought for ref's repository, `keep` stay: first those in use, then the newest. What Docker
 * refuses to remove (another name, a child) stays too. Failures are logged: room is all that is at stake.
 * ERR_CANCELLED is the only -1.
 */
int prune_images(struct context *c, const struct reference *ref, int64_t keep, struct err *err) MUST_CHECK;

#endif
