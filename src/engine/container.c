#include "engine/container.h"

#include "base/mem.h"
#include "engine/container_internal.h"

/* Docker's own patience when the container does not say: 10 s; some say minutes. */
#define STOP_IMAGES_OWN_MS 600000
#define STOP_DEFAULT_S 10
#define REMOVE_TIMEOUT_MS 120000 /* deleting a large upper directory on a slow volume */

/* METHOD /containers/NAME<suffix>, without a body or an answer. */
static int simple_call(struct docker *d, const char *method, const char *name, const char *suffix,
		       int64_t timeout_ms, struct err *err)
{
	CLEANUP(freep) char *escaped = docker_escape(name);
	CLEANUP(freep) char *path = xasprintf("/containers/%s%s", escaped, suffix);

	return docker_call_for(d, method, path, NULL, timeout_ms, NULL, err);
}

static bool knows_platform_on_create(const struct docker *d)
{
	unsigned int major = 0, minor = 0;

	/* API 1.41; docker_connect() wrote the text. */
	return sscanf(docker_info(d)->api, "%u.%u", &major, &minor) == 2 &&
	       (major > 1 || minor >= 41);
}

int container_create(struct docker *d, const char *name, const struct json *body,
		     const char *platform, char id_out[65], struct strv *warnings, struct err *err)
{
	CLEANUP(freep) char *escaped = docker_escape(name);
	CLEANUP(freep) char *escaped_platform = docker_escape(platform ? platform : "");
	bool with_platform = platform && knows_platform_on_create(d);
	CLEANUP(freep) char *path = xasprintf("/containers/create?name=%s%s%s", escaped,
			  with_platform ? "&platform=" : "", with_platform ? escaped_platform : "");
	CLEANUP(json_freep) struct json *answer = NULL;
	const struct json *list = NULL;
	const char *id;

	if (docker_call(d, "POST", path, body, &answer, err) < 0) {
		/* Podman 4 says 500, not 409. */
		if (err->kind == ERR_FAILED && strstr(err->msg, "already in use"))
			err->kind = ERR_CONFLICT;
		return err_wrap(err, "create container %s", name);
	}
	if (json_str(answer, "Id", &id, err) < 0 ||
	    json_opt_array(answer, "Warnings", &list, err) < 0)
		return err_wrap(err, "create container %s: Docker's answer", name);
	if (!*id || strlen(id) > 64)
		return err_set(err, ERR_PROTOCOL, "create container %s: Docker's answer has no ID",
			       name);
	for (const struct json *v = json_first(list); v; v = json_next(v))
		if (json_string(v))
			strv_add(warnings, json_string(v));
	copy_text(id_out, 65, id);
	return 0;
}

/* What dockerd and runc say when a container cannot be made or started, and what helps. */
static const struct {
	const char *says, *hint;
} remedies[] = {
	{ "port is already allocated", "another container has that port: `docker ps` shows which" },
	{ "address already in use", "another program has that port: `ss -ltnp` shows which" },
	{ "executable file not found", "is the command in the image? check --entrypoint and what follows --" },
	{ "container init: exec:", "is the command in the image? check --entrypoint and what follows --" },
	{ "unable to start container process: exec",
	  "is the command in the image? check --entrypoint and what follows --" },
	{ "exec format error", "the image is for another platform than this machine" },
	{ "no matching entries in passwd file", "the image knows no user of that name: check --user" },
	{ "unable to find user", "the image knows no user of that name: check --user" },
	{ "could not select device driver", "--gpus needs the NVIDIA container toolkit on this instance" },
};

static int explain(struct err *err)
{
	for (size_t i = 0; i < ARRAY_LEN(remedies); i++)
		if (strstr(err->msg, remedies[i].says))
			return err_hint(err, "%s", remedies[i].hint);
	(void)docker_disk_is_full(err);
	return -1;
}

/* "… Bind for 0.0.0.0:80 failed: port is already allocated": 80, or 0. */
static int64_t port_in(const char *message)
{
	const char *end = strstr(message, " failed: port is already allocated"), *at = end;

	while (at && at > message && at[-1] >= '0' && at[-1] <= '9')
		at--;
	return at && at != end ? strtol(at, NULL, 10) : 0;
}

static bool has_port(const struct json *container, int64_t wanted)
{
	for (const struct json *p = json_first(json_get(container, "Ports")); p; p = json_next(p)) {
		int64_t port = 0;
		struct err ignored;
		if (json_opt_int(p, "PublicPort", 0, 65535, &port, &ignored) == 0 && port == wanted)
			return true;
	}
	return false;
}

