#include "agent/pull_daemon.h"

#include "base/clock.h"
#include "engine/container.h"
#include "engine/daemon_pull.h"

/* Both report several times a second while they do anything; registering a layer on a slow volume can take a while. */
#define PULL_IDLE_MS (2 * 60 * 1000)
#define NAME_IDLE_MS (10 * 1000) /* nothing hangs on it */

#define DOCKER_HUB "docker.io"
#define DOCKER_HUB_SERVER "https://index.docker.io/v1/"

struct watched {
	struct context *context;
	struct progress *progress;
	struct daemon_pull *pull;
	struct err err;
};

static void on_layer(void *arg, size_t i, enum daemon_step step, int64_t received)
{
	static const enum layer_step steps[] = {
		[DAEMON_WAITING] = LAYER_WAITING,
		[DAEMON_FETCHING] = LAYER_FETCHING,
		[DAEMON_DONE] = LAYER_VERIFIED,
		[DAEMON_PRESENT] = LAYER_PRESENT,
	};
	struct watched *w = arg;

	progress_layer(w->progress, i, steps[step], received);
	w->context->last_progress_ms = clock_mono_ms();
}

static bool has_ended(void *arg)
{
	struct watched *w = arg;

	return daemon_pull_ended(w->pull, &w->err);
}

/* As the registry was last told, which took no longer than now. */
static void find_auth(const struct pull_daemon *what, struct secret *out)
{
	const struct registry_login *login = &what->login->last;

	if (login->user)
		daemon_auth(login->user, &login->password,
			    streq(what->ref->host, DOCKER_HUB) ? DOCKER_HUB_SERVER : what->ref->host, out);
}

static int start(const struct pull_daemon *what, struct daemon_pull_request *req, struct daemon_pull **out,
		 struct err *err)
{
	CLEANUP(secret_clear) struct secret auth = { 0 };
	CLEANUP(freep) char *repository = xasprintf("%s/%s", what->ref->host, what->ref->repository);
	char platform[PLATFORM_STR_SIZE], host[PLATFORM_STR_SIZE];
	struct platform here;

	platform_host(&here);
	(void)platform_str(&what->context->platform, platform);
	if (!streq(platform, platform_str(&here, host)))
		req->platform = platform;
	req->repository = repository;
	req->digest = what->image->top.digest;
	req->auth = &auth;
	req->image = what->image;
	find_auth(what, &auth);
	return daemon_pull_start(what->context->docker, req, out, err);
}

static int check(const struct pull_daemon *what, struct err *err)
{
	CLEANUP(image_state_clear) struct image_state state = { 0 };
	CLEANUP(freep)
	char *name = xasprintf("%s/%s@%s", what->ref->host, what->ref->repository, what->image->top.digest);

	if (image_inspect(what->context->docker, name, &state, err) < 0)
		return -1;
	if (!streq(state.id, what->image_id))
		return err_set(err, ERR_REFUSED, "%s is image %s in Docker, expected %s", name, state.id,
			       what->image_id);
	return what->image->name ? image_tag(what->context->docker, state.id, what->image->full_name, err) : 0;
}

int pull_daemon_image(const struct pull_daemon *what, struct progress *progress, struct err *err)
{
	struct watched w = { .context = what->context, .progress = progress };
	struct daemon_pull_request req = { .layer = on_layer, .arg = &w, .idle_ms = PULL_IDLE_MS };

	if (start(what, &req, &w.pull, err) < 0)
		return -1;
	int result = loop_wait(what->context->loop, has_ended, &w, -1, err);
	daemon_pull_free(w.pull);
	if (result == 0 && w.err.kind != ERR_NONE) {
		*err = w.err;
		result = -1;
	}
	if (result < 0 || check(what, err) < 0)
		return err_wrap(err, "Docker's own pull");
	return 0;
}

bool pull_daemon_lacks_digest(const struct pull_daemon *what)
{
	CLEANUP(image_state_clear) struct image_state state = { 0 };
	struct reference by_digest = { .host = what->ref->host, .repository = what->ref->repository };
	char platform[PLATFORM_STR_SIZE], host[PLATFORM_STR_SIZE];
	struct platform here;
	struct err err;

	platform_host(&here);
	/* The engine would choose another image of an index. */
	if (docker_info(what->context->docker)->store != DOCKER_STORE_CLASSIC ||
	    !streq(platform_str(&what->context->platform, platform), platform_str(&here, host)) ||
	    image_inspect(what->context->docker, what->image_id, &state, &err) < 0)
		return false;
	CLEANUP(freep) char *repository = reference_familiar(&by_digest);
	CLEANUP(freep) char *name = xasprintf("%s@%s", repository, what->image->top.digest);
	return !strv_contains(&state.repo_digests, name);
}

int pull_daemon_name(const struct pull_daemon *what, struct daemon_pull **out, struct err *err)
{
	struct daemon_pull_request req = { .only_name = true, .idle_ms = NAME_IDLE_MS };

	return start(what, &req, out, err);
}
