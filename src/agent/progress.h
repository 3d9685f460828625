/*
 * How a pull looks: bars per layer on a terminal, plain lines elsewhere, JSON lines with
 * --log-format json, nothing with --quiet. Always on stderr.
 */
#ifndef BERTH_AGENT_PROGRESS_H
#define BERTH_AGENT_PROGRESS_H

#include "agent/options.h"

enum layer_step {
	LAYER_PRESENT,  /* the engine has it */
	LAYER_WAITING,
	LAYER_FETCHING,
	LAYER_VERIFIED, /* digest and diff_id */
	LAYER_STEPS
};

struct progress;

struct progress *progress_new(const struct options *options);
/* Leaves the terminal as it should stay. NULL is fine. */
void progress_free(struct progress *p);

/* A pull of n layers begins; digests and sizes (bytes) are copied. */
void progress_begin(struct progress *p, const char *image, size_t n, const char *const *digests,
		    const int64_t *sizes);
/* Where layer i is; drawing is limited to PROGRESS_DRAW_MS on terminals, PROGRESS_LINE_MS elsewhere. */
void progress_layer(struct progress *p, size_t i, enum layer_step step, int64_t received_bytes);
/* What happens beside the layers: "Docker registers the layers". */
void progress_activity(struct progress *p, const char *what);
void progress_end(struct progress *p);

#define PROGRESS_DRAW_MS 100
#define PROGRESS_LINE_MS 5000

/* "1.2 GB", "340 kB": decimal, as docker shows sizes. */
#define SIZE_TEXT_MAX 16
const char *size_text(int64_t bytes, char out[SIZE_TEXT_MAX]);

#endif
