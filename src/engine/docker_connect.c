/* The first words with an engine: is it there, which version, which store. */
#include <errno.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "engine/docker_internal.h"
#include "net/unix.h"

/* Between two looks at a socket that is not there yet: dockerd needs seconds to start. */
#define WAIT_FIRST_MS 100
#define WAIT_MOST_MS 1000

#define CONTAINERD_STORE "io.containerd.snapshotter.v1"

#define USUAL_DIRS "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/snap/bin:/opt/bin"

struct version {
	unsigned int major, minor;
};

/*
 * True when a program of that name is in PATH or where distributions put it: systemd's and cloud-
 * init's PATH is short.
 */
static bool installed(const char *program)
{
	const char *path = getenv("PATH");
	CLEANUP(freep) char *dirs = xasprintf("%s:" USUAL_DIRS, path ? path : "");

	for (char *rest = dirs, *dir; (dir = strsep(&rest, ":"));) {
		CLEANUP(freep) char *file = xasprintf("%s/%s", dir, program);
		if (*dir == '/' && access(file, X_OK) == 0)
			return true;
	}
	return false;
}

static int socket_error(const char *path, int errnum, struct err *err)
{
	static const char start[] = "start it: systemctl enable --now docker";

	switch (errnum) {
	case ENOENT:
		if (!installed("dockerd") && !installed("podman")) {
			(void)err_set(err, ERR_NOT_FOUND,
				      "Docker is not installed, and %s does not exist", path);
			return err_hint(err, "install docker: dnf install -y docker && "
					     "systemctl enable --now docker (Amazon Linux 2023)");
		}
		(void)err_set(err, ERR_NETWORK, "Docker is not running: %s does not exist", path);
		return err_hint(err, "%s", start);
	case ECONNREFUSED:
		(void)err_set(err, ERR_NETWORK, "Docker is not running: nobody answers on %s",
			      path);
		return err_hint(err, "%s", start);
	case EACCES:
	case EPERM:
		(void)err_set(err, ERR_DENIED, "no permission to use %s", path);
		return err_hint(err, "run berth as root, or as a member of the group docker");
	default:
		return err_sys(err, errnum, "connect to %s", path);
	}
}

/* Asked before curl, which tells all these apart by one word: refused. */
static int probe_socket(const char *path, struct err *err)
{
	if (unix_listens(path, err) == 0)
		return 0;
	return err->kind == ERR_NETWORK ? socket_error(path, err->errnum, err) : -1;
}

static int parse_version(const char *text, struct version *out)
{
	unsigned int major, minor;
	int end = 0;

	if (!text || strlen(text) > 8 || sscanf(text, "%u.%u%n", &major, &minor, &end) != 2 ||
	    text[end])
		return -1;
	*out = (struct version){ major, minor };
	return 0;
}

static bool newer(struct version a, struct version b)
{
	return a.major != b.major ? a.major > b.major : a.minor > b.minor;
}

static int get(struct docker *d, const char *path, bool unversioned, int64_t deadline_ms,
	       struct http_response *resp, struct err *err)
{
	int64_t left = deadline_ms - clock_mono_ms();
	const struct docker_exchange x = {
		.method = "GET",
		.path = path,
		.unversioned = unversioned,
		.timeout_ms = left > 1 ? left : 1,
	};

	return docker_do(d, &x, resp, err);
}

static int get_json(struct docker *d, const char *path, bool unversioned, int64_t deadline_ms,
		    struct json **out, struct err *err)
{
	CLEANUP(http_response_free) struct http_response resp = { 0 };
	CLEANUP(json_freep) struct json *answer = NULL;

	if (get(d, path, unversioned, deadline_ms, &resp, err) < 0)
		return -1;
	if (docker_parse(resp.body.data, resp.body.len, DOCKER_ANSWER_MAX_BYTES, &answer, err) < 0)
		return err_wrap(err, "%s of Docker at %s", path, d->host);
	if (!json_is_object(answer))
		return err_set(err, ERR_PROTOCOL, "%s of Docker at %s: not an object", path,
			       d->host);
	*out = STEAL(answer);
	return 0;
}

/* The older of the engine's newest API and ours; engines refuse what is older than their oldest. */
static int negotiate(const struct docker *d, const char *newest, const char *oldest, char out[16],
		     struct err *err)
{
	const struct version ours = { DOCKER_API_MAX_MAJOR, DOCKER_API_MAX_MINOR };
	struct version max, min = { 0, 0 };

	if (parse_version(newest, &max) < 0 ||
	    (oldest && *oldest && parse_version(oldest, &min) < 0))
		return err_set(err, ERR_PROTOCOL, "Docker at %s: no API version in its answer",
			       d->host);
	if (newer(min, ours)) {
		(void)err_set(err, ERR_PROTOCOL,
			      "Docker at %s speaks API %s and newer, this berth up to %u.%u",
			      d->host, oldest, ours.major, ours.minor);
		return err_hint(err, "install a newer berth");
	}
	if (newer(max, ours))
		max = ours;
	/* Two numbers of four digits at most. */
	(void)snprintf(out, 16, "%u.%u", max.major, max.minor);
	return 0;
}

static void copy(char *out, size_t size, const struct json *text)
{
	(void)snprintf(out, size, "%s", json_string(text) ?: "");
}

