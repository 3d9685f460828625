/*
 * `berth deploy` and `berth rollback`: from the container that serves to another one, and back to it when that is no
 * good. The running `berth up`, if there is one, notices by itself (follow.h).
 *
 * blue-green: both run, and the switch leads clients to the new one when it has passed its probe. recreate: the old one
 * is stopped, the new one started and probed; the time without service is measured.
 */
#ifndef BERTH_AGENT_ROLLOUT_H
#define BERTH_AGENT_ROLLOUT_H

#include "agent/deployment.h"

#define ROLLOUT_PATIENCE_MS 60000 /* with Docker, each time */
#define ROLLOUT_PULL_ATTEMPTS 4

struct rollout_request {
	bool force;   /* the same again, or what has failed before */
	bool wait;    /* for another berth that is at work */
	/*
	 * Nobody asked now: `berth up` has found other options than those of NAME. The image comes as --pull says; what
	 * somebody deployed or went back to since these options were carried out stays; temporary failures are
	 * retryable.
	 */
	bool unattended;
	int64_t keep; /* images of this repository that stay, those in use counted */
};

struct rollout_result {
	bool current;         /* it was there already, and nothing was touched */
	char digest[72];      /* what serves now; "" not known */
	char previous[72];    /* what served before; "" nothing, or not known */
	char image[1100];
	const char *strategy; /* "first", "blue-green", "recreate"; "" nothing was done */
	/* without service, from the order to stop; of blue-green: for this host's clients; -1: none */
	int64_t gap_ms;
	int64_t took_ms;      /* until the new one serves */
};

/*
 * To the newest image of the tag. On failure the old container serves as before, or is started if it did not run, the
 * candidate is gone, its last lines are in the log, and the failure is in state.json: never retryable, unless nobody
 * asked and it is no fault of the new one. Retryable: somebody else is at work, Docker is away.
 */
int rollout_deploy(struct deployment *d, const struct rollout_request *req, struct rollout_result *out,
		   struct err *err) MUST_CHECK;

/* What a death has left is ended, as deploy and rollback do first; then all is as it was found. */
int rollout_mend(struct deployment *d, const struct rollout_request *req, struct rollout_result *out,
		 struct err *err) MUST_CHECK;

/* To NAME-prev as it was made, without any network; NAME becomes NAME-prev. ERR_NOT_FOUND when there is none. */
int rollout_back(struct deployment *d, const struct rollout_request *req, struct rollout_result *out,
		 struct err *err) MUST_CHECK;

#endif
