/* What the app said last: the first question of whoever reads berth's log. */
#ifndef BERTH_AGENT_APP_LOG_H
#define BERTH_AGENT_APP_LOG_H

#include "engine/docker.h"

#define LOG_LINES_ON_FAILURE 20

/* Copies the container's last lines into the log, as errors. */
void app_log_show(struct docker *docker, const char *container);

#endif
