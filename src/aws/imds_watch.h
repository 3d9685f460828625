/*
 * Paths of the metadata service that are asked again and again, from callbacks: nobody waits for
 * it.
 */
#ifndef BERTH_AWS_IMDS_WATCH_H
#define BERTH_AWS_IMDS_WATCH_H

#include "aws/imds.h"

#define IMDS_WATCH_INTERVAL_MS 5000 /* as the EC2 user guide suggests for spot notices */
/* Pauses grow to that while nobody answers: most likely this is no EC2 instance. */
#define IMDS_WATCH_OUTAGE_MAX_MS 60000

struct imds_watch;

struct imds_watch_settings {
	const char *const *paths; /* as for imds_get(), n of them; borrowed */
	size_t n;
	/* An answer: the text, valid during the call, or NULL for 404. */
	void (*answered)(void *arg, size_t path, const char *text);
	/* All have been asked once, or nobody answers (*err says why; else NULL). */
	void (*round)(void *arg, const struct err *err);
	void *arg;
};

/*
 * The first round begins with the loop's next. NULL, and nothing is called, when the service is
 * switched off by AWS_EC2_METADATA_DISABLED. m is borrowed.
 */
struct imds_watch *imds_watch_start(struct imds *m, const struct imds_watch_settings *settings);
void imds_watch_stop(struct imds_watch *w); /* NULL is fine; not from its callbacks */

#endif
