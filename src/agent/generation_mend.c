#include "agent/generation_internal.h"

#include "agent/route.h"
#include "base/log.h"

/* The containers of the service, as a death may have left them. */
struct trio {
	struct container_state name, next, prev;
	bool has_name, has_next, has_prev;
	char target[65]; /* where the switch leads */
};

static void trio_clear(struct trio *t)
{
	container_state_clear(&t->name);
	container_state_clear(&t->next);
	container_state_clear(&t->prev);
}

/* A stranger's is in nobody's way until NAME is to be replaced: generation_check_names(). */
static int look_beside(struct deployment *d, const char *name, struct container_state *state, struct err *err)
{
	int found = generation_look(d, name, state, err);

	if (found >= 0 || err->kind != ERR_CONFLICT)
		return found;
	err_clear(err);
	return 1;
}

static int trio_look(struct deployment *d, struct trio *t, struct err *err)
{
	int name = generation_look(d, d->name, &t->name, err);
	int next = name < 0 ? -1 : look_beside(d, d->next, &t->next, err);
	int prev = next < 0 ? -1 : look_beside(d, d->prev, &t->prev, err);

	route_target(d, t->target);
	t->has_name = name == 0;
	t->has_next = next == 0;
	t->has_prev = prev == 0;
	return prev < 0 ? -1 : 0;
}

const char *generation_label(const struct container_state *state, const char *label)
{
	return json_string(json_get(json_get(json_get(state->inspect, "Config"), "Labels"), label));
}

static bool has_own_policy(const struct container_state *s)
{
	const struct json *policy = json_get(json_get(json_get(s->inspect, "HostConfig"), "RestartPolicy"), "Name");
	const char *now = json_string(policy);

	return now && *now && !streq(now, "no");
}

/*
 * A candidate has never had its own restart policy; what served before has. Where the policy says nothing, on Podman,
 * which cannot change it, and with `--restart no`, NAME was started before its candidate, and after what it takes the
 * place of in a rollback.
 */
static bool served_before(const struct deployment *d, const struct trio *t)
{
	bool podman = docker_info(d->context->docker)->store == DOCKER_STORE_PODMAN;
	bool says_nothing = podman || streq(generation_label(&t->next, LABEL_RESTART), "no");

	if (t->next.started_ms <= 0)
		return false;
	return says_nothing ? t->name.started_ms > t->next.started_ms : has_own_policy(&t->next);
}

static int move_name(struct deployment *d, const char *from, const char *to, struct err *err)
{
	log_info("%s is %s now: an interrupted run had left it so", from, to);
	return generation_rename(d, from, to, err);
}

static bool leads_to(const struct trio *t, bool has, const struct container_state *s)
{
	return has && s->running && streq(t->target, s->id);
}

/* The switch moves when the new one has passed its probe, and the names move after it: they follow. */
static int follow_switch(struct deployment *d, struct trio *t, struct err *err)
{
	bool forth = leads_to(t, t->has_next, &t->next), back = leads_to(t, t->has_prev, &t->prev);

	if (!t->has_name || !(forth || back))
		return 0;
	log_info("the switch leads to %s: an interrupted run ends as it was meant", forth ? d->next : d->prev);
	if (generation_promote(d, back, true, err) < 0)
		return -1;
	trio_clear(t);
	*t = (struct trio){ 0 };
	return trio_look(d, t, err);
}

/*
 * No NAME: the run died between two renames, and those begin after the new one has passed its probe. In a deployment
 * the new one is NAME-next and runs; in a rollback it is NAME-prev, and NAME-next has stopped serving.
 */
static int restore_name(struct deployment *d, struct trio *t, struct err *err)
{
	bool alone = t->has_next && t->next.running && !(t->has_prev && t->prev.running);

	if (alone || leads_to(t, t->has_next, &t->next)) {
		t->has_next = false;
		return move_name(d, d->next, d->name, err);
	}
	if (!t->has_prev)
		return 0;
	t->has_prev = false;
	t->has_name = true;
	t->name = t->prev;
	t->prev = (struct container_state){ 0 };
	return move_name(d, d->prev, d->name, err);
}

