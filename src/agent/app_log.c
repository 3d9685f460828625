#include "agent/app_log.h"

#include "base/log.h"
#include "engine/container.h"

void app_log_show(struct docker *docker, const char *container)
{
	CLEANUP(buf_free) struct buf text = BUF_INIT(DOCKER_LOG_MAX_BYTES);
	struct err err;

	if (container_logs(docker, container, LOG_LINES_ON_FAILURE, &text, &err) < 0) {
		log_info("no logs of %s: %s", container, err.msg);
		return;
	}
	for (char *line = text.data, *next; line && *line; line = next) {
		next = strchr(line, '\n');
		if (next)
			*next++ = '\0';
		log_error("%s | %s", container, line);
	}
}
