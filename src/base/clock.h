/* Time: one source for the program, so that tests can turn it. Milliseconds everywhere. */
#ifndef BERTH_BASE_CLOCK_H
#define BERTH_BASE_CLOCK_H

#include "base/base.h"

#define CLOCK_RFC3339_SIZE sizeof("2006-01-02T15:04:05Z")

int64_t clock_mono_ms(void); /* CLOCK_BOOTTIME: goes on through suspend; for deadlines */
int64_t clock_mono_us(void);
int64_t clock_wall_ms(void); /* since the epoch, UTC */

/* Replaces both clocks, in milliseconds, until called with NULLs; tests only. */
void clock_inject(int64_t (*mono_ms)(void), int64_t (*wall_ms)(void));

/* wall_ms as "2006-01-02T15:04:05Z" (RFC 3339, UTC). */
void clock_rfc3339(int64_t wall_ms, char out[CLOCK_RFC3339_SIZE]);

/* A random number in [0, limit) from the kernel: jitter. */
uint32_t clock_jitter(uint32_t limit);

#endif
