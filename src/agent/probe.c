#include "agent/probe.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"

#define PATH_MAX_BYTES 1024
#define BODY_KEPT_BYTES (4 * KIB)
#define HEALTHCHECK_TIMEOUT_MS 30000 /* Docker's default */
#define HEALTHCHECK_ARGS_MAX 256

static int parse_port(const char *text, const char **rest, uint16_t *out, struct err *err)
{
	char *end;
	long n = strtol(text, &end, 10);

	if (end == text || n < 1 || n > 65535 || *text < '0' || *text > '9')
		return err_set(err, ERR_USAGE, "no container port");
	*out = (uint16_t)n;
	*rest = end;
	return 0;
}

static int parse_http(const char *rest, struct probe *out, struct err *err)
{
	const char *path;

	if (parse_port(rest, &path, &out->port, err) < 0)
		return -1;
	if (*path && *path != '/')
		return err_set(err, ERR_USAGE, "'%s' is not a path", path);
	for (const char *p = path; *p; p++)
		if ((unsigned char)*p <= 0x20 || *p == 0x7f || *p == '#')
			return err_set(err, ERR_USAGE, "the path holds a blank, '#' or control character");
	if (strlen(path) > PATH_MAX_BYTES)
		return err_set(err, ERR_USAGE, "the path is too long");
	out->path = xstrdup(*path ? path : "/");
	return 0;
}

static int parse_tcp(const char *rest, struct probe *out, struct err *err)
{
	const char *end;

	if (parse_port(rest, &end, &out->port, err) < 0)
		return -1;
	return *end ? err_set(err, ERR_USAGE, "'%s' behind the port", end) : 0;
}

static int parse_word(const char *rest, struct probe *out, struct err *err)
{
	(void)out;
	return *rest ? err_set(err, ERR_USAGE, "'%s' behind the word", rest) : 0;
}

static const struct {
	const char *prefix;
	enum probe_kind kind;
	int (*parse)(const char *rest, struct probe *out, struct err *err);
} forms[] = {
	{ "http://:", PROBE_HTTP, parse_http },
	{ "tcp://:", PROBE_TCP, parse_tcp },
	{ "docker", PROBE_DOCKER, parse_word },
	{ "none", PROBE_NONE, parse_word },
};

int probe_parse(const char *text, struct probe *out, struct err *err)
{
	for (size_t i = 0; i < ARRAY_LEN(forms); i++) {
		const char *rest = skip_prefix(text, forms[i].prefix);
		if (!rest)
			continue;
		struct probe p = { .kind = forms[i].kind };
		if (forms[i].parse(rest, &p, err) < 0)
			return err_wrap(err, "--probe %.100s", text);
		*out = p;
		return 0;
	}
	return err_set(err, ERR_USAGE, "--probe %.100s: not http://:PORT/PATH, tcp://:PORT, docker or none", text);
}

void probe_clear(struct probe *p)
{
	free(p->path);
	*p = (struct probe){ .kind = PROBE_NONE };
}

char *probe_text(const struct probe *p)
{
	switch (p->kind) {
	case PROBE_HTTP:
		return xasprintf("http://:%u%s", p->port, p->path);
	case PROBE_TCP:
		return xasprintf("tcp://:%u", p->port);
	case PROBE_DOCKER:
		return xstrdup("docker");
	case PROBE_NONE:
		break;
	}
	return xstrdup("none");
}

/* HEALTHCHECK as argv: ["CMD", …] as it is, ["CMD-SHELL", s] through the image's shell; empty when there is none. */
static void healthcheck_argv(const struct json *inspect, struct strv *argv)
{
	const struct json *config = json_get(inspect, "Config");
	const struct json *test = json_get(json_get(config, "Healthcheck"), "Test");
	const struct json *word = json_first(test);
	const char *kind = json_string(word);

	if (streq(kind, "CMD-SHELL")) {
		const struct json *shell = json_first(json_get(config, "Shell"));
		if (!shell) {
			strv_add(argv, "/bin/sh");
			strv_add(argv, "-c");
		}
		for (; shell; shell = json_next(shell))
			strv_add(argv, json_string(shell) ?: "");
	} else if (!streq(kind, "CMD")) {
		return; /* NONE, or no healthcheck */
	}
	for (word = json_next(word); word && argv->n < HEALTHCHECK_ARGS_MAX; word = json_next(word))
		strv_add(argv, json_string(word) ?: "");
}

