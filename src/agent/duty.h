/* Signals and the instance's metadata, as they come, for the one deployment of `berth up`. */
#ifndef BERTH_AGENT_DUTY_H
#define BERTH_AGENT_DUTY_H

#include "agent/deployment.h"

/*
 * How long a first 200 waits for the metadata service, so that an instance of a warm pool does not
 * say it is in service for a moment. It answers within milliseconds where there is one.
 */
#define DUTY_HEAR_MS 250

struct duty;

/*
 * From now on d->lifecycle follows SIGUSR1 (leave), SIGUSR2 (serve), autoscaling/target-lifecycle-
 * state and spot/instance-action, and each change is told at once. d is borrowed.
 */
struct duty *duty_start(struct deployment *d);
void duty_stop(struct duty *duty);

#endif
