/* What the follow*.c files share. Nobody else includes this. */
#ifndef BERTH_AGENT_FOLLOW_INTERNAL_H
#define BERTH_AGENT_FOLLOW_INTERNAL_H

#include "agent/follow.h"

/* The rest of the image's pull, once the app is ready. -1: ERR_CANCELLED. */
int follow_fetch_rest(struct deployment *d, struct err *err) MUST_CHECK;

#endif
