#include "engine/disk_sync.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/mem.h"

/* Of both threads: the one that leaves last frees it, since nothing interrupts a syncfs. */
struct job {
	int fd;
	int event;
	int errnum;
	bool done; /* the main thread's */
	atomic_int users;
};

static void leave(struct job *j)
{
	if (atomic_fetch_sub(&j->users, 1) > 1)
		return;
	closep(&j->fd);
	closep(&j->event);
	free(j);
}

static void *work(void *arg)
{
	struct job *j = arg;
	const uint64_t one = 1;

	j->errnum = syncfs(j->fd) < 0 ? errno : 0;
	if (write(j->event, &one, sizeof one) != sizeof one)
		abort(); /* an eventfd at 0 takes a 1 */
	leave(j);
	return NULL;
}

static void on_event(void *arg, uint32_t events)
{
	(void)events;
	((struct job *)arg)->done = true;
}

static bool is_done(void *arg)
{
	return ((const struct job *)arg)->done;
}

static int wait_for(struct loop *loop, struct job *j, struct err *err)
{
	struct loop_watch *watch;

	if (loop_watch_fd(loop, j->event, EPOLLIN, on_event, j, &watch, err) < 0)
		return -1;
	int result = loop_wait(loop, is_done, j, -1, err);
	loop_unwatch(watch);
	if (result == 0 && j->errnum)
		return err_sys(err, j->errnum, "syncfs");
	return result;
}

int disk_sync(struct loop *loop, int fd, struct err *err)
{
	struct job *j = xcalloc(1, sizeof *j);
	pthread_t thread;

	j->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	j->event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	j->users = 2;
	int errnum = j->fd < 0 || j->event < 0 ? errno : pthread_create(&thread, NULL, work, j);
	if (errnum) {
		j->users = 1;
		leave(j);
		return err_sys(err, errnum, "syncfs in a thread");
	}
	(void)pthread_detach(thread); /* it was just made, and is joinable */
	int result = wait_for(loop, j, err);
	leave(j);
	return result;
}
