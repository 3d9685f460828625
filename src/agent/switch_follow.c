#include "agent/switch_follow.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "agent/listener.h"
#include "base/fs.h"

/* A problem that a retry solved is no longer told: a deploy waits for that. As often as the listener tries. */
#define PROBLEM_CHECK_MS 20

struct switch_follow {
	struct loop *loop;
	const struct switch_paths *paths;
	struct listener *listener;
	int lock_fd, inotify_fd;
	struct loop_watch *watch;
	struct loop_timer *timer;
	struct switch_follower told;
};

static void on_timer(void *arg);

/* What systemd, `berth status` and a waiting deploy read. When it cannot be written, the deploy says so. */
static void tell(struct switch_follow *f, int64_t serial)
{
	struct switch_follower now = { .serial = serial };
	struct err ignored;

	(void)snprintf(now.problem, sizeof now.problem, "%s", listener_problem(f->listener));
	if ((now.serial != f->told.serial || !streq(now.problem, f->told.problem)) &&
	    switch_follower_write(f->paths->follower, &now, &ignored) == 0)
		f->told = now;
	loop_timer_cancel(f->timer);
	f->timer = *now.problem ? loop_timer_start(f->loop, PROBLEM_CHECK_MS, on_timer, f) : NULL;
}

static void on_timer(void *arg)
{
	struct switch_follow *f = arg;

	f->timer = NULL;
	tell(f, f->told.serial);
}

void switch_follow_now(struct switch_follow *f)
{
	CLEANUP(switch_record_clear) struct switch_record r = { 0 };
	struct err err;

	if (switch_record_read(f->paths->record, &r, &err) < 0 && err.kind != ERR_NOT_FOUND)
		return; /* not one of ours: what was true stays, until the next move writes it anew (route.h) */
	if (r.serial == f->told.serial)
		return;
	listener_set(f->listener, r.endpoints, r.n, r.target.address);
	tell(f, r.serial);
}

static void on_change(void *arg, uint32_t events)
{
	struct switch_follow *f = arg;
	char bytes[4096];

	(void)events;
	/* What changed does not matter: the record is read anyway, and says by its serial whether it is new. */
	while (read(f->inotify_fd, bytes, sizeof bytes) > 0)
		;
	switch_follow_now(f);
}

static int start(struct switch_follow *f, struct err *err)
{
	if (fs_lock(f->paths->follower_lock, 0, &f->lock_fd, err) < 0)
		return -1;
	f->inotify_fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	if (f->inotify_fd < 0 || inotify_add_watch(f->inotify_fd, f->paths->directory, IN_MOVED_TO | IN_DELETE) < 0)
		return err_sys(err, errno, "inotify on %s", f->paths->directory);
	f->listener = listener_new(f->loop);
	if (loop_watch_fd(f->loop, f->inotify_fd, EPOLLIN, on_change, f, &f->watch, err) < 0)
		return -1;
	f->told.serial = -1; /* even that there is no record is told */
	switch_follow_now(f);
	return 0;
}

int switch_follow_start(struct loop *loop, const struct switch_paths *paths, struct switch_follow **out,
			struct err *err)
{
	struct switch_follow *f = xcalloc(1, sizeof *f);

	*f = (struct switch_follow){ .loop = loop, .paths = paths, .lock_fd = -1, .inotify_fd = -1 };
	if (start(f, err) < 0) {
		switch_follow_stop(f);
		return -1;
	}
	*out = f;
	return 0;
}

void switch_follow_stop(struct switch_follow *f)
{
	if (!f)
		return;
	loop_timer_cancel(f->timer);
	loop_unwatch(f->watch);
	listener_free(f->listener);
	closep(&f->inotify_fd);
	closep(&f->lock_fd);
	free(f);
}
