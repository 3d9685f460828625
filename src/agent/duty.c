#include "agent/duty.h"

#include <signal.h>

#include "aws/imds_watch.h"
#include "base/log.h"

struct duty {
	struct deployment *d;
	struct imds_watch *watch;
	struct loop_timer *timer;
	bool changed; /* in this round of questions */
};

enum source { TARGET_STATE, SPOT_ACTION, SOURCES };

static const char *const paths[SOURCES] = {
	[TARGET_STATE] = "meta-data/autoscaling/target-lifecycle-state",
	[SPOT_ACTION] = "meta-data/spot/instance-action",
};
static bool (*const takers[SOURCES])(struct lifecycle *l, const char *text) = {
	[TARGET_STATE] = lifecycle_target_state,
	[SPOT_ACTION] = lifecycle_spot_action,
};

static void tell(struct deployment *d)
{
	static const char *const words[] = {
		[LIFECYCLE_SERVING] = "this instance is in service",
		[LIFECYCLE_PREPARING] = "preparing, not in service",
		[LIFECYCLE_LEAVING] = "this instance is on its way out",
	};
	const struct lifecycle *l = &d->lifecycle;

	log_notice("%s%s%s", words[l->duty], *l->reason ? ": " : "", l->reason);
	deployment_retell(d);
}

static void answered(void *arg, size_t path, const char *text)
{
	struct duty *duty = arg;

	duty->changed |= takers[path](&duty->d->lifecycle, text);
}

/*
 * That the instance serves, which it does unless somebody says otherwise, is not worth a line the
 * first time.
 */
static void hear(struct duty *duty)
{
	loop_timer_cancel(duty->timer);
	duty->timer = NULL;
	if (lifecycle_heard(&duty->d->lifecycle))
		deployment_retell(duty->d);
}

static void on_round(void *arg, const struct err *err)
{
	struct duty *duty = arg;
	bool first = duty->timer != NULL;

	if (err)
		log_debug("%s", err->msg);
	if (duty->changed && !(first && duty->d->lifecycle.duty == LIFECYCLE_SERVING))
		tell(duty->d);
	else if (duty->changed)
		deployment_retell(duty->d);
	duty->changed = false;
	hear(duty);
}

static void on_timer(void *arg)
{
	struct duty *duty = arg;

	duty->timer = NULL;
	hear(duty);
}

static void on_signal(void *arg, int number)
{
	struct duty *duty = arg;
	struct lifecycle *l = &duty->d->lifecycle;

	if (number == SIGUSR1 ? lifecycle_leave(l, "SIGUSR1 has asked for it") : lifecycle_serve(l))
		tell(duty->d);
}

struct duty *duty_start(struct deployment *d)
{
	struct duty *duty = xcalloc(1, sizeof *duty);
	const struct imds_watch_settings settings = {
		.paths = paths, .n = SOURCES, .answered = answered, .round = on_round, .arg = duty
	};

	duty->d = d;
	context_on_user_signal(d->context, on_signal, duty);
	duty->watch = imds_watch_start(d->context->imds, &settings);
	if (duty->watch)
		duty->timer = loop_timer_start(d->context->loop, DUTY_HEAR_MS, on_timer, duty);
	else
		hear(duty);
	return duty;
}

void duty_stop(struct duty *duty)
{
	context_on_user_signal(duty->d->context, NULL, NULL);
	imds_watch_stop(duty->watch);
	loop_timer_cancel(duty->timer);
	free(duty);
}
