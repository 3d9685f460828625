/*
 * A pull's parts: pull.c is the way from a name to an image, pull_describe.c says what the image is
 * in the store's words, pull_rest.c does what can be left for later. Included by these three only.
 */
#ifndef BERTH_AGENT_PULL_INTERNAL_H
#define BERTH_AGENT_PULL_INTERNAL_H

#include "agent/login.h"
#include "agent/pull.h"
#include "agent/pull_daemon.h"
#include "engine/store.h"

struct pull_job {
	struct context *context;
	const struct reference *ref;
	struct progress *progress;
	const struct pull_hooks *hooks;
	struct login login;
	struct registry *registry;
	struct image image;
	char *name, *full_name; /* as the store wants them; name NULL for a digest alone */
	struct store_layer *layers;
	struct store_image store_image;
	const struct store *store;
	int (*lacks)(struct docker *d, const struct store_image *image, bool *lacks, struct err *err);
	bool *skip;
	bool no_hints;      /* one was wrong */
	bool sends_all;     /* the engine had not got what it said it has */
	bool fetched_again; /* what came first was not the image's */
	bool whole;         /* who waits wants all of it, not only what runs */
};

/* Fills in names, layers, skip and store_image from the resolved image. */
void pull_describe(struct pull_job *j);
/* Whether blobs are kept on the way: as --backfill says, who waits for what, and by the size of what is not skipped. */
void pull_choose_keeping(struct pull_job *j);
/* Where the store takes inflated layers: asks for their sizes, so that the engine need not inflate again. */
int pull_hint_sizes(struct pull_job *j, struct err *err) MUST_CHECK;
/* Begins the progress, with the layers that are skipped as present. */
void pull_show_layers(const struct pull_job *j);
void pull_job_free(struct pull_job *j);
/* The job for the engine's own pull; borrows the job and image_id. */
struct pull_daemon pull_to_daemon(const struct pull_job *j, const char *image_id);

/*
 * Takes the job where the engine has layers unpacked, but not as they came, or lacks the digest.
 * 0 with *out NULL: it lacks nothing.
 */
int pull_rest_find(struct pull_job **job, const struct pulled *pulled, struct pull_rest **out,
		   struct err *err) MUST_CHECK;
/* Does it at once, as fast as it goes; *out gets bytes and time. */
int pull_rest_do(struct pull_rest *r, struct progress *progress, struct pulled *out, struct err *err) MUST_CHECK;

#endif
