/* The parent's side: orders out, news in. */
#include "unpack/zygote.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/mem.h"
#include "unpack/zygote_private.h"

const char *zygote_program = "/proc/self/exe";

struct zygote_child {
	struct zygote *zygote;
	struct zygote_child *next;
	uint32_t serial;
	bool ended, told;
	int wait_status;
	zygote_ended_fn *fn;
	void *arg;
};

struct zygote {
	struct loop *loop;
	pid_t pid;
	int control; /* -1: it has died */
	struct loop_watch *watch;
	struct loop_timer *tell_timer; /* news came while somebody waited for other news */
	struct zygote_child *children;
	uint32_t last_serial;
};

/*
 * posix_spawn() because the process has a second thread: between fork and exec nothing of ours
 * runs. A process group of its own keeps a terminal's Ctrl-C for the parent, which then ends its
 * workers itself.
 */
static int spawn(int control, pid_t *pid)
{
	char parent_arg[16];
	char *const argv[] = { (char *)ZYGOTE_ARGV0, parent_arg, NULL };
	char *const environment[] = { NULL };
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	sigset_t none, all;

	(void)snprintf(parent_arg, sizeof parent_arg, "%d", (int)getpid());
	(void)sigemptyset(&none);
	(void)sigfillset(&all);
	(void)sigdelset(&all, SIGKILL);
	(void)sigdelset(&all, SIGSTOP);

	/* These fail for lack of memory only. */
	if (posix_spawn_file_actions_init(&actions) || posix_spawnattr_init(&attributes))
		abort();
	int error = posix_spawn_file_actions_adddup2(&actions, control, ZYGOTE_CONTROL_FD) ?:
		    posix_spawnattr_setsigmask(&attributes, &none) ?:
		    posix_spawnattr_setsigdefault(&attributes, &all) ?:
		    posix_spawnattr_setpgroup(&attributes, 0) ?:
		    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF |
								  POSIX_SPAWN_SETPGROUP) ?:
		    posix_spawn(pid, zygote_program, &actions, &attributes, argv, environment);
	(void)posix_spawn_file_actions_destroy(&actions);
	(void)posix_spawnattr_destroy(&attributes);
	return error;
}

static struct zygote_child *next_to_tell(struct zygote *z)
{
	for (struct zygote_child *c = z->children; c; c = c->next)
		if (c->ended && !c->told)
			return c;
	return NULL;
}

/* Whoever is told may free itself, or another. */
static void tell(struct zygote *z)
{
	struct zygote_child *c;

	while ((c = next_to_tell(z))) {
		c->told = true;
		c->fn(c->arg, c->wait_status);
	}
}

static void on_tell_timer(void *arg)
{
	struct zygote *z = arg;

	z->tell_timer = NULL;
	tell(z);
}

static void note_end(struct zygote *z, uint32_t serial, int wait_status)
{
	for (struct zygote_child *c = z->children; c; c = c->next)
		if (c->serial == serial && !c->ended) {
			c->ended = true;
			c->wait_status = wait_status;
		}
}

/* Its children are gone or dying with it. */
static void note_death(struct zygote *z)
{
	loop_unwatch(z->watch);
	z->watch = NULL;
	closep(&z->control);
	z->control = -1;
	for (struct zygote_child *c = z->children; c; c = c->next)
		note_end(z, c->serial, SIGKILL);
}

/* false: there is nothing now. */
static bool take_news(struct zygote *z, int flags)
{
	struct zygote_news news;
	ssize_t n;

	if (z->control < 0)
		return false;
	do
		n = recv(z->control, &news, sizeof news, flags);
	while (n < 0 && errno == EINTR);
	if (n < 0 && errno == EAGAIN)
		return false;
	if (n != sizeof news) {
		note_death(z);
		return false;
	}
	/* One that could not be forked has ended in silence. */
	note_end(z, news.serial, news.error ? W_EXITCODE(EXIT_FAILURE, 0) : news.wait_status);
	return true;
}

static void on_news(void *arg, uint32_t events)
{
	struct zygote *z = arg;

	(void)events;
	while (take_news(z, MSG_DONTWAIT))
		;
	tell(z);
}

