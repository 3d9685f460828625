/*
 * systemd's watchdog: fed only while the listener answers, the loop turns, and the main line
 * (Docker among it) has moved lately. A berth that hangs is restarted; the container goes on.
 */
#ifndef BERTH_AGENT_WATCHDOG_H
#define BERTH_AGENT_WATCHDOG_H

#include "agent/context.h"
#include "agent/health.h"

/* The listener's thread turns twice a second. */
#define WATCHDOG_LISTENER_MS 5000
/*
 * Longer than whatever the main line rightly waits for: a Docker that boots, a load that it
 * digests, an app's own stop timeout, a drain, a HEALTHCHECK. A main line that blocks is seen at
 * once: then the loop does not turn.
 */
#define WATCHDOG_MAIN_LINE_MS 3600000

struct watchdog;

/* NULL when systemd does not ask for it. Both are borrowed. */
struct watchdog *watchdog_start(struct context *c, const struct health *h);
void watchdog_stop(struct watchdog *w); /* NULL is fine */

#endif
