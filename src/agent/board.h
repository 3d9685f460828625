/*
 * What berth says about itself, published by the main line and read by the
 * health endpoint's thread. Publishing is one atomic store; a reader never waits for the
 * main line, and the main line never for a reader.
 */
#ifndef BERTH_AGENT_BOARD_H
#define BERTH_AGENT_BOARD_H

#include "base/base.h"
#include "base/json.h"

enum board_status {
	BOARD_STARTING, /* before the image is there, or the app is not ready yet */
	BOARD_PULLING,
	BOARD_READY,
	BOARD_DRAINING,
	BOARD_FAILED,
	BOARD_UNHEALTHY, /* was ready, is not now */
	BOARD_STATUSES
};

/* Fixed size: a reader copies it whole. */
struct snapshot {
	enum board_status status;
	char phase[32];       /* the deployment's word: "resolve", "pull", "probe" … */
	char reason[512];     /* one line; why it is not ready, or "" */
	char image[1100];     /* as asked; REFERENCE_MAX_BYTES and slack */
	char digest[72];      /* of what the tag points at; "" while unknown */
	char container[256];  /* name; "" while there is none */
	/* the path that served the image: "load", "containerd", "daemon", or "" when nothing was pulled */
	char store[16];
	bool fast_load;       /* it did so by --fast-load */
	int64_t since_ms;     /* wall clock of the last change of status */
	int64_t started_ms;   /* wall clock of berth's start */
	int64_t ready_after_ms; /* from start to the first ready; 0: not yet */
	int64_t pull_bytes, pull_total_bytes; /* of this pull, compressed */
	int64_t pull_ms;
	uint64_t probes_passed, probes_failed;
	int restart_count;    /* Docker's, of the container */
	int pid;
};

struct board;

struct board *board_new(void);
void board_free(struct board *b);

/*
 * Publishes a copy. A changed status sets since_ms to now; the reason, where an app's own words may
 * be, is made one printable line. Main line only.
 */
void board_publish(struct board *b, struct snapshot *s);
/* The newest copy. Any thread. */
void board_read(const struct board *b, struct snapshot *out);

const char *board_status_name(enum board_status status);
/* {"status","reason","image","digest","container","since"} and with `all` the rest; the caller's. */
struct json *board_json(const struct snapshot *s, bool all);

#endif
