/*
 * Work that goes on, as far as it can, whenever something has happened: blobs, workers and stores
 * tell of it from the loop, and also from inside of what the work itself calls. So it is done in
 * rounds, never one inside another: what happens during a round is seen to by the next.
 */
#ifndef BERTH_AGENT_ROUNDS_H
#define BERTH_AGENT_ROUNDS_H

#include "base/base.h"

struct rounds {
	int (*work)(void *arg);   /* one round, which may not wait; -1 is the last one */
	void (*after)(void *arg); /* when no further round is asked for */
	void *arg;
	bool ready;               /* until then nothing is done */
	bool again;               /* another round is wanted; work() may say so itself */
	bool working, failed;     /* read failed, leave working alone */
};

/* Something has happened. For callbacks: arg is the struct rounds. */
void rounds_event(void *arg);
/* The same for events of blobs (blob_event_fn). */
void rounds_blob_event(void *arg, size_t i);
/* The owner has made all that a round needs; begins with one. */
void rounds_start(struct rounds *r);

#endif