int probe_default(const struct json *inspect, const struct strv *publish, struct probe *out, struct err *err)
{
	CLEANUP(strv_free) struct strv argv = { 0 };

	healthcheck_argv(inspect, &argv);
	*out = (struct probe){ .kind = argv.n ? PROBE_DOCKER : PROBE_NONE };
	for (size_t i = 0; i < publish->n && out->kind == PROBE_NONE; i++) {
		CLEANUP(freep) struct published_port *ports = NULL;
		size_t n = 0;
		if (publish_parse(publish->v[i], &ports, &n, err) < 0)
			return -1;
		for (size_t k = 0; k < n && out->kind == PROBE_NONE; k++)
			if (streq(ports[k].proto, "tcp"))
				*out = (struct probe){ .kind = PROBE_TCP, .port = ports[k].container_port };
	}
	return 0;
}

static const char *dial_address(const struct container_state *state)
{
	return state->host_network ? "127.0.0.1" : state->address;
}

static enum http_flow ignore_body(void *arg, const struct http_response *head, const void *bytes, size_t len,
				  struct err *err)
{
	(void)arg, (void)head, (void)bytes, (void)len, (void)err;
	return HTTP_CONTINUE; /* the status is the answer; total_timeout_ms bounds the rest */
}

static int ask_http(struct context *c, const struct probe *p, const char *address, int64_t timeout_ms, bool *passed,
		    char reason[PROBE_REASON_SIZE], struct err *err)
{
	bool v6 = strchr(address, ':') != NULL;
	CLEANUP(freep) char *url = xasprintf(v6 ? "http://[%s]:%u%s" : "http://%s:%u%s", address, p->port, p->path);
	CLEANUP(http_response_free) struct http_response resp = { 0 };
	struct http_request req = {
		.method = "GET",
		.url = url,
		.on_body = ignore_body,
		.max_body_bytes = BODY_KEPT_BYTES,
		.connect_timeout_ms = timeout_ms,
		.total_timeout_ms = timeout_ms,
		.least = ADDRESS_LOOPBACK,
		.no_proxy = true,
		.http1_only = true,
	};

	if (http_do(c->http, &req, &resp, err) < 0) {
		if (err->kind == ERR_CANCELLED)
			return -1;
		/* An error page larger than what is kept is still an answer. */
		if (err->kind != ERR_LIMIT || !resp.status) {
			(void)snprintf(reason, PROBE_REASON_SIZE, "%.*s", PROBE_REASON_SIZE - 1, err->msg);
			return 0;
		}
	}
	*passed = resp.status >= 200 && resp.status < 400;
	(void)snprintf(reason, PROBE_REASON_SIZE, "GET :%u%.200s answers %ld", p->port, p->path, resp.status);
	return 0;
}

struct dial {
	int fd;
	bool done;
};

static void on_connected(void *arg, uint32_t events)
{
	(void)events;
	((struct dial *)arg)->done = true;
}

static bool dial_done(void *arg)
{
	return ((struct dial *)arg)->done;
}

static int address_of(const char *text, uint16_t port, struct sockaddr_storage *out, socklen_t *len)
{
	struct sockaddr_in *v4 = (struct sockaddr_in *)out;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)out;

	memset(out, 0, sizeof *out);
	if (inet_pton(AF_INET, text, &v4->sin_addr) == 1) {
		v4->sin_family = AF_INET;
		v4->sin_port = htons(port);
		*len = sizeof *v4;
		return 0;
	}
	if (inet_pton(AF_INET6, text, &v6->sin6_addr) == 1) {
		v6->sin6_family = AF_INET6;
		v6->sin6_port = htons(port);
		*len = sizeof *v6;
		return 0;
	}
	return -1;
}

