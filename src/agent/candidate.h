/* A container that is to serve and does not yet: started, and watched until its probe passes or cannot any more. */
#ifndef BERTH_AGENT_CANDIDATE_H
#define BERTH_AGENT_CANDIDATE_H

#include "agent/deployment.h"

/*
 * Starts `name`, if it does not run, and asks its probe (its label's, else --probe, else the default) at once and
 * every 100 ms until it has passed --probe-rise times: *ready. Not ready when it ends, is restarted, or
 * --ready-timeout has passed since now: *why says which, with the exit code. -1: Docker failed, or ERR_CANCELLED.
 */
int candidate_ready(struct deployment *d, const char *name, bool *ready, struct err *why, struct err *err) MUST_CHECK;

#endif
