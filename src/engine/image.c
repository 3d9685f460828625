#include "base/mem.h"
#include "engine/container.h"
#include "engine/container_internal.h"

#define HEALTHCHECK_TIMEOUT_MS 30000 /* Docker's, where the image does not say */
#define NS_PER_MS 1000000
#define REMOVE_TIMEOUT_MS 120000 /* gigabytes, on a slow volume */

static int strings(const struct json *obj, const char *name, struct strv *out, struct err *err)
{
	const struct json *list = NULL;

	if (json_opt_array(obj, name, &list, err) < 0)
		return -1;
	for (const struct json *v = json_first(list); v; v = json_next(v)) {
		if (!json_string(v))
			return err_set(err, ERR_PROTOCOL, "%s: not all strings", name);
		strv_add(out, json_string(v));
	}
	return 0;
}

static int read_healthcheck(const struct json *check, struct image_state *s, struct err *err)
{
	int64_t timeout_ns = 0;

	if (strings(check, "Test", &s->healthcheck, err) < 0 ||
	    json_opt_int(check, "Timeout", 0, INT64_MAX, &timeout_ns, err) < 0)
		return -1;
	/*
	 * ["NONE"] switches off what the base image has; [] and [""] inherit, and here there is
	 * nothing left to inherit.
	 */
	if (s->healthcheck.n && (streq(s->healthcheck.v[0], "NONE") || !*s->healthcheck.v[0]))
		strv_free(&s->healthcheck);
	s->healthcheck_timeout_ms =
		timeout_ns ? (timeout_ns + NS_PER_MS - 1) / NS_PER_MS : HEALTHCHECK_TIMEOUT_MS;
	return 0;
}

static int read_image(const struct json *inspect, struct image_state *s, struct err *err)
{
	const struct json *config = NULL, *root = NULL, *check = NULL, *exposed = NULL;
	const char *id;

	if (json_str(inspect, "Id", &id, err) < 0 ||
	    json_opt_object(inspect, "Config", &config, err) < 0 ||
	    json_opt_object(inspect, "RootFS", &root, err) < 0 ||
	    strings(inspect, "RepoTags", &s->repo_tags, err) < 0 ||
	    strings(inspect, "RepoDigests", &s->repo_digests, err) < 0 ||
	    strings(root, "Layers", &s->diff_ids, err) < 0 ||
	    json_opt_object(config, "Healthcheck", &check, err) < 0 ||
	    read_healthcheck(check, s, err) < 0 ||
	    json_opt_object(config, "ExposedPorts", &exposed, err) < 0)
		return -1;
	/* Podman leaves the algorithm out. */
	(void)snprintf(s->id, sizeof s->id, "%s%s", strchr(id, ':') ? "" : "sha256:", id);
	for (const struct json *v = json_first(exposed); v; v = json_next(v))
		strv_add(&s->exposed, json_name(v));
	return 0;
}

int image_inspect(struct docker *d, const char *ref, struct image_state *out, struct err *err)
{
	/* '/' and all: Docker's router looks at the decoded path. */
	CLEANUP(freep) char *escaped = docker_escape(ref);
	CLEANUP(freep) char *path = xasprintf("/images/%s/json", escaped);
	CLEANUP(json_freep) struct json *inspect = NULL;
	struct image_state s = { 0 };

	if (docker_call(d, "GET", path, NULL, &inspect, err) < 0)
		return err_wrap(err, "inspect image %s", ref);
	if (read_image(inspect, &s, err) < 0) {
		image_state_clear(&s);
		return err_wrap(err, "inspect image %s: Docker's answer", ref);
	}
	*out = s;
	return 0;
}

int image_tag(struct docker *d, const char *id, const char *name, struct err *err)
{
	const char *colon = strrchr(name, ':'); /* a port's is not the last: the tag's is */
	CLEANUP(freep) char *repository = xstrndup(name, (size_t)(colon - name));
	CLEANUP(freep) char *repo = docker_escape(repository), *tag = docker_escape(colon + 1);
	CLEANUP(freep) char *path = xasprintf("/images/%s/tag?repo=%s&tag=%s", id, repo, tag);

	if (docker_call(d, "POST", path, NULL, NULL, err) < 0)
		return err_wrap(err, "name image %.19s %s", id, name);
	return 0;
}

int image_remove(struct docker *d, const char *id, struct err *err)
{
	CLEANUP(freep) char *path = xasprintf("/images/%s", id);

	if (docker_call_for(d, "DELETE", path, NULL, REMOVE_TIMEOUT_MS, NULL, err) < 0)
		return err_wrap(err, "remove image %.19s", id);
	return 0;
}

void image_state_clear(struct image_state *s)
{
	strv_free(&s->repo_tags);
	strv_free(&s->repo_digests);
	strv_free(&s->diff_ids);
	strv_free(&s->healthcheck);
	strv_free(&s->exposed);
	*s = (struct image_state){ 0 };
}
