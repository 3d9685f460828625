#include "cmd/cmd.h"

#include "agent/deployment.h"
#include "agent/duty.h"
#include "agent/health.h"
#include "agent/notify.h"
#include "agent/watchdog.h"
#include "base/log.h"

/* Told to stop: the container goes on, unless --stop-on-exit. */
static int leave(struct deployment *d, struct err *err)
{
	bool stop = opt_flag(d->context->options, OPT_STOP_ON_EXIT);
	bool goes_on = !stop && d->snapshot.container[0];

	redeploy_stop(&d->redeploy); /* it puts right what it has begun */
	log_notice("%s%s", err->msg, goes_on ? "; the container goes on" : "");
	err_clear(err);
	if (stop)
		return deployment_drain(d, err);
	notify_send("STOPPING=1");
	return 0;
}

static int serve(struct context *c, struct deployment *d, struct board *board, struct err *err)
{
	struct health *health;

	if (health_start(opt_str(c->options, OPT_HEALTH_LISTEN), board, &health, err) < 0)
		return -1;
	/* Now, not when the app is ready: a pull may outlast systemd's start timeout. */
	notify_send("READY=1");
	struct watchdog *watchdog = watchdog_start(c, health);
	struct duty *duty = duty_start(d);
	int result = deployment_run(d, err);
	if (result < 0 && err->kind == ERR_CANCELLED)
		result = leave(d, err);
	duty_stop(duty);
	watchdog_stop(watchdog);
	health_stop(health);
	return result;
}

int cmd_up(const struct invocation *in, struct err *err)
{
	struct board *board = board_new();
	struct context c;
	struct deployment d;

	int result = context_open(&c, &in->options, IMDS_OUTAGE_MAX_MS, err);
	if (result == 0) {
		result = deployment_open(&d, &c, board, err);
		if (result == 0) {
			result = serve(&c, &d, board, err);
			deployment_close(&d);
		}
		context_close(&c);
	}
	board_free(board);
	return result;
}
