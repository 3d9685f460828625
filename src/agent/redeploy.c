#include "agent/redeploy.h"

#include <errno.h>
#include <signal.h>
#include <spawn.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"

#define AGAIN_FIRST_MS 1000
#define AGAIN_MAX_MS 30000

extern char **environ;

static void on_end(void *arg, uint32_t events)
{
	struct redeploy *r = arg;
	int status = 0;

	(void)events;
	if (waitpid(r->pid, &status, WNOHANG) != r->pid)
		return;
	loop_unwatch(r->watch);
	r->watch = NULL;
	closep(&r->pid_fd);
	r->pid_fd = -1;
	r->pid = 0;
	bool later = WIFSIGNALED(status) || WEXITSTATUS(status) == EX_TEMPFAIL;
	r->state = later                      ? REDEPLOY_WAITS
		   : WEXITSTATUS(status) == 0 ? REDEPLOY_DONE
					      : REDEPLOY_FAILED;
	r->again_ms =
		clock_mono_ms() + r->delay_ms / 2 + clock_jitter((uint32_t)r->delay_ms / 2 + 1);
	r->delay_ms = r->delay_ms * 2 > AGAIN_MAX_MS ? AGAIN_MAX_MS : r->delay_ms * 2;
}

static int spawn(struct redeploy *r, struct err *err)
{
	CLEANUP(strv_free) struct strv argv = { 0 };

	strv_add(&argv, r->argv0);
	strv_add(&argv, "up");
	for (char **a = r->arguments; a && *a; a++)
		strv_add(&argv, *a);
	char **terminated = xcalloc(argv.n + 1, sizeof *terminated);
	memcpy(terminated, argv.v, argv.n * sizeof *terminated);
	/* Signals stay blocked in it until it reads them itself. */
	int error = posix_spawn(&r->pid, "/proc/self/exe", NULL, NULL, terminated, environ);
	free(terminated);
	if (error) {
		r->pid = 0;
		return err_sys(err, error, "start another berth");
	}
	return 0;
}

static int start(struct redeploy *r, struct err *err)
{
	if (spawn(r, err) < 0)
		return -1;
	r->state = REDEPLOY_RUNS;
	r->pid_fd = (int)syscall(SYS_pidfd_open, r->pid, 0);
	if (r->pid_fd >= 0)
		return loop_watch_fd(r->loop, r->pid_fd, EPOLLIN, on_end, r, &r->watch, err);
	return err_sys(err, errno, "pidfd_open");
}

int redeploy_start(struct redeploy *r, struct loop *loop, const char *argv0, char **arguments,
		   struct err *err)
{
	if (r->state == REDEPLOY_RUNS || r->state == REDEPLOY_WAITS)
		return 0;
	*r = (struct redeploy){ .loop = loop,
				.argv0 = argv0,
				.arguments = arguments,
				.pid_fd = -1,
				.delay_ms = AGAIN_FIRST_MS };
	if (start(r, err) == 0)
		return 0;
	redeploy_stop(r);
	return -1;
}

enum redeploy_state redeploy_look(struct redeploy *r)
{
	enum redeploy_state state = r->state;
	struct err err;

	if (state == REDEPLOY_WAITS && clock_mono_ms() >= r->again_ms && start(r, &err) < 0) {
		log_err(LOG_LEVEL_WARNING, &err);
		redeploy_stop(r);
		return REDEPLOY_FAILED;
	}
	if (state == REDEPLOY_DONE || state == REDEPLOY_FAILED)
		r->state = REDEPLOY_NONE;
	return state;
}

static bool has_ended(void *arg)
{
	const struct redeploy *r = arg;

	return !r->watch;
}

void redeploy_stop(struct redeploy *r)
{
	struct err ignored; /* what a second signal, or time, cuts short, the next berth mends */

	if (r->pid && kill(r->pid, SIGTERM) == 0 && r->watch) {
		loop_uncancel(r->loop);
		(void)!loop_wait(r->loop, has_ended, r, clock_mono_ms() + REDEPLOY_STOP_MS,
				 &ignored);
	}
	loop_unwatch(r->watch);
	closep(&r->pid_fd);
	*r = REDEPLOY_INIT;
}

void redeploy_be_child(void)
{
	pid_t parent = getppid();

	(void)prctl(PR_SET_PDEATHSIG, SIGTERM, 0, 0, 0);
	if (getppid() != parent)
		(void)raise(
			SIGTERM); /* it has just gone; blocked still, and heard once the loop runs */
}
