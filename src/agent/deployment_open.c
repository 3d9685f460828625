#include "agent/deployment.h"

#include <unistd.h>

#include "agent/login.h"
#include "agent/route.h"
#include "agent/spec.h"
#include "base/clock.h"
#include "base/fs.h"

static int set_names(struct deployment *d, const char *name, struct err *err)
{
	const char *run_dir = opt_str(d->context->options, OPT_RUN_DIR);

	if (container_name_check(name, err) < 0) {
		(void)err_wrap(err, "the image's name makes no container name");
		return err_hint(err, "choose one with --name");
	}
	d->name = xstrdup(name);
	d->next = xasprintf("%s-next", name);
	d->prev = xasprintf("%s-prev", name);
	return deploy_lock_open(&d->deploying, run_dir, name, err);
}

static int open_options(struct deployment *d, struct err *err)
{
	const struct options *o = d->context->options;
	const char *image = opt_str(o, OPT_IMAGE), *probe = opt_str(o, OPT_PROBE);

	if (!image) {
		err_set(err, ERR_USAGE, "no image");
		return err_hint(err, "give it as the first argument, as BERTH_IMAGE, or in " OPTIONS_CONFIG_PATH);
	}
	if (reference_parse(image, &d->ref, err) < 0)
		return opt_wrap(o, OPT_IMAGE, err);
	d->image = reference_str(&d->ref);
	if (set_names(d, opt_str(o, OPT_NAME) ?: reference_name(&d->ref), err) < 0)
		return -1;
	if (probe && probe_parse(probe, &d->probe, err) < 0)
		return opt_wrap(o, OPT_PROBE, err);
	d->probe_given = probe != NULL;
	return login_check(o, err) < 0 ? -1 : spec_open(o, d->name, &d->spec, d->config_hash, err);
}

static int take_lock(struct deployment *d, struct err *err)
{
	const char *run_dir = opt_str(d->context->options, OPT_RUN_DIR);
	CLEANUP(freep) char *lock = xasprintf("%s/%s.lock", run_dir, d->name);

	d->status_path = xasprintf("%s/%s.json", run_dir, d->name);
	if (fs_mkdirs(run_dir, err) < 0)
		return -1;
	if (fs_lock(lock, 0, &d->lock_fd, err) == 0)
		return 0;
	if (err->kind != ERR_CONFLICT)
		return -1;
	err_set(err, ERR_CONFLICT, "another `berth up` serves %s", d->name);
	return err_hint(err, "`berth status --name %s` shows it; `systemctl restart berth` replaces it", d->name);
}

static void begin(struct deployment *d, struct context *c, struct board *board)
{
	*d = (struct deployment){ .context = c, .board = board, .lock_fd = -1, .deploying = DEPLOY_LOCK_NONE,
				   .redeploy = REDEPLOY_INIT };
}

int deployment_open_visit(struct deployment *d, struct context *c, const char *name, struct err *err)
{
	begin(d, c, NULL);
	if ((name ? set_names(d, name, err) : open_options(d, err)) < 0 || route_open(d, false, err) < 0) {
		deployment_close(d);
		return -1;
	}
	d->progress = progress_new(c->options);
	return 0;
}

int deployment_open(struct deployment *d, struct context *c, struct board *board, struct err *err)
{
	struct snapshot *s = &d->snapshot;

	begin(d, c, board);
	if (open_options(d, err) < 0 || take_lock(d, err) < 0 || route_open(d, true, err) < 0) {
		deployment_close(d);
		return -1;
	}
	d->progress = progress_new(c->options);
	s->started_ms = clock_wall_ms();
	s->pid = getpid();
	(void)snprintf(s->image, sizeof s->image, "%s", d->image);
	deployment_tell(d, BOARD_STARTING, "start", "berth has started");
	return 0;
}

void deployment_close(struct deployment *d)
{
	redeploy_stop(&d->redeploy);
	pull_rest_free(d->rest);
	progress_free(d->progress);
	if (d->lock_fd >= 0 && d->status_path)
		(void)unlink(d->status_path); /* it says what a running berth thinks; there is none now */
	spec_close(&d->spec);
	probe_clear(&d->probe);
	reference_free(&d->ref);
	free(d->image);
	free(d->name);
	free(d->next);
	free(d->prev);
	free(d->status_path);
	switch_close(d->table);
	deploy_lock_close(&d->deploying);
	closep(&d->lock_fd);
}
