#include "net/loop.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"

/* Events taken per round: what one wait can bring; more come in the next round. */
#define EVENTS_PER_ROUND 64

struct loop_watch {
	struct loop *loop;
	struct loop_watch *prev, *next;
	int fd;
	bool gone; /* events of this round may still point here: freed at its end */
	loop_fd_fn *fn;
	void *arg;
};

struct loop_timer {
	struct loop *loop;
	struct loop_timer *prev, *next;
	int64_t due_ms;
	uint64_t born_round; /* one started by a callback runs in a later round */
	loop_timer_fn *fn;
	void *arg;
};

struct loop {
	int epoll_fd;
	bool in_callbacks;
	bool cancelled;
	char why[64];
	uint64_t rounds;
	struct loop_watch *watches;
	struct loop_watch *gone;    /* in this round; singly linked */
	struct loop_timer *timers;  /* by due time, then by start; some dozens at most */
};

int loop_new(struct loop **out, struct err *err)
{
	int fd = epoll_create1(EPOLL_CLOEXEC);

	if (fd < 0)
		return err_sys(err, errno, "epoll_create1");
	*out = xcalloc(1, sizeof **out);
	(*out)->epoll_fd = fd;
	return 0;
}

static void unlink_watch(struct loop_watch *w)
{
	if (w->prev)
		w->prev->next = w->next;
	else
		w->loop->watches = w->next;
	if (w->next)
		w->next->prev = w->prev;
}

static void free_gone(struct loop *loop)
{
	while (loop->gone) {
		struct loop_watch *w = loop->gone;
		loop->gone = w->next;
		free(w);
	}
}

void loop_free(struct loop *loop)
{
	if (!loop)
		return;
	assert(!loop->in_callbacks);
	while (loop->watches)
		loop_unwatch(loop->watches);
	while (loop->timers)
		loop_timer_cancel(loop->timers);
	(void)close(loop->epoll_fd); /* nothing to lose */
	free(loop);
}

int loop_watch_fd(struct loop *loop, int fd, uint32_t events, loop_fd_fn *fn, void *arg,
		  struct loop_watch **out, struct err *err)
{
	struct loop_watch *w = xcalloc(1, sizeof *w);
	struct epoll_event ev = { .events = events, .data.ptr = w };

	if (epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, fd, &ev) < 0) {
		free(w);
		return err_sys(err, errno, "epoll_ctl");
	}
	*w = (struct loop_watch){
		.loop = loop, .next = loop->watches, .fd = fd, .fn = fn, .arg = arg
	};
	if (loop->watches)
		loop->watches->prev = w;
	loop->watches = w;
	*out = w;
	return 0;
}

void loop_watch_change(struct loop_watch *w, uint32_t events)
{
	struct epoll_event ev = { .events = events, .data.ptr = w };
	int r = epoll_ctl(w->loop->epoll_fd, EPOLL_CTL_MOD, w->fd, &ev);

	assert(r == 0); /* only a closed descriptor fails, and that breaks the contract */
	(void)r;
}

void loop_unwatch(struct loop_watch *w)
{
	if (!w || w->gone)
		return;
	/* Fails when the descriptor was closed before, which removed it: the same result. */
	(void)epoll_ctl(w->loop->epoll_fd, EPOLL_CTL_DEL, w->fd, NULL);
	unlink_watch(w);
	w->gone = true;
	w->next = w->loop->gone;
	w->loop->gone = w;
	if (!w->loop->in_callbacks)
		free_gone(w->loop);
}

struct loop_timer *loop_timer_start(struct loop *loop, int64_t delay_ms, loop_timer_fn *fn,
				    void *arg)
{
	struct loop_timer *t = xmalloc(sizeof *t), *at, *before = NULL;

	*t = (struct loop_timer){
		.loop = loop,
		.due_ms = clock_mono_ms() + (delay_ms > 0 ? delay_ms : 0),
		.born_round = loop->rounds,
		.fn = fn,
		.arg = arg,
	};
	for (at = loop->timers; at && at->due_ms <= t->due_ms; at = at->next)
		before = at;
	t->prev = before;
	t->next = at;
	if (before)
		before->next = t;
	else
		loop->timers = t;
	if (at)
		at->prev = t;
	return t;
}

