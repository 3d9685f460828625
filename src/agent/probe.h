/* Is the app ready? http, tcp, the image's HEALTHCHECK, or nobody asks. */
#ifndef BERTH_AGENT_PROBE_H
#define BERTH_AGENT_PROBE_H

#include "agent/context.h"
#include "engine/container.h"

enum probe_kind { PROBE_HTTP, PROBE_TCP, PROBE_DOCKER, PROBE_NONE };

struct probe {
	enum probe_kind kind;
	uint16_t port; /* the container's, not the host's */
	char *path;    /* of http: "/health?deep=1" */
};

#define PROBE_REASON_SIZE 320

/* `none` is content with a container that has run so long: most that cannot work have died by then. */
#define PROBE_NONE_RUNS_MS 1000

/* "http://:3000/path", "tcp://:3000", "docker", "none". ERR_USAGE. Pure. */
int probe_parse(const char *text, struct probe *out, struct err *err) MUST_CHECK;
void probe_clear(struct probe *p); /* for CLEANUP() */

/*
 * What to ask when nobody said: `docker` if the container has a HEALTHCHECK, else tcp on the first
 * published TCP port, else none. inspect is the container's.
 */
int probe_default(const struct json *inspect, const struct strv *publish, struct probe *out,
		  struct err *err) MUST_CHECK;

/* "http://:3000/path", for people; caller frees. */
char *probe_text(const struct probe *p);

/*
 * Asks once, at the container's own address (loopback on the host network): *passed, and when
 * not, why in one line. At most timeout_ms (a HEALTHCHECK: its own timeout). -1 only for
 * ERR_CANCELLED and for Docker's failures.
 */
int probe_once(struct context *c, const struct probe *p, const struct container_state *state, int64_t timeout_ms,
	       bool *passed, char reason[PROBE_REASON_SIZE], struct err *err) MUST_CHECK;

#endif
