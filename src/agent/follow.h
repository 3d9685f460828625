/* The app's life: probes at their interval, Docker's events at once, rise and fall, until it is gone or berth stops. */
#ifndef BERTH_AGENT_FOLLOW_H
#define BERTH_AGENT_FOLLOW_H

#include "agent/deployment.h"

enum follow_end {
	FOLLOW_GONE,      /* NAME was removed or replaced behind our back: look again */
	FOLLOW_NOT_READY, /* --ready-timeout passed, or it ended before it was ever ready; *why says it */
};

enum follow_mode {
	FOLLOW_FRESH,  /* it has --ready-timeout to become ready */
	FOLLOW_FAILED, /* it had its time: `failed` until it is ready after all, or until give_up_ms */
	FOLLOW_OLD,    /* another is to take its place; as long as it takes */
};

/*
 * Follows NAME. give_up_ms: clock_mono_ms(), for FOLLOW_FAILED (-1: never). -1: ERR_CANCELLED, or
 * Docker failing for good.
 */
int follow_container(struct deployment *d, enum follow_mode mode, int64_t give_up_ms, enum follow_end *end,
		     struct err *why, struct err *err) MUST_CHECK;

#endif
