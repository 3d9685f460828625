#include "cmd/cmd.h"

#include "agent/prune.h"
#include "agent/record.h"
#include "agent/rollout.h"
#include "agent/route.h"
#include "base/fs.h"
#include "base/log.h"

/* A running `berth up` would make it all again. Held until the end, so that none starts meanwhile. */
static int keep_up_away(const struct options *o, struct deployment *d, struct err *err)
{
	CLEANUP(freep) char *lock = xasprintf("%s/%s.lock", opt_str(o, OPT_RUN_DIR), d->name);

	if (fs_lock(lock, 0, &d->lock_fd, err) == 0)
		return 0;
	if (err->kind != ERR_CONFLICT)
		return -1;
	err_set(err, ERR_CONFLICT, "`berth up` serves %s, and would make it again", d->name);
	return err_hint(err, "stop it first: `systemctl disable --now berth`, or end its process");
}

/* New clients first find nobody; those that are there may end what they began. */
static int stop_container(struct deployment *d, const struct container_state *s, struct err *err)
{
	size_t left;

	log_notice("stopping %s", s->name);
	if (route_is_switched(s) && (route_leave(d, err) < 0 || route_drain(d, s, &left, err) < 0))
		return -1;
	return container_stop(d->context->docker, s->id, -1, err);
}

/* With --purge its image's own volumes go too. */
static int remove_it(struct deployment *d, const char *id, struct err *err)
{
	struct docker *docker = d->context->docker;

	return opt_flag(d->context->options, OPT_PURGE) ? container_remove_whole(docker, id, err)
							: container_remove(docker, id, true, err);
}

/* *image: what it was made from, as asked; unchanged when there is no such container. */
static int remove_container(struct deployment *d, const char *name, bool stop, char **image, struct err *err)
{
	CLEANUP(container_state_clear) struct container_state state = { 0 };

	if (container_inspect(d->context->docker, name, &state, err) < 0) {
		if (err->kind != ERR_NOT_FOUND)
			return -1;
		err_clear(err);
		return 0;
	}
	if (!streq(state.label_name, d->name)) {
		log_notice("%s stays: berth did not make it", name);
		return 0;
	}
	if (stop && (state.running || state.restarting) && stop_container(d, &state, err) < 0)
		return -1;
	if (remove_it(d, state.id, err) < 0)
		return -1;
	log_notice("removed %s", name);
	if (state.label_image) {
		free(*image);
		*image = xstrdup(state.label_image);
	}
	return 0;
}

static int purge(struct deployment *d, const char *image, struct err *err)
{
	CLEANUP(reference_free) struct reference ref = { 0 };

	if (!image)
		log_notice("no container tells which images were this service's: they stay");
	else if (reference_parse(image, &ref, err) < 0 || prune_images(d->context, &ref, 0, err) < 0)
		return -1;
	return record_forget_service(opt_str(d->context->options, OPT_STATE_DIR), d->name, err);
}

static int take_down(const struct options *o, struct deployment *d, struct err *err)
{
	CLEANUP(freep) char *image = NULL;
	bool wait = !opt_flag(o, OPT_NO_WAIT);

	if (keep_up_away(o, d, err) < 0 ||
	    deploy_lock_take(&d->deploying, "berth down", wait, d->context->loop, err) < 0)
		return -1;
	if (docker_connect(d->context->docker, err) < 0 || remove_container(d, d->next, false, &image, err) < 0 ||
	    remove_container(d, d->prev, false, &image, err) < 0 ||
	    remove_container(d, d->name, true, &image, err) < 0 || route_leave(d, err) < 0)
		return -1;
	return opt_flag(o, OPT_PURGE) ? purge(d, image, err) : 0;
}

int cmd_down(const struct invocation *in, struct err *err)
{
	CLEANUP(freep) char *name = NULL;
	struct deployment d;
	struct context c;

	if (cmd_service_name(&in->options, &name, err) < 0 || context_open(&c, &in->options, 0, err) < 0)
		return -1;
	int result = deployment_open_visit(&d, &c, name, err);
	if (result == 0) {
		result = take_down(&in->options, &d, err);
		deployment_close(&d);
	}
	context_close(&c);
	return result;
}
