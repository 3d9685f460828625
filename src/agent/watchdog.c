#include "agent/watchdog.h"

#include "agent/notify.h"
#include "base/clock.h"

struct watchdog {
	struct context *context;
	const struct health *health;
	struct loop_timer *timer;
	int64_t interval_ms;
};

static bool well(const struct watchdog *w)
{
	int64_t now = clock_mono_ms();

	return now - health_last_turn_ms(w->health) < WATCHDOG_LISTENER_MS &&
	       now - w->context->last_progress_ms < WATCHDOG_MAIN_LINE_MS;
}

static void on_timer(void *arg)
{
	struct watchdog *w = arg;

	if (well(w))
		notify_send("WATCHDOG=1");
	w->timer = loop_timer_start(w->context->loop, w->interval_ms, on_timer, w);
}

struct watchdog *watchdog_start(struct context *c, const struct health *h)
{
	int64_t period_ms = notify_watchdog_ms();

	if (!period_ms)
		return NULL;
	struct watchdog *w = xcalloc(1, sizeof *w);
	*w = (struct watchdog){ .context = c, .health = h, .interval_ms = period_ms / 3 + 1 };
	on_timer(w);
	return w;
}

void watchdog_stop(struct watchdog *w)
{
	if (!w)
		return;
	loop_timer_cancel(w->timer);
	free(w);
}
