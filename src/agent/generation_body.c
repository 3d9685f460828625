#include "agent/generation_internal.h"

/* "on-failure:3", from the body's RestartPolicy; caller frees. */
static char *restart_text(const struct json *body)
{
	const struct json *policy = json_get(json_get(body, "HostConfig"), "RestartPolicy");
	const char *name = json_string(json_get(policy, "Name"));
	int64_t retries = 0;
	struct err ignored; /* --container-json: nonsense is Docker's to refuse */

	if (!name || !*name)
		return xstrdup("no");
	(void)!json_opt_int(policy, "MaximumRetryCount", 0, INT32_MAX, &retries, &ignored);
	return retries ? xasprintf("%s:%lld", name, (long long)retries) : xstrdup(name);
}

/* What will ask whether it is ready, decided now, so that it can be asked again after a rollback; caller frees. */
static int probe_label(struct deployment *d, const struct acquired *image, const struct json *body, char **out,
		       struct err *err)
{
	CLEANUP(image_state_clear) struct image_state state = { 0 };
	CLEANUP(json_freep) struct json *like_inspect = json_new_object();
	CLEANUP(probe_clear) struct probe chosen = { 0 };

	if (d->probe_given) {
		*out = probe_text(&d->probe);
		return 0;
	}
	if (image_inspect(d->context->docker, image->image_id, &state, err) < 0)
		return -1;
	struct json *check = json_ensure_object(json_ensure_object(like_inspect, "Config"), "Healthcheck");
	struct json *test = json_ensure_array(check, "Test");
	for (size_t i = 0; i < state.healthcheck.n; i++)
		json_add_str(test, state.healthcheck.v[i]);
	if (json_is_object(json_get(body, "Healthcheck")))
		json_merge(check, json_get(body, "Healthcheck"));
	if (probe_default(like_inspect, &d->spec.publish, &chosen, err) < 0)
		return -1;
	*out = probe_text(&chosen);
	return 0;
}

static int64_t number_of(struct deployment *d, const char *name)
{
	CLEANUP(container_state_clear) struct container_state state = { 0 };
	struct err ignored; /* no container, no number */

	if (generation_look(d, name, &state, &ignored) != 0 || !state.label_generation)
		return 0;
	return strtol(state.label_generation, NULL, 10); /* nonsense counts as 0 */
}

static void mark_switched(struct deployment *d, struct json *body)
{
	struct json *bindings = json_ensure_object(json_ensure_object(body, "HostConfig"), "PortBindings");
	CLEANUP(json_freep) struct json *before = json_clone(bindings);
	CLEANUP(freep) char *publish = xstrdup("");

	for (const struct json *v = json_first(before); v; v = json_next(v)) {
		struct json *list = json_new_array(), *binding = json_new_object();
		json_set_str(binding, "HostIp", "127.0.0.1");
		json_set_str(binding, "HostPort", "");
		json_add(list, binding);
		json_set(bindings, json_name(v), list);
	}
	for (size_t i = 0; i < d->spec.publish.n; i++) {
		char *longer = xasprintf("%s%s%s", publish, *publish ? "," : "", d->spec.publish.v[i]);
		free(publish);
		publish = longer;
	}
	json_set_str(json_ensure_object(body, "Labels"), LABEL_PUBLISH, publish);
}

static void mark_candidate(struct json *body)
{
	struct json *policy = json_ensure_object(json_ensure_object(body, "HostConfig"), "RestartPolicy");

	json_set_str(policy, "Name", "no");
	json_set_int(policy, "MaximumRetryCount", 0);
}

int generation_body(struct deployment *d, const struct acquired *image, unsigned int kind, struct json **out,
		    struct err *err)
{
	CLEANUP(json_freep) struct json *body = NULL;
	CLEANUP(freep) char *probe = NULL;
	char hash[SHA256_HEX_SIZE];

	d->spec.image = image->image_ref;
	if (container_body(&d->spec, &body, hash, err) < 0 || probe_label(d, image, body, &probe, err) < 0)
		return -1;
	int64_t serving = number_of(d, d->name), before = number_of(d, d->prev);
	CLEANUP(freep) char *generation = xasprintf("%lld", (long long)(serving > before ? serving : before) + 1);
	CLEANUP(freep) char *restart = restart_text(body);
	struct json *labels = json_ensure_object(body, "Labels");
	json_set_str(labels, LABEL_NAME, d->name);
	json_set_str(labels, LABEL_IMAGE, d->image);
	json_set_str(labels, LABEL_DIGEST, image->digest);
	json_set_str(labels, LABEL_CONFIG, hash);
	json_set_str(labels, LABEL_GENERATION, generation);
	json_set_str(labels, LABEL_PROBE, probe);
	json_set_str(labels, LABEL_RESTART, restart);
	if (kind & BODY_CANDIDATE)
		mark_candidate(body);
	if (kind & BODY_SWITCHED)
		mark_switched(d, body);
	*out = STEAL(body);
	return 0;
}
