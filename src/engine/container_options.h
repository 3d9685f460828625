/*
 * The values of run options, one parser each: text as `docker run` takes it
 * (docker/cli, opts/ and cli/command/container/opts.go; docker/go-units) into its place in
 * the create body. Private to container*.c.
 */
#ifndef BERTH_ENGINE_CONTAINER_OPTIONS_H
#define BERTH_ENGINE_CONTAINER_OPTIONS_H

#include "base/json.h"
#include "base/mem.h"

#define ULIMIT_NAMES 15 /* the kernel's, without RLIMIT_AS: docker/go-units leaves it out too */

struct ulimit {
	bool set;
	int64_t soft, hard; /* -1: unlimited */
};

/* A body that grows. */
struct container_builder {
	struct json *body;
	struct json *host; /* body.HostConfig */
	struct json *env;  /* of --env: an object, null for a name alone */
	/* By name: given twice, the later counts, as in Docker. */
	struct ulimit ulimits[ULIMIT_NAMES];
};

enum container_option_kind { FLAG_TEXT, FLAG_LIST, FLAG_BOOL };

struct container_option;
typedef int container_option_fn(struct container_builder *b, const struct container_option *o,
				const char *text, struct err *err);

/* One row: where struct container_spec holds the flag's value, and what puts it into the body. */
struct container_option {
	const char *flag;
	size_t offset;
	enum container_option_kind kind;
	container_option_fn *apply;
	const char *key; /* in Config, or in HostConfig for the functions that say so */
};

/* ERR_USAGE all; container_body() adds the flag's name. */
container_option_fn option_config_string; /* Config[key] */
container_option_fn option_host_bytes;    /* HostConfig[key], from "512m" */
container_option_fn option_host_item;     /* appended to HostConfig[key] */
container_option_fn option_host_true;     /* HostConfig[key] = true */
container_option_fn option_add_host;
container_option_fn option_cpus;
container_option_fn option_entrypoint;
container_option_fn option_env;
container_option_fn option_env_file; /* reads it; ERR_CONFIG */
container_option_fn option_gpus;
container_option_fn option_label;
container_option_fn option_log_driver;
container_option_fn option_log_opt;
container_option_fn option_network;
container_option_fn option_publish;
container_option_fn option_restart;
container_option_fn option_tmpfs;
container_option_fn option_ulimit;
container_option_fn option_volume;

/* Appends b->env to the body's Env. */
void option_env_end(struct container_builder *b);
/* Puts b->ulimits into the body, in the order of their names. */
void option_ulimits_end(struct container_builder *b);

/* A decimal integer that JSON can carry (|v| < 2^53), the whole text. */
int option_integer(const char *text, int64_t *out, struct err *err) MUST_CHECK;

#endif
