#include "agent/generation_internal.h"

#include "agent/route.h"
#include "base/log.h"

#define RENAME_ATTEMPTS 50
#define RENAME_PAUSE_MS 100

static bool is_ours(const struct deployment *d, const struct container_state *s)
{
	return s->label_name && streq(s->label_name, d->name);
}

int generation_look(struct deployment *d, const char *name, struct container_state *state, struct err *err)
{
	if (container_inspect(d->context->docker, name, state, err) < 0) {
		if (err->kind != ERR_NOT_FOUND)
			return -1;
		err_clear(err);
		return 1;
	}
	if (is_ours(d, state))
		return 0;
	container_state_clear(state);
	err_set(err, ERR_CONFLICT, "a container called %s exists that berth did not make", name);
	return err_hint(err, "remove or rename it (`docker rename %s OTHER`), or choose another --name", name);
}

int generation_check_names(struct deployment *d, bool has_old, struct err *err)
{
	CLEANUP(container_state_clear) struct container_state next = { 0 }, prev = { 0 };

	if (generation_look(d, d->next, &next, err) < 0)
		return -1;
	return has_old && generation_look(d, d->prev, &prev, err) < 0 ? -1 : 0;
}

bool generation_is_same(const struct deployment *d, const struct container_state *s)
{
	return streq(s->label_config, d->config_hash) && streq(s->label_image, d->image);
}

int generation_remove(struct deployment *d, const char *name, struct err *err)
{
	CLEANUP(container_state_clear) struct container_state state = { 0 };

	int found = generation_look(d, name, &state, err);
	if (found < 0)
		return -1;
	if (found == 1)
		return 0;
	log_info("removing %s", name);
	/* By its ID: a late answer must not find another of that name. */
	return container_remove_whole(d->context->docker, state.id, err);
}

int generation_find(struct deployment *d, enum generation_found *found, struct container_state *state,
		    struct err *err)
{
	if (generation_mend(d, err) < 0)
		return -1;
	int result = generation_look(d, d->name, state, err);
	if (result < 0)
		return -1;
	*found = result == 1 ? GENERATION_NONE : generation_is_same(d, state) ? GENERATION_SAME : GENERATION_OTHER;
	return 0;
}

static int create(struct deployment *d, const char *name, const struct json *body, struct err *err)
{
	CLEANUP(strv_free) struct strv warnings = { 0 };
	char id[65];

	if (container_create(d->context->docker, name, body, opt_str(d->context->options, OPT_PLATFORM), id, &warnings,
			     err) < 0)
		return -1;
	for (size_t i = 0; i < warnings.n; i++)
		log_warning("docker: %s", warnings.v[i]);
	return 0;
}

static int start(struct deployment *d, struct err *err)
{
	return container_start(d->context->docker, d->name, err);
}

int generation_start(struct deployment *d, struct err *err)
{
	struct err later;

	if (generation_end_prev(d, err) < 0) /* a rollback that died: it may have NAME's ports */
		return -1;
	if (start(d, err) == 0)
		return route_settle(d, err);
	if (err->kind == ERR_CONFLICT && err->retryable &&
	    container_remove(d->context->docker, d->name, true, &later) < 0)
		log_err(LOG_LEVEL_WARNING, &later);
	return -1;
}

/*
 * Names that are taken or gone while they change: an engine that died had done what it could not answer any more,
 * and the request was sent again. The next attempt looks anew, and knows a stranger's container.
 */
static int look_anew(struct err *err)
{
	if (err->kind == ERR_CONFLICT || (err->kind == ERR_NOT_FOUND && strstr(err->msg, "No such container")))
		return err_retry(err, err->retry_after_ms);
	return -1;
}

/* Podman cannot change the policy of a container that is there. */
static unsigned int candidate_kind(const struct deployment *d)
{
	return docker_info(d->context->docker)->store == DOCKER_STORE_PODMAN ? BODY_SERVES : BODY_CANDIDATE;
}

/* A container that did not start is of no use to the next run either. */
int generation_make(struct deployment *d, const struct acquired *image, struct err *err)
{
	CLEANUP(json_freep) struct json *body = NULL;
	struct err later;

	if (generation_body(d, image, BODY_SERVES, &body, err) < 0 || route_leave(d, err) < 0)
		return -1;
	if (create(d, d->name, body, err) < 0)
		return look_anew(err);
	if (start(d, err) == 0)
		return 0;
	if (err->kind != ERR_CANCELLED && container_remove_whole(d->context->docker, d->name, &later) < 0)
		log_err(LOG_LEVEL_WARNING, &later);
	return -1;
}

int generation_candidate(struct deployment *d, const struct acquired *image, bool switched, struct err *err)
{
	CLEANUP(json_freep) struct json *body = NULL;

	if (generation_body(d, image, candidate_kind(d) | (switched ? BODY_SWITCHED : 0), &body, err) < 0)
		return -1;
	return create(d, d->next, body, err) < 0 ? look_anew(err) : 0;
}

/*
 * Docker renames a container in the network's books too, which fails ("sandbox … not found", 26.1) while a container
 * that crashes is between two lives.
 */
int generation_rename(struct deployment *d, const char *from, const char *to, struct err *err)
{
	for (int i = 0; i < RENAME_ATTEMPTS; i++) {
		if (container_rename(d->context->docker, from, to, err) == 0)
			return 0;
		if (!strstr(err->msg, "sandbox"))
			return -1;
		struct err why = *err;
		if (loop_sleep(d->context->loop, RENAME_PAUSE_MS, err) < 0)
			return -1;
		*err = why;
	}
	return -1;
}

/* The order is what generation_mend() reads; the record of the generation before goes last of all that can wait. */
static int move_names(struct deployment *d, bool back, bool has_old, struct err *err)
{
	if (back)
		return generation_rename(d, d->name, d->next, err) < 0 ||
				       generation_rename(d, d->prev, d->name, err) < 0 ||
				       generation_rename(d, d->next, d->prev, err) < 0
			       ? -1
			       : 0;
	if (has_old && (generation_remove(d, d->prev, err) < 0 || generation_rename(d, d->name, d->prev, err) < 0))
		return -1;
	return generation_rename(d, d->next, d->name, err);
}

int generation_promote(struct deployment *d, bool back, bool has_old, struct err *err)
{
	CLEANUP(container_state_clear) struct container_state state = { 0 };

	if (move_names(d, back, has_old, err) < 0 || container_inspect(d->context->docker, d->name, &state, err) < 0 ||
	    generation_set_restart(d, &state, err) < 0)
		return -1;
	return has_old ? generation_retire(d, d->prev, err) : 0;
}
