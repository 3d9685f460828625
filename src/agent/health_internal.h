/* Between the endpoint's two files: the thread with its connections, and what it answers. */
#ifndef BERTH_AGENT_HEALTH_INTERNAL_H
#define BERTH_AGENT_HEALTH_INTERNAL_H

#include <microhttpd.h>

#include "agent/health.h"

/* libmicrohttpd's handler; cls is the board. */
enum MHD_Result health_answer(void *cls, struct MHD_Connection *connection, const char *url, const char *method,
			      const char *version, const char *upload, size_t *upload_len, void **state);

#endif
