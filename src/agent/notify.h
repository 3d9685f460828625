/* What systemd wants to hear (sd_notify(3), sd_watchdog_enabled(3)). Without systemd all of it does nothing. */
#ifndef BERTH_AGENT_NOTIFY_H
#define BERTH_AGENT_NOTIFY_H

#include "base/base.h"

/*
 * Sends lines such as "READY=1\nSTATUS=…" to $NOTIFY_SOCKET. Delivery is best effort, as sd_notify's is; a full
 * queue is waited for, for two seconds at most.
 */
void notify_send(const char *fmt, ...) PRINTF_LIKE(1, 2);

/* The same with a descriptor, for FDSTORE=1: systemd gets a copy. */
void notify_send_fd(int fd, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* Milliseconds between the keep-alives that systemd expects of this process, or 0: none. */
int64_t notify_watchdog_ms(void);

#endif
