/*
 * An image from the registry into the engine: resolve, ask the store what it lacks, and
 * move blobs through digest, worker (diff_id) and store in lockstep. Bytes that are not
 * verified never become an image.
 */
#ifndef BERTH_AGENT_PULL_H
#define BERTH_AGENT_PULL_H

#include "agent/board.h"
#include "agent/context.h"
#include "agent/progress.h"
#include "oci/registry.h"

struct pulled {
	char image_id[80];      /* the engine's */
	char digest[72];        /* of what the tag points at */
	const char *store;      /* "load", "containerd", "daemon", or "" when the engine had everything */
	bool was_fast;          /* as --fast-load has it */
	bool was_present;
	size_t n_layers, n_fetched;
	int64_t bytes;          /* received, compressed */
	int64_t took_ms;
	int64_t backfilled_bytes, backfill_ms; /* 0: nothing was lacking, or not asked for */
};

/* What an engine needs of an image to list, save and push it, and not to run it. See --backfill. */
struct pull_rest;

struct pull_hooks {
	/* Called as bytes arrive; must not wait. */
	void (*bytes)(void *arg, int64_t received, int64_t total);
	/* A step of the way begins: "resolve", "pull". */
	void (*phase)(void *arg, const char *phase);
	/* The tag means that digest, and nothing has been fetched yet. -1 ends the pull, with *err as it is. */
	int (*resolved)(void *arg, const char *digest, struct err *err);
	void *arg;
};

/*
 * resolve_deadline_ms (clock_mono_ms, -1: none) bounds the part before the first blob: ERR_TIMEOUT.
 * The image is in the engine under its name when this returns 0. A transfer whose digest was wrong
 * is fetched once more; the engine's death is ERR_NETWORK, for the caller to retry.
 * rest: NULL: what is left is done at once, where --backfill wants it. Else *rest is what is left,
 * or NULL; it borrows c and ref.
 */
int pull_image(struct context *c, const struct reference *ref, int64_t resolve_deadline_ms,
	       struct progress *progress, const struct pull_hooks *hooks, struct pulled *out, struct pull_rest **rest,
	       struct err *err) MUST_CHECK;

/*
 * Later, while the app runs: at a quarter of the bandwidth that the pull had, from the loop. Start
 * once; when it is settled, finish. An error means that the image can run, and no more.
 */
int pull_rest_start(struct pull_rest *r, struct err *err) MUST_CHECK;
bool pull_rest_started(const struct pull_rest *r);
bool pull_rest_settled(const struct pull_rest *r);
int pull_rest_finish(struct pull_rest *r, int64_t *bytes, struct err *err) MUST_CHECK; /* waits on the loop */
void pull_rest_free(struct pull_rest *r); /* NULL is fine */

#endif