/*
 * A dockerd that was killed while it started a container keeps that container's ports when it is back, for
 * nobody, until it is restarted (20.10 to 28.5). Worth retrying: somebody may restart it.
 */
static bool port_is_lost(struct docker *d, const struct err *err)
{
	CLEANUP(json_freep) struct json *list = NULL;
	int64_t port = port_in(err->msg);
	struct err ignored;

	if (!port || docker_call(d, "GET", "/containers/json", NULL, &list, &ignored) < 0)
		return false;
	for (const struct json *v = json_first(list); v; v = json_next(v))
		if (has_port(v, port))
			return false;
	return true;
}

/* The same death may leave a container that can only be removed. */
static bool is_spoiled(const struct err *err)
{
	return err->kind == ERR_FAILED &&
	       (strstr(err->msg, "id already in use") || strstr(err->msg, ": already exists"));
}

int container_start(struct docker *d, const char *name, struct err *err)
{
	if (simple_call(d, "POST", name, "/start", DOCKER_TIMEOUT_MS, err) == 0)
		return 0;
	if (is_spoiled(err)) {
		err->kind = ERR_CONFLICT;
		(void)err_retry(err, 0);
	} else if (port_is_lost(d, err)) {
		(void)err_hint(err, "no container has that port: Docker lost track of it when it was killed; "
				    "`systemctl restart docker`");
		(void)err_retry(err, 0);
	}
	(void)explain(err);
	return err_wrap(err, "start container %s", name);
}

/* Podman 4 takes a container that was made without StopTimeout for one to be killed at once. */
static int podmans_stop_timeout(struct docker *d, const char *name, int *timeout_s, struct err *err)
{
	CLEANUP(freep) char *escaped = docker_escape(name);
	CLEANUP(freep) char *path = xasprintf("/containers/%s/json", escaped);
	CLEANUP(json_freep) struct json *inspect = NULL;
	int64_t own = 0;

	if (docker_call(d, "GET", path, NULL, &inspect, err) < 0 ||
	    json_opt_int(json_get(inspect, "Config"), "StopTimeout", 0, STOP_IMAGES_OWN_MS / 1000, &own, err) < 0)
		return err_wrap(err, "stop container %s", name);
	*timeout_s = own ? (int)own : STOP_DEFAULT_S;
	return 0;
}

int container_stop(struct docker *d, const char *name, int timeout_s, struct err *err)
{
	if (timeout_s < 0 && docker_info(d)->store == DOCKER_STORE_PODMAN &&
	    podmans_stop_timeout(d, name, &timeout_s, err) < 0)
		return -1;

	CLEANUP(freep) char *suffix = NULL;
	int64_t patience = timeout_s < 0 ? STOP_IMAGES_OWN_MS : (int64_t)timeout_s * 1000;

	suffix = timeout_s < 0 ? xstrdup("/stop") : xasprintf("/stop?t=%d", timeout_s);
	if (simple_call(d, "POST", name, suffix, patience + DOCKER_TIMEOUT_MS, err) < 0)
		return err_wrap(err, "stop container %s", name);
	return 0;
}

int container_remove(struct docker *d, const char *name, bool force, struct err *err)
{
	if (simple_call(d, "DELETE", name, force ? "?force=1" : "", REMOVE_TIMEOUT_MS, err) < 0)
		return err_wrap(err, "remove container %s", name);
	return 0;
}

int container_remove_whole(struct docker *d, const char *name, struct err *err)
{
	if (simple_call(d, "DELETE", name, "?force=1&v=1", REMOVE_TIMEOUT_MS, err) < 0)
		return err_wrap(err, "remove container %s", name);
	return 0;
}

int container_rename(struct docker *d, const char *name, const char *new_name, struct err *err)
{
	CLEANUP(freep) char *escaped = docker_escape(new_name);
	CLEANUP(freep) char *suffix = xasprintf("/rename?name=%s", escaped);

	if (simple_call(d, "POST", name, suffix, DOCKER_TIMEOUT_MS, err) < 0)
		return err_wrap(err, "rename container %s to %s", name, new_name);
	return 0;
}

int container_set_restart(struct docker *d, const char *name, const char *policy, int64_t retries, struct err *err)
{
	CLEANUP(freep) char *escaped = docker_escape(name);
	CLEANUP(freep) char *path = xasprintf("/containers/%s/update", escaped);
	CLEANUP(json_freep) struct json *body = json_new_object();
	struct json *restart = json_ensure_object(body, "RestartPolicy");

	json_set_str(restart, "Name", policy);
	json_set_int(restart, "MaximumRetryCount", retries);
	if (docker_call(d, "POST", path, body, NULL, err) < 0)
		return err_wrap(err, "restart policy of container %s", name);
	return 0;
}