int zygote_start(struct loop *loop, struct zygote **out, struct err *err)
{
	int ends[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
		return err_sys(err, errno, "socketpair");
	CLEANUP(closep) int theirs = ends[1];
	struct zygote *z = xcalloc(1, sizeof *z);
	z->loop = loop;
	z->control = ends[0];
	int error = spawn(theirs, &z->pid);
	if (error)
		(void)err_sys(err, error, "starting the unpack workers (%s)", zygote_program);
	if (error || loop_watch_fd(loop, z->control, EPOLLIN, on_news, z, &z->watch, err) < 0) {
		zygote_free(z);
		return -1;
	}
	*out = z;
	return 0;
}

struct loop *zygote_loop(const struct zygote *z)
{
	return z->loop;
}

void zygote_free(struct zygote *z)
{
	if (!z)
		return;
	loop_timer_cancel(z->tell_timer);
	loop_unwatch(z->watch);
	closep(&z->control); /* it sees the end, ends its children, and goes */
	while (z->pid > 0 && waitpid(z->pid, NULL, 0) < 0 && errno == EINTR)
		;
	free(z);
}

static int send_message(struct zygote *z, const struct zygote_message *message, const int *fds, size_t n,
			struct err *err)
{
	union {
		char bytes[CMSG_SPACE(ZYGOTE_FDS_MAX * sizeof(int))];
		struct cmsghdr align;
	} control = { { 0 } };
	struct iovec part = { (void *)message, sizeof *message };
	struct msghdr m = { .msg_iov = &part, .msg_iovlen = 1 };

	if (n) {
		m.msg_control = control.bytes;
		m.msg_controllen = CMSG_SPACE(n * sizeof *fds);
		struct cmsghdr *c = CMSG_FIRSTHDR(&m);
		*c = (struct cmsghdr){ .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS,
				       .cmsg_len = CMSG_LEN(n * sizeof *fds) };
		memcpy(CMSG_DATA(c), fds, n * sizeof *fds);
	}
	/* It does nothing but read these: a full socket means that it hangs. */
	if (z->control < 0 || sendmsg(z->control, &m, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
		return err_sys(err, z->control < 0 ? EPIPE : errno, "asking for an unpack worker");
	return 0;
}

int zygote_fork(struct zygote *z, const struct zygote_order *order, zygote_ended_fn *ended, void *arg,
		struct zygote_child **out, struct err *err)
{
	struct zygote_message message = {
		.wish = ZYGOTE_FORK,
		.serial = ++z->last_serial,
		.format = order->format,
		.emit = order->emit,
		.unpack = order->unpack,
		.bottom = order->bottom,
	};
	int fds[ZYGOTE_FDS_MAX];
	size_t n = 0;

	for (size_t i = 0; i < ZYGOTE_FDS_MAX; i++) {
		message.has_fd[i] = order->fds[i] >= 0;
		if (order->fds[i] >= 0)
			fds[n++] = order->fds[i];
	}
	if (send_message(z, &message, fds, n, err) < 0)
		return -1;
	struct zygote_child *c = xcalloc(1, sizeof *c);
	*c = (struct zygote_child){ .zygote = z, .next = z->children, .serial = message.serial,
				    .fn = ended, .arg = arg };
	z->children = c;
	*out = c;
	return 0;
}

void zygote_kill(struct zygote_child *child)
{
	const struct zygote_message message = { .wish = ZYGOTE_KILL, .serial = child->serial };
	struct err unheard; /* a dead zygote has said so, or will */

	if (!child->ended)
		(void)!send_message(child->zygote, &message, NULL, 0, &unheard);
}

void zygote_child_free(struct zygote_child *child)
{
	if (!child)
		return;

	struct zygote *z = child->zygote;
	zygote_kill(child);
	while (!child->ended && take_news(z, 0))
		;
	for (struct zygote_child **at = &z->children; *at; at = &(*at)->next)
		if (*at == child) {
			*at = child->next;
			break;
		}
	free(child);
	/* What others have missed meanwhile they hear from the loop, not from in here. */
	if (!z->tell_timer && next_to_tell(z))
		z->tell_timer = loop_timer_start(z->loop, 0, on_tell_timer, z);
}
