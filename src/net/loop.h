/*
 * The parent's one loop: epoll, timers, and (through http.c) curl's multi
 * handle. The main line of the program reads top to bottom and waits with
 * loop_wait(); what happens meanwhile (a signal, a timer, an event stream) is a
 * callback. Callbacks never wait: a callback that called loop_wait() would nest
 * loops, which asserts.
 */
#ifndef BERTH_NET_LOOP_H
#define BERTH_NET_LOOP_H

#include "base/err.h"

struct loop;
struct loop_watch;
struct loop_timer;

typedef void loop_fd_fn(void *arg, uint32_t events); /* EPOLLIN, EPOLLOUT, EPOLLERR, EPOLLHUP */
typedef void loop_timer_fn(void *arg);

int loop_new(struct loop **out, struct err *err) MUST_CHECK;
void loop_free(struct loop *loop); /* watches and timers must be gone, or are dropped */

/* The descriptor stays the caller's and must outlive the watch. */
int loop_watch_fd(struct loop *loop, int fd, uint32_t events, loop_fd_fn *fn, void *arg,
		  struct loop_watch **out, struct err *err) MUST_CHECK;
void loop_watch_change(struct loop_watch *watch, uint32_t events);
void loop_unwatch(struct loop_watch *watch); /* NULL is fine; safe inside callbacks, its own too */

/* Once, after delay_ms. The timer is gone when fn runs. Cancelling NULL is fine. */
struct loop_timer *loop_timer_start(struct loop *loop, int64_t delay_ms, loop_timer_fn *fn, void *arg);
void loop_timer_cancel(struct loop_timer *timer);

/*
 * Runs the loop until done(arg) is true (asked before waiting and after each
 * round of callbacks): 0. At deadline_ms of clock_mono_ms() (-1: none) ERR_TIMEOUT, but
 * not before one round.
 * After loop_cancel() ERR_CANCELLED.
 */
int loop_wait(struct loop *loop, bool (*done)(void *arg), void *arg, int64_t deadline_ms,
	      struct err *err) MUST_CHECK;

/* Waits for delay_ms while callbacks run; only ERR_CANCELLED. */
int loop_sleep(struct loop *loop, int64_t delay_ms, struct err *err) MUST_CHECK;

/* From a callback: every wait ends with ERR_CANCELLED and the message "stopped by WHY". */
void loop_cancel(struct loop *loop, const char *why);
bool loop_cancelled(const struct loop *loop);
/* Forgets the cancellation, so that what stopping needs (drain, stop) can wait again. */
void loop_uncancel(struct loop *loop);

/* Counts finished rounds: a watchdog sees from it that the loop turns. */
uint64_t loop_rounds(const struct loop *loop);

#endif
