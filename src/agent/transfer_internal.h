/*
 * A transfer's parts: transfer.c has the session, transfer_lanes.c moves the bytes of each layer,
 * transfer_land.c hands complete directories over. Included by these three only.
 */
#ifndef BERTH_AGENT_TRANSFER_INTERNAL_H
#define BERTH_AGENT_TRANSFER_INTERNAL_H

#include "agent/rounds.h"
#include "agent/transfer.h"
#include "unpack/worker.h"

struct lane {
	struct worker *worker;          /* of a store that takes directories: until it has its layer */
	size_t worker_took, store_took; /* of the bytes that blob_peek() shows now */
	int64_t left;                   /* compressed bytes not yet taken by all who want them */
	int64_t raw_left;               /* > 0: the store gets what the worker emits, this much more */
	bool raw;                       /* the store gets what the worker emits */
	bool alone;                     /* only the worker takes the compressed bytes */
	bool input_ended, ended, verified;
	bool told;                      /* the store knows that it is verified */
};

struct transfer {
	struct context *context;
	const struct transfer_request *req;
	struct transfer_result *result;
	struct blob_set *blobs;
	struct store_session *session;
	struct zygote *zygote;
	struct lane *lanes;
	size_t n;
	size_t workers_max; /* at work at the same time; a store that is streamed to has one that is fed */
	size_t landed;      /* layers below are the engine's, or were left out */
	struct rounds rounds; /* blobs, workers and the store tell it what has happened */
	bool choked;        /* the worker of that layer could not read it; err says why */
	size_t choked_at;
	struct err err;
};

/* Moves what there is to workers and store. -1: t->err. */
int transfer_feed(struct transfer *t) MUST_CHECK;
/* Hears the workers that have ended, and compares their diff_ids. -1: t->err. */
int transfer_collect(struct transfer *t) MUST_CHECK;
/* The layer that moves now: the lowest whose bytes are not all taken by all who want them; -1: none is left. */
ssize_t transfer_current_layer(const struct transfer *t);

/* loop_wait() condition: layer t->landed is verified or left out, all are, or the transfer has failed. */
bool transfer_can_land(void *arg);
/*
 * Gives a parallel store its layers in the order of the image, each when it is complete.
 * 0 also when a round that failed ended it.
 */
int transfer_land(struct transfer *t, struct err *err) MUST_CHECK;

/* Notes what the engine's refusal means for a second attempt. Returns -1. */
int transfer_engine_failed(struct transfer *t, const struct err *err);

#endif