static bool is_podman(const struct json *version)
{
	for (const struct json *c = json_first(json_get(version, "Components")); c;
	     c = json_next(c))
		if (streq(json_string(json_get(c, "Name")), "Podman Engine"))
			return true;
	return false;
}

/* [["Backing Filesystem","extfs"],["driver-type","io.containerd.snapshotter.v1"]] */
static bool has_containerd_store(const struct json *info)
{
	for (const struct json *pair = json_first(json_get(info, "DriverStatus")); pair;
	     pair = json_next(pair)) {
		const struct json *name = json_first(pair), *value = name ? json_next(name) : NULL;
		if (streq(json_string(name), "driver-type") &&
		    streq(json_string(value), CONTAINERD_STORE))
			return true;
	}
	return false;
}

/* ["name=seccomp,profile=default","name=userns"] */
static bool maps_users(const struct json *info)
{
	for (const struct json *v = json_first(json_get(info, "SecurityOptions")); v;
	     v = json_next(v)) {
		const char *name = skip_prefix(json_string(v) ?: "", "name=");
		if (name && (skip_prefix(name, "userns") || skip_prefix(name, "rootless")))
			return true;
	}
	return false;
}

static int read_info(const struct json *info, struct docker_info *out, struct err *err)
{
	const struct json *containerd = json_get(info, "Containerd");

	if (json_opt_int(info, "NCPU", 0, INT32_MAX, &out->n_cpu, err) < 0 ||
	    json_opt_int(info, "MemTotal", 0, INT64_MAX, &out->mem_bytes, err) < 0)
		return -1;
	copy(out->version, sizeof out->version, json_get(info, "ServerVersion"));
	copy(out->driver, sizeof out->driver, json_get(info, "Driver"));
	copy(out->root_dir, sizeof out->root_dir, json_get(info, "DockerRootDir"));
	copy(out->containerd_address, sizeof out->containerd_address,
	     json_get(containerd, "Address"));
	copy(out->containerd_namespace, sizeof out->containerd_namespace,
	     json_get(json_get(containerd, "Namespaces"), "Containers"));
	if (out->store != DOCKER_STORE_PODMAN && has_containerd_store(info))
		out->store = DOCKER_STORE_CONTAINERD;
	out->userns_or_rootless = maps_users(info);
	return 0;
}

/*
 * The ping's headers tell enough of an engine that is no newer than berth. /version takes dockerd
 * 10 ms: it runs other programs to ask them for theirs.
 */
static int learn_version(struct docker *d, const struct http_response *ping, int64_t deadline_ms,
			 struct docker_info *found, struct err *err)
{
	CLEANUP(json_freep) struct json *version = NULL;
	CLEANUP(freep) char *api = http_header_get(ping, "api-version");
	CLEANUP(freep) char *libpod = http_header_get(ping, "libpod-api-version");
	const struct version ours = { DOCKER_API_MAX_MAJOR, DOCKER_API_MAX_MINOR };
	const char *oldest = NULL, *newest = NULL;
	struct version max;

	if (!api || parse_version(api, &max) < 0 || newer(max, ours)) {
		if (get_json(d, "/version", true, deadline_ms, &version, err) < 0)
			return -1;
		if (json_opt_str(version, "ApiVersion", &newest, err) < 0 ||
		    json_opt_str(version, "MinAPIVersion", &oldest, err) < 0)
			return docker_transport_error(err);
	}
	if (libpod || is_podman(version))
		found->store = DOCKER_STORE_PODMAN;
	return negotiate(d, api ? api : newest, oldest, found->api, err);
}

static int connect_by(struct docker *d, int64_t deadline_ms, struct err *err)
{
	CLEANUP(http_response_free) struct http_response ping = { 0 };
	CLEANUP(json_freep) struct json *info = NULL;
	struct docker_info found = { .store = DOCKER_STORE_CLASSIC };

	if (d->socket && probe_socket(d->socket, err) < 0)
		return -1;
	if (get(d, "/_ping", true, deadline_ms, &ping, err) < 0) {
		/* dockerd answers its ping with 500 while it is not healthy yet. */
		if (err->kind == ERR_FAILED)
			err->retryable = true;
		return -1;
	}
	if (learn_version(d, &ping, deadline_ms, &found, err) < 0)
		return -1;

	CLEANUP(freep) char *path = xasprintf("/v%s/info", found.api);
	if (get_json(d, path, true, deadline_ms, &info, err) < 0)
		return -1;
	if (read_info(info, &found, err) < 0)
		return docker_transport_error(err);
	d->info = found;
	return 0;
}

int docker_connect(struct docker *d, struct err *err)
{
	return connect_by(d, clock_mono_ms() + DOCKER_TIMEOUT_MS, err);
}

int docker_wait(struct docker *d, int64_t patience_ms, struct err *err)
{
	int64_t deadline = clock_mono_ms() + patience_ms;

	for (int64_t pause = WAIT_FIRST_MS;;
	     pause = pause * 2 < WAIT_MOST_MS ? pause * 2 : WAIT_MOST_MS) {
		int64_t now = clock_mono_ms();
		int64_t limit =
			deadline < now + DOCKER_TIMEOUT_MS ? deadline : now + DOCKER_TIMEOUT_MS;
		if (connect_by(d, limit, err) == 0)
			return 0;
		if (!err->retryable || clock_mono_ms() + pause >= deadline)
			return -1;
		if (loop_sleep(d->loop, pause, err) < 0)
			return -1;
	}
}
