/*
 * The health endpoint: /healthz, /livez, /metrics. GET and HEAD, any Host. A thread
 * of its own that reads the board, so that no pull or hash can delay an answer. A
 * connection carries one request (so there is nothing to smuggle) and lives HEALTH_LIFE_MS at most,
 * whatever it does; when there are HEALTH_CONNECTIONS_MAX, the oldest goes. The only owner of
 * libmicrohttpd.
 */
#ifndef BERTH_AGENT_HEALTH_H
#define BERTH_AGENT_HEALTH_H

#include "agent/board.h"
#include "base/err.h"

#define HEALTH_CONNECTIONS_MAX 256
#define HEALTH_LIFE_MS 5000
/* One request's headers (an ALB's take 100 bytes, a browser's with cookies some 5 KiB) and the answer. */
#define HEALTH_CONNECTION_MEMORY_BYTES (16 * KIB)

struct health;

/*
 * Listens on "[IP]:PORT" (":8642": every address, both families) and starts the
 * thread. ERR_CONFIG for a bad address or a port in use. The board is borrowed.
 */
int health_start(const char *listen, const struct board *board, struct health **out, struct err *err) MUST_CHECK;
void health_stop(struct health *h); /* joins the thread; NULL is fine */

/* Monotonic ms of the thread's last turn; it turns at least once a second while it is well. */
int64_t health_last_turn_ms(const struct health *h);

#endif