/* 0 connected, else the errno; ETIMEDOUT at the deadline, ECANCELED when berth stops. */
static int dial(struct context *c, const struct sockaddr_storage *addr, socklen_t len, int64_t timeout_ms,
		struct err *err)
{
	CLEANUP(closep) int fd = socket(addr->ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct dial d = { .fd = fd };
	struct loop_watch *watch;
	int failed = 0;
	socklen_t size = sizeof failed;

	if (fd < 0)
		return errno;
	if (connect(fd, (const struct sockaddr *)addr, len) == 0)
		return 0;
	if (errno != EINPROGRESS)
		return errno;
	if (loop_watch_fd(c->loop, fd, EPOLLOUT, on_connected, &d, &watch, err) < 0)
		return err->errnum ?: EIO;
	int waited = loop_wait(c->loop, dial_done, &d, clock_mono_ms() + timeout_ms, err);
	loop_unwatch(watch);
	if (waited < 0)
		return err->kind == ERR_CANCELLED ? ECANCELED : ETIMEDOUT;
	return getsockopt(fd, SOL_SOCKET, SO_ERROR, &failed, &size) < 0 ? errno : failed;
}

static int ask_tcp(struct context *c, const struct probe *p, const char *address, int64_t timeout_ms, bool *passed,
		   char reason[PROBE_REASON_SIZE], struct err *err)
{
	struct sockaddr_storage addr;
	socklen_t len;

	if (address_of(address, p->port, &addr, &len) < 0) {
		(void)snprintf(reason, PROBE_REASON_SIZE, "the container's address %s cannot be dialled", address);
		return 0;
	}
	int failed = dial(c, &addr, len, timeout_ms, err);
	if (failed == ECANCELED)
		return -1;
	*passed = failed == 0;
	(void)snprintf(reason, PROBE_REASON_SIZE, "connect to %s port %u: %s", address, p->port,
		       strerrordesc_np(failed) ?: "unknown error");
	return 0;
}

static int64_t healthcheck_timeout_ms(const struct json *inspect)
{
	const struct json *check = json_get(json_get(inspect, "Config"), "Healthcheck");
	int64_t ns = 0;
	struct err ignored; /* nonsense there means the default */

	if (json_opt_int(check, "Timeout", 0, INT64_C(3600) * 1000000000, &ns, &ignored) < 0 || ns <= 0)
		return HEALTHCHECK_TIMEOUT_MS;
	return ns / 1000000;
}

/*
 * dockerd runs its first HEALTHCHECK only after a whole interval (30 s by default):
 * until its first verdict the same command is run here.
 */
static int ask_docker(struct context *c, const struct container_state *state, bool *passed,
		      char reason[PROBE_REASON_SIZE], struct err *err)
{
	CLEANUP(strv_free) struct strv argv = { 0 };
	CLEANUP(buf_free) struct buf output = BUF_INIT(BODY_KEPT_BYTES);
	int exit_code;

	if (streq(state->health, "healthy") || streq(state->health, "unhealthy")) {
		*passed = streq(state->health, "healthy");
		(void)snprintf(reason, PROBE_REASON_SIZE, "HEALTHCHECK: %s%s%.200s", state->health,
			       *state->health_log ? ": " : "", state->health_log);
		return 0;
	}
	healthcheck_argv(state->inspect, &argv);
	if (!argv.n) {
		(void)snprintf(reason, PROBE_REASON_SIZE, "--probe docker: the image has no HEALTHCHECK");
		return 0;
	}
	if (container_exec(c->docker, state->id, &argv, healthcheck_timeout_ms(state->inspect), &exit_code, &output,
			   err) < 0) {
		if (err->kind == ERR_CANCELLED)
			return -1;
		(void)snprintf(reason, PROBE_REASON_SIZE, "HEALTHCHECK: %.250s", err->msg);
		return 0;
	}
	*passed = exit_code == 0;
	(void)snprintf(reason, PROBE_REASON_SIZE, "HEALTHCHECK: exit code %d%s%.*s", exit_code, output.len ? ": " : "",
		       (int)strcspn(buf_str(&output), "\r\n") > 200 ? 200 : (int)strcspn(buf_str(&output), "\r\n"),
		       buf_str(&output));
	return 0;
}

int probe_once(struct context *c, const struct probe *p, const struct container_state *state, int64_t timeout_ms,
	       bool *passed, char reason[PROBE_REASON_SIZE], struct err *err)
{
	const char *address = dial_address(state);

	*passed = false;
	reason[0] = '\0';
	if ((p->kind == PROBE_HTTP || p->kind == PROBE_TCP) && !*address) {
		(void)snprintf(reason, PROBE_REASON_SIZE, "the container has no address: its network is none");
		return 0;
	}
	switch (p->kind) {
	case PROBE_HTTP:
		return ask_http(c, p, address, timeout_ms, passed, reason, err);
	case PROBE_TCP:
		return ask_tcp(c, p, address, timeout_ms, passed, reason, err);
	case PROBE_DOCKER:
		return ask_docker(c, state, passed, reason, err);
	case PROBE_NONE:
		break;
	}
	int64_t runs_ms = clock_wall_ms() - state->started_ms;
	*passed = runs_ms >= PROBE_NONE_RUNS_MS || runs_ms < 0; /* < 0: the clock was set */
	if (!*passed)
		(void)snprintf(reason, PROBE_REASON_SIZE, "the container has only just started");
	return 0;
}
