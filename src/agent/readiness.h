/* Rise and fall: from single probes to ready or not. Pure. */
#ifndef BERTH_AGENT_READINESS_H
#define BERTH_AGENT_READINESS_H

#include "base/base.h"

struct readiness {
	int64_t rise, fall;   /* good probes in a row to become ready, bad ones to stop being it */
	int64_t passes, fails; /* in a row */
	bool ready;
};

/* One probe's outcome; returns true when `ready` changed. */
bool readiness_feed(struct readiness *r, bool passed);
/* The container died or was replaced: not ready at once, and the counting begins anew. */
bool readiness_reset(struct readiness *r);

#endif
