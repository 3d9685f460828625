/*
 * systemd's watchdog: fed only while the listener answers, the loop turns, and the main line (Docker
 * among it) has moved lately. A berth that hangs is restarted; the container goes on.
 */
#ifndef BERTH_AGENT_WATCHDOG_H
#define BERTH_AGENT_WATCHDOG_H

#include "agent/context.h"
#include "agent/health.h"

/* The listener's thread turns twice a second. */
#define WATCHDOG_LISTENER_MS 5000
/* Longer than any single call to Docker may take (DOCKER_TIMEOUT_MS), with room for a slow disk. */
#define WATCHDOG_MAIN_LINE_MS (3 * DOCKER_TIMEOUT_MS)

struct watchdog;

/* NULL when systemd does not ask for it. Both are borrowed. */
struct watchdog *watchdog_start(struct context *c, const struct health *h);
void watchdog_stop(struct watchdog *w); /* NULL is fine */

#endif