void loop_timer_cancel(struct loop_timer *t)
{
	if (!t)
		return;
	if (t->prev)
		t->prev->next = t->next;
	else
		t->loop->timers = t->next;
	if (t->next)
		t->next->prev = t->prev;
	free(t);
}

/* The first timer that is due and was not started in this very round: no timer starves descriptors. */
static struct loop_timer *due_timer(struct loop *loop, int64_t now_ms)
{
	for (struct loop_timer *t = loop->timers; t && t->due_ms <= now_ms; t = t->next)
		if (t->born_round != loop->rounds)
			return t;
	return NULL;
}

static void run_timers(struct loop *loop)
{
	int64_t now_ms = clock_mono_ms();
	struct loop_timer *t;

	while ((t = due_timer(loop, now_ms))) {
		loop_timer_fn *fn = t->fn;
		void *arg = t->arg;
		loop_timer_cancel(t);
		fn(arg);
	}
}

static int wait_ms(const struct loop *loop, int64_t deadline_ms)
{
	int64_t until = deadline_ms, left;

	if (loop->timers && (until < 0 || loop->timers->due_ms < until))
		until = loop->timers->due_ms;
	if (until < 0)
		return -1;
	left = until - clock_mono_ms();
	return left < 0 ? 0 : left > INT_MAX ? INT_MAX : (int)left;
}

static int run_round(struct loop *loop, int64_t deadline_ms, struct err *err)
{
	struct epoll_event events[EVENTS_PER_ROUND];
	int n = epoll_wait(loop->epoll_fd, events, ARRAY_LEN(events), wait_ms(loop, deadline_ms));

	if (n < 0 && errno != EINTR)
		return err_sys(err, errno, "epoll_wait");
	loop->rounds++;
	loop->in_callbacks = true;
	for (int i = 0; i < n; i++) {
		struct loop_watch *w = events[i].data.ptr;
		if (!w->gone)
			w->fn(w->arg, events[i].events);
	}
	run_timers(loop);
	loop->in_callbacks = false;
	free_gone(loop);
	return 0;
}

int loop_wait(struct loop *loop, bool (*done)(void *arg), void *arg, int64_t deadline_ms,
	      struct err *err)
{
	assert(!loop->in_callbacks);
	for (bool turned = false;; turned = true) {
		if (loop->cancelled)
			return err_set(err, ERR_CANCELLED, "stopped by %s", loop->why);
		if (done(arg))
			return 0;
		if (turned && deadline_ms >= 0 && clock_mono_ms() >= deadline_ms)
			return err_set(err, ERR_TIMEOUT, "timed out");
		if (run_round(loop, deadline_ms, err) < 0)
			return -1;
	}
}

static bool never(void *arg)
{
	(void)arg;
	return false;
}

int loop_sleep(struct loop *loop, int64_t delay_ms, struct err *err)
{
	struct err why;

	if (loop_wait(loop, never, NULL, clock_mono_ms() + (delay_ms > 0 ? delay_ms : 0), &why) <
		    0 &&
	    why.kind != ERR_TIMEOUT) {
		*err = why;
		return -1;
	}
	return 0;
}

void loop_cancel(struct loop *loop, const char *why)
{
	loop->cancelled = true;
	(void)snprintf(loop->why, sizeof loop->why, "%s", why); /* cut at the end is fine */
}

bool loop_cancelled(const struct loop *loop)
{
	return loop->cancelled;
}

void loop_uncancel(struct loop *loop)
{
	loop->cancelled = false;
}

uint64_t loop_rounds(const struct loop *loop)
{
	return loop->rounds;
}
