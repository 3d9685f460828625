/* The zygote's own side. It has one thread, so a fork of it is whole. */
#include "unpack/zygote_private.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/mem.h"

struct born {
	uint32_t serial;
	pid_t pid;
};

struct nest {
	const struct jail *jail;
	zygote_run_fn *run;
	int signals; /* a signalfd for SIGCHLD */
	struct born *born;
	size_t n, room;
};

static int parse_pid(const char *text, pid_t *out)
{
	char *end;

	errno = 0;
	long n = strtol(text, &end, 10);
	if (errno || end == text || *end || n < 1 || n > INT32_MAX)
		return -1;
	*out = (pid_t)n;
	return 0;
}

/* A death signal counts from the moment it was asked for: is the parent still there? */
static int die_with(pid_t parent)
{
	return prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0 || getppid() != parent ? -1 : 0;
}

int zygote_begin(int argc, char **argv)
{
	pid_t parent;

	if (argc != 2 || parse_pid(argv[1], &parent) < 0 || die_with(parent) < 0 ||
	    fcntl(ZYGOTE_CONTROL_FD, F_GETFD) < 0)
		return -1;
	/* So that no descriptor that comes in takes a child's place, or the parent's terminal stays in reach. */
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	for (int fd = 0; null >= 0 && fd < ZYGOTE_FDS_MAX; fd++)
		if (fd != null && dup2(null, fd) < 0)
			return -1;
	return null < 0 ? -1 : 0;
}

int zygote_place_fds(int fds[ZYGOTE_FDS_MAX])
{
	for (int i = 0; i < ZYGOTE_FDS_MAX; i++) {
		if (fds[i] >= 0 && dup2(fds[i], i) < 0)
			return -1;
		if (fds[i] < 0)
			(void)close(i);
	}
	for (int i = 0; i < ZYGOTE_FDS_MAX; i++)
		closep(&fds[i]);
	return 0;
}

static void tell(uint32_t serial, int wait_status, int error)
{
	const struct zygote_news news = { serial, wait_status, error };

	/* One that does not listen any more is about to be noticed. */
	(void)!send(ZYGOTE_CONTROL_FD, &news, sizeof news, MSG_NOSIGNAL);
}

_Noreturn static void live(struct nest *nest, const struct zygote_message *message, int fds[ZYGOTE_FDS_MAX],
			   pid_t zygote)
{
	struct zygote_order order = {
		.format = (enum inflate_format)message->format,
		.emit = message->emit,
		.unpack = message->unpack,
		.bottom = message->bottom,
	};
	sigset_t none;

	(void)sigemptyset(&none);
	(void)close(nest->signals);
	(void)close(ZYGOTE_CONTROL_FD);
	if (die_with(zygote) < 0 || zygote_place_fds(fds) < 0 || sigprocmask(SIG_SETMASK, &none, NULL) < 0)
		_exit(EXIT_FAILURE);
	for (int i = 0; i < ZYGOTE_FDS_MAX; i++)
		order.fds[i] = message->has_fd[i] ? i : -1;
	nest->run(&order, nest->jail);
	_exit(EXIT_FAILURE);
}

static void give_birth(struct nest *nest, const struct zygote_message *message, int fds[ZYGOTE_FDS_MAX])
{
	pid_t self = getpid(), pid = fork();

	if (pid == 0)
		live(nest, message, fds, self);
	if (pid < 0) {
		tell(message->serial, 0, errno);
		return;
	}
	if (nest->n == nest->room) {
		nest->room = nest->room ? nest->room * 2 : 16;
		nest->born = xreallocarray(nest->born, nest->room, sizeof *nest->born);
	}
	nest->born[nest->n++] = (struct born){ message->serial, pid };
}

static void kill_one(struct nest *nest, uint32_t serial)
{
	for (size_t i = 0; i < nest->n; i++)
		if (nest->born[i].serial == serial)
			(void)kill(nest->born[i].pid, SIGKILL);
}

static void bury(struct nest *nest)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		for (size_t i = 0; i < nest->n; i++)
			if (nest->born[i].pid == pid) {
				tell(nest->born[i].serial, status, 0);
				nest->born[i] = nest->born[--nest->n];
				break;
			}
}

/* Puts each descriptor that came along at its place in fds. false: not as many as were announced. */
static bool take_fds(struct msghdr *m, const struct zygote_message *message, int fds[ZYGOTE_FDS_MAX])
{
	struct cmsghdr *c = CMSG_FIRSTHDR(m);
	size_t n = c && c->cmsg_type == SCM_RIGHTS ? (c->cmsg_len - CMSG_LEN(0)) / sizeof *fds : 0, used = 0;

	for (size_t i = 0; i < ZYGOTE_FDS_MAX; i++) {
		fds[i] = -1;
		if (message->has_fd[i] && used < n)
			memcpy(&fds[i], CMSG_DATA(c) + used++ * sizeof *fds, sizeof *fds);
		else if (message->has_fd[i])
			return false;
	}
	return used == n;
}

/* false: the parent is gone, or not ours. */
static bool take_order(struct nest *nest)
{
	union {
		char bytes[CMSG_SPACE(ZYGOTE_FDS_MAX * sizeof(int))];
		struct cmsghdr align;
	} control;
	struct zygote_message message;
	struct iovec part = { &message, sizeof message };
	struct msghdr m = {
		.msg_iov = &part, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof control
	};
	int fds[ZYGOTE_FDS_MAX];

	ssize_t n = recvmsg(ZYGOTE_CONTROL_FD, &m, MSG_CMSG_CLOEXEC);
	if (n < 0)
		return errno == EINTR;
	if (n != sizeof message || !take_fds(&m, &message, fds))
		return false;
	if (message.wish == ZYGOTE_KILL)
		kill_one(nest, message.serial);
	else
		give_birth(nest, &message, fds);
	for (size_t i = 0; i < ZYGOTE_FDS_MAX; i++)
		closep(&fds[i]);
	return true;
}

static void end_all(struct nest *nest)
{
	for (size_t i = 0; i < nest->n; i++)
		(void)kill(nest->born[i].pid, SIGKILL);
	while (waitpid(-1, NULL, 0) > 0 || errno == EINTR)
		;
	free(nest->born);
}

int zygote_serve(const struct jail *jail, zygote_run_fn *run)
{
	struct nest nest = { .jail = jail, .run = run };
	sigset_t child;

	(void)sigemptyset(&child);
	(void)sigaddset(&child, SIGCHLD);
	if (sigprocmask(SIG_BLOCK, &child, NULL) < 0 ||
	    (nest.signals = signalfd(-1, &child, SFD_CLOEXEC | SFD_NONBLOCK)) < 0)
		return EXIT_FAILURE;
	struct pollfd watched[] = { { ZYGOTE_CONTROL_FD, POLLIN, 0 }, { nest.signals, POLLIN, 0 } };
	for (;;) {
		struct signalfd_siginfo unused;
		if (poll(watched, ARRAY_LEN(watched), -1) < 0 && errno != EINTR)
			break;
		if (watched[1].revents && read(nest.signals, &unused, sizeof unused) > 0)
			bury(&nest);
		if (watched[0].revents && !take_order(&nest))
			break;
	}
	end_all(&nest);
	return EXIT_SUCCESS;
}
