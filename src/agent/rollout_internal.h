/* What the rollout*.c files share. Nobody else includes this. */
#ifndef BERTH_AGENT_ROLLOUT_INTERNAL_H
#define BERTH_AGENT_ROLLOUT_INTERNAL_H

#include "agent/rollout.h"
#include "agent/strategy.h"

struct rollout {
	struct deployment *d;
	const struct rollout_request *req;
	struct rollout_result *out;
	const char *by;              /* "deploy", "rollback" */
	bool back;                   /* to NAME-prev, which is there; else to NAME-next, which has to be made */
	const char *candidate;       /* its name until it is promoted */
	struct container_state old;  /* NAME; empty: has_old is false */
	bool has_old;
	bool revived;                /* the old one had been left stopped by a death */
	bool undone;                 /* rollout_undo() has put things right, as far as it could */
	bool same;                   /* it has the configuration that is asked for */
	struct container_state new;  /* the candidate as it was made */
	char config[SHA256_HEX_SIZE]; /* the candidate's */
	enum strategy strategy;
	int64_t memory_bytes;        /* what the new one may use; 0: as the old one */
	bool stopped;                /* the old one, to make room */
	bool moved;                  /* the switch */
	bool promoting;              /* the names have begun to move: the candidate may be NAME */
	bool hurried;                /* a signal came meanwhile */
	bool refused;                /* what failed before, or was gone back from */
	bool recorded;               /* how it went */
	int64_t began_ms, stopped_ms; /* clock_mono_ms() */
};

/* The candidate is there, not started: starts it, probes it, and makes it NAME, or undoes all. */
int rollout_carry_out(struct rollout *r, struct err *err) MUST_CHECK;

/*
 * blue-green: both run; the switch moves to the candidate once it has passed its probe,
 * then the old one drains and stops.
 */
int rollout_beside(struct rollout *r, struct err *err) MUST_CHECK;

/*
 * What rollout_carry_out() and rollout_beside() share. r->old as it is now: while the image came and the new one started,
 * somebody may have started, stopped or removed it.
 */
int rollout_look_at_old(struct rollout *r, struct err *err) MUST_CHECK;
int rollout_promote(struct rollout *r, struct err *err) MUST_CHECK;
/*
 * Returns -1 with what it was about, as a failure for good; 0 if the names had moved too far: then the candidate is
 * NAME and serves, and what was NAME has ended.
 */
int rollout_undo(struct rollout *r, bool at_fault, const struct err *why, struct err *err) MUST_CHECK;

/* Waits for an engine that has gone, whatever signal came; a second one ends it: the next berth mends what is left. */
int rollout_reach_docker(struct rollout *r, struct err *err) MUST_CHECK;
/* One truth again, and NAME runs: a failure leaves exactly one container that does. */
int rollout_ensure(struct rollout *r, struct err *err) MUST_CHECK;

/* Decides r->strategy for the options' container; says why when it is recreate. */
int rollout_choose(struct rollout *r, struct err *err) MUST_CHECK;

/* Into state.json. */
void rollout_record_success(struct rollout *r);
/* at_fault: it is the image, or its options, and trying again is no use until either is another. */
void rollout_record_failure(struct rollout *r, const char *failure, bool at_fault);

#endif
