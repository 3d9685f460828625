/* Which process holds something that outlives processes, so that another can tell whether it still runs. */
#ifndef BERTH_ENGINE_HOLDER_H
#define BERTH_ENGINE_HOLDER_H

#include "base/err.h"

#define HOLDER_SIZE 96

enum holder_state {
	HOLDER_ALIVE,
	HOLDER_GONE,       /* in this boot */
	HOLDER_OTHER_BOOT, /* what it did not sync may be lost */
	HOLDER_UNKNOWN     /* of another pid namespace, or no holder at all */
};

/* "BOOT-ID.PID-NAMESPACE.PID.START-TIME" of this process. */
int holder_self(char out[HOLDER_SIZE], struct err *err) MUST_CHECK;
enum holder_state holder_judge(const char *holder);

#endif
