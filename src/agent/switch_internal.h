/* The switch's files in RUN_DIR/switch. No service's name makes two of them one: each has its own suffix. */
#ifndef BERTH_AGENT_SWITCH_INTERNAL_H
#define BERTH_AGENT_SWITCH_INTERNAL_H

#include "agent/switch.h"

/* Ten times what SWITCH_ENDPOINTS_MAX endpoints take. */
#define SWITCH_FILE_MAX_BYTES (256 * KIB)

/* NAME.json: where both ways lead, or shall. */
struct switch_record {
	int64_t serial; /* monotonic µs of its writing: each is larger than those before */
	int64_t moved_ms;
	struct switch_target target; /* address "": the container does not run */
	char flavour[32];            /* of iptables; "" none that Docker uses */
	struct switch_endpoint *endpoints;
	size_t n;
};
void switch_record_clear(struct switch_record *r);

/* Pure; ERR_PROTOCOL for what berth did not write. *out is untouched then. */
int switch_record_parse(const char *text, size_t len, struct switch_record *out, struct err *err) MUST_CHECK;
char *switch_record_print(const struct switch_record *r); /* caller frees */

/* ERR_NOT_FOUND: there is no switch. */
int switch_record_read(const char *path, struct switch_record *out, struct err *err) MUST_CHECK;
int switch_record_write(const char *path, const struct switch_record *r, struct err *err) MUST_CHECK;

/* NAME.listener: what the process that listens has done. */
struct switch_follower {
	int64_t serial; /* of the record that it follows */
	char problem[512];
};
int switch_follower_read(const char *path, struct switch_follower *out, struct err *err) MUST_CHECK;
int switch_follower_write(const char *path, const struct switch_follower *f, struct err *err) MUST_CHECK;

struct switch_paths {
	char *directory, *record, *lock, *follower, *follower_lock;
};
void switch_paths_make(const char *run_dir, const char *name, struct switch_paths *out);
void switch_paths_clear(struct switch_paths *p);

/* The rules of a record: IPv4 addresses but loopback; none while the container is on no bridge of this host. */
struct nat_plan;
void switch_plan(const char *name, const struct switch_record *r, struct nat_plan *out); /* free out->rules */

#endif