static int settle_next(struct deployment *d, struct trio *t, struct err *err)
{
	if (!t->has_next)
		return 0;
	if (!t->has_prev && served_before(d, t)) {
		t->has_prev = true;
		t->prev = t->next;
		t->next = (struct container_state){ 0 };
		return move_name(d, d->next, d->prev, err);
	}
	return generation_remove(d, d->next, err); /* it never served */
}

/* What serves has the restart policy that was asked for, and its clients. */
static int settle_name(struct deployment *d, struct err *err)
{
	CLEANUP(container_state_clear) struct container_state state = { 0 };

	int found = generation_look(d, d->name, &state, err);
	if (found)
		return found < 0 ? -1 : 0;
	return generation_set_restart(d, &state, err) < 0 || route_settle(d, err) < 0 ? -1 : 0;
}

int generation_end_prev(struct deployment *d, struct err *err)
{
	CLEANUP(container_state_clear) struct container_state prev = { 0 };
	size_t left;

	if (!d->prev_runs)
		return 0;
	int found = generation_look(d, d->prev, &prev, err);
	d->prev_runs = found == 0 && prev.running;
	if (!d->prev_runs)
		return found < 0 ? -1 : 0;
	log_info("stopping %s: an interrupted run had left it running", d->prev);
	if (route_drain(d, &prev, &left, err) < 0 || container_stop(d->context->docker, prev.id, -1, err) < 0)
		return -1;
	d->prev_runs = false;
	return 0;
}

/*
 * dockerd would start it again with itself, with on-failure where the app did not end with 0; unless-stopped stays
 * stopped. Podman can change no policy.
 */
static int retire(struct deployment *d, const struct container_state *s, struct err *err)
{
	const struct json *policy = json_get(json_get(json_get(s->inspect, "HostConfig"), "RestartPolicy"), "Name");
	const char *now = json_string(policy);

	if (!generation_label(s, LABEL_RESTART) || !(streq(now, "always") || streq(now, "on-failure")) ||
	    docker_info(d->context->docker)->store == DOCKER_STORE_PODMAN)
		return 0;
	return container_set_restart(d->context->docker, s->id, "no", 0, err);
}

int generation_mend(struct deployment *d, struct err *err)
{
	CLEANUP(trio_clear) struct trio t = { 0 };

	if (trio_look(d, &t, err) < 0 || follow_switch(d, &t, err) < 0)
		return -1;
	if (!t.has_name && restore_name(d, &t, err) < 0)
		return -1;
	if (settle_next(d, &t, err) < 0 || (t.has_prev && retire(d, &t.prev, err) < 0))
		return -1;
	d->prev_runs = t.has_prev && t.prev.running;
	return settle_name(d, err);
}

int generation_set_restart(struct deployment *d, const struct container_state *state, struct err *err)
{
	const struct json *policy = json_get(json_get(state->inspect, "HostConfig"), "RestartPolicy");
	const char *wanted = generation_label(state, LABEL_RESTART), *now = json_string(json_get(policy, "Name"));

	if (!wanted || has_own_policy(state) || streq(wanted, "no"))
		return 0;
	const char *colon = strchr(wanted, ':');
	CLEANUP(freep) char *name = xstrndup(wanted, colon ? (size_t)(colon - wanted) : strlen(wanted));
	log_debug("restart policy of %s: %s, was %s", state->name, wanted, now ?: "none");
	return container_set_restart(d->context->docker, state->id, name, colon ? strtol(colon + 1, NULL, 10) : 0, err);
}

int generation_retire(struct deployment *d, const char *name, struct err *err)
{
	CLEANUP(container_state_clear) struct container_state state = { 0 };

	return container_inspect(d->context->docker, name, &state, err) < 0 ? -1 : retire(d, &state, err);
}

int generation_probe(struct deployment *d, const struct container_state *state, bool own_first, struct probe *out,
		     struct err *err)
{
	const char *label = generation_label(state, LABEL_PROBE);

	if (d->probe_given && !(own_first && label)) {
		*out = d->probe;
		out->path = xstrdup(d->probe.path);
		return 0;
	}
	return label ? probe_parse(label, out, err) : probe_default(state->inspect, &d->spec.publish, out, err);
}
