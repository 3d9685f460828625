/*
 * Containers: from run options to Docker's create body (as `docker run` makes
 * it), and the calls on one container.
 */
#ifndef BERTH_ENGINE_CONTAINER_H
#define BERTH_ENGINE_CONTAINER_H

#include "base/hash.h"
#include "base/mem.h"
#include "engine/docker.h"

/* What the user asked for, as typed; agent/ fills it from the options. Strings are borrowed. */
struct container_spec {
	const char *name;
	const char *image;            /* what goes into "Image": a reference or an ID */
	struct strv publish, env, env_files, volumes, log_opts, labels, ulimits, cap_add, cap_drop, tmpfs, add_hosts;
	const char *network, *restart, *memory, *cpus, *user, *entrypoint, *log_driver, *shm_size, *hostname, *gpus;
	bool read_only, init;
	const char *container_json;   /* path, or NULL */
	char **command;               /* NULL-terminated, or NULL */
	size_t n_command;
};

/* One parsed -p. */
struct published_port {
	char host_ip[46];      /* "" any */
	uint16_t host_port;    /* 0: ephemeral */
	uint16_t host_port_end; /* host_port, or the end of a range that Docker picks one from */
	uint16_t container_port;
	char proto[5];         /* "tcp", "udp", "sctp" */
};
/*
 * "[IP:]HOST:CONTAINER[/proto]", ranges "8000-8010:8000-8010" and "8000-8010:80", "CONTAINER" alone, "[::1]:80:80";
 * appends to *out (caller frees).
 * At most 16384 ports in a range. ERR_USAGE.
 */
int publish_parse(const char *text, struct published_port **out, size_t *n, struct err *err) MUST_CHECK;

/*
 * The create body, field by field what `docker run` of the same flags sends (daemon defaults are left to the
 * daemon). Reads env files and container_json (merged last, RFC 7396). ERR_USAGE or ERR_CONFIG naming the flag.
 * config_hash: SHA-256 over the body in sorted form without "Image" and io.berth.* labels: the io.berth.config label.
 */
int container_body(const struct container_spec *spec, struct json **out, char config_hash[SHA256_HEX_SIZE],
		   struct err *err) MUST_CHECK;

/* What inspect says, reduced to what berth decides on. */
struct container_state {
	char id[65];
	char name[256];
	char image_id[80];         /* "sha256:…" */
	char status[16];           /* created running paused restarting removing exited dead */
	bool running, restarting, oom_killed;
	int exit_code;
	char health[16];           /* "" none, starting, healthy, unhealthy */
	char health_log[256];      /* last health output, first line */
	char address[46];          /* on its own network, or of the container it shares one with; "" none */
	bool host_network;
	int64_t started_ms;        /* wall clock */
	int restart_count;
	char *label_image, *label_digest, *label_config, *label_name, *label_generation; /* NULL: not ours */
	struct json *inspect;      /* the whole answer */
};
void container_state_clear(struct container_state *s);

/* ERR_NOT_FOUND when there is none. */
int container_inspect(struct docker *d, const char *name, struct container_state *out, struct err *err) MUST_CHECK;
/* The same with a deadline of its own. */
int container_inspect_for(struct docker *d, const char *name, int64_t timeout_ms, struct container_state *out,
			  struct err *err) MUST_CHECK;
/* id_out: 65 bytes. ERR_CONFLICT: the name is taken. Docker's warnings are appended to *warnings. */
int container_create(struct docker *d, const char *name, const struct json *body, const char *platform,
		     char id_out[65], struct strv *warnings, struct err *err) MUST_CHECK;
/*
 * After a dockerd that was killed while it started a container, retryable: ERR_CONFLICT when this one can only be
 * removed and made again; ERR_FAILED when a port is held for no container, until Docker is restarted.
 */
int container_start(struct docker *d, const char *name, struct err *err) MUST_CHECK;
/* timeout_s -1: the image's own. Already stopped is success. */
int container_stop(struct docker *d, const char *name, int timeout_s, struct err *err) MUST_CHECK;
int container_remove(struct docker *d, const char *name, bool force, struct err *err) MUST_CHECK;
/* Running or not, and with the volumes that the image had made for it: not named ones, nor what others use too. */
int container_remove_whole(struct docker *d, const char *name, struct err *err) MUST_CHECK;
int container_rename(struct docker *d, const char *name, const char *new_name, struct err *err) MUST_CHECK;
/* policy: "no", "always", "unless-stopped", "on-failure"; retries: of on-failure, 0 for no limit. */
int container_set_restart(struct docker *d, const char *name, const char *policy, int64_t retries,
			  struct err *err) MUST_CHECK;
/* The last lines of stdout and stderr, demultiplexed, printable; at most DOCKER_LOG_MAX_BYTES. */
int container_logs(struct docker *d, const char *name, int lines, struct buf *out, struct err *err) MUST_CHECK;
/*
 * Runs argv inside and waits up to timeout_ms; *exit_code, and the output's start (cap of out). After ERR_TIMEOUT the
 * command may still run: the API has no way to end it.
 */
int container_exec(struct docker *d, const char *name, const struct strv *argv, int64_t timeout_ms, int *exit_code,
		   struct buf *out, struct err *err) MUST_CHECK;

/* An image in the engine. */
struct image_state {
	char id[80];               /* "sha256:…" */
	struct strv repo_tags, repo_digests, diff_ids;
	struct strv healthcheck;   /* Config.Healthcheck.Test, empty: none */
	int64_t healthcheck_timeout_ms; /* Docker's 30 s where the image does not say */
	struct strv exposed;       /* "3000/tcp" */
};
void image_state_clear(struct image_state *s);
/* By reference or ID. ERR_NOT_FOUND. */
int image_inspect(struct docker *d, const char *ref, struct image_state *out, struct err *err) MUST_CHECK;
/* Gives it that name, "repository:tag", which another image may have had until now: that one stays, without it. */
int image_tag(struct docker *d, const char *id, const char *name, struct err *err) MUST_CHECK;
/* With its name; a second one, or a container of it, running or not, prevents that. */
int image_remove(struct docker *d, const char *id, struct err *err) MUST_CHECK;

#endif
