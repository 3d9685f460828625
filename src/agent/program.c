#include "agent/program.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/mem.h"

/* A program's complaint: more than an error message holds is not kept. */
#define COMPLAINT_MAX_BYTES (4 * KIB)
#define READ_STEP (16 * KIB)
/* Between the end of its output and its exit there is next to nothing. */
#define REAP_STEP_MS 1

static const char *const directories[] = { "/usr/sbin", "/sbin", "/usr/bin", "/bin", "/usr/local/sbin" };

/* One end of a pipe that the loop reads. */
struct stream {
	int fd;
	struct loop_watch *watch;
	struct buf *to;
	bool ended, full;
};

struct run {
	pid_t pid; /* 0: none to reap */
	struct stream out, complaint;
};

static char *find(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(directories); i++) {
		char *path = xasprintf("%s/%s", directories[i], name);
		if (access(path, X_OK) == 0)
			return path;
		free(path);
	}
	return NULL;
}

static void end_stream(struct stream *s)
{
	loop_unwatch(s->watch);
	s->watch = NULL;
	s->ended = true;
}

static void on_output(void *arg, uint32_t events)
{
	struct stream *s = arg;
	char chunk[READ_STEP];
	struct err ignored;

	(void)events;
	ssize_t n = read(s->fd, chunk, sizeof chunk);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		end_stream(s);
	} else if (buf_append(s->to, chunk, (size_t)n, &ignored) < 0) {
		s->full = true;
		end_stream(s);
	}
}

static bool outputs_ended(void *arg)
{
	const struct run *r = arg;

	return r->out.full || (r->out.ended && r->complaint.ended);
}

/* The input as a file: nothing to feed while it runs. */
static int input_file(const char *input, struct err *err)
{
	int fd = memfd_create("input", MFD_CLOEXEC);

	if (fd < 0)
		return err_sys(err, errno, "memfd_create");
	if (input && fs_write_all(fd, input, strlen(input), err) < 0) {
		closep(&fd);
		return -1;
	}
	(void)lseek(fd, 0, SEEK_SET); /* cannot fail on a file */
	return fd;
}

static int spawn(const char *path, const char *const *argv, const int fds[3], pid_t *pid)
{
	static char *const environment[] = { (char *)"PATH=/usr/sbin:/usr/bin:/sbin:/bin", (char *)"LC_ALL=C", NULL };
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	sigset_t none, all;
	int error = 0;

	(void)sigemptyset(&none);
	(void)sigfillset(&all);
	(void)sigdelset(&all, SIGKILL);
	(void)sigdelset(&all, SIGSTOP);
	/* These fail for lack of memory only. */
	if (posix_spawn_file_actions_init(&actions) || posix_spawnattr_init(&attributes))
		abort();
	for (int i = 0; i < 3 && !error; i++)
		error = posix_spawn_file_actions_adddup2(&actions, fds[i], i);
	error = error ?: posix_spawnattr_setsigmask(&attributes, &none) ?:
		posix_spawnattr_setsigdefault(&attributes, &all) ?:
		posix_spawnattr_setpgroup(&attributes, 0) ?:
		posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF |
							      POSIX_SPAWN_SETPGROUP) ?:
		posix_spawn(pid, path, &actions, &attributes, (char *const *)argv, environment);
	(void)posix_spawn_file_actions_destroy(&actions);
	(void)posix_spawnattr_destroy(&attributes);
	return error;
}

static int start(struct run *r, const char *path, const char *const *argv, const char *input, struct err *err)
{
	CLEANUP(closep) int in = input_file(input, err);
	int out[2] = { -1, -1 }, complaint[2] = { -1, -1 };

	if (in < 0)
		return -1;
	if (pipe2(out, O_CLOEXEC) < 0)
		return err_sys(err, errno, "pipe");
	r->out.fd = out[0];
	CLEANUP(closep) int out_end = out[1];
	if (pipe2(complaint, O_CLOEXEC) < 0)
		return err_sys(err, errno, "pipe");
	r->complaint.fd = complaint[0];
	CLEANUP(closep) int complaint_end = complaint[1];
	(void)fcntl(out[0], F_SETFL, O_NONBLOCK);       /* cannot fail */
	(void)fcntl(complaint[0], F_SETFL, O_NONBLOCK); /* cannot fail */
	int error = spawn(path, argv, (const int[3]){ in, out_end, complaint_end }, &r->pid);
	if (error) {
		r->pid = 0;
		return err_sys(err, error, "start %s", path);
	}
	return 0;
}

static void finish(struct run *r)
{
	end_stream(&r->out);
	end_stream(&r->complaint);
	closep(&r->out.fd);
	closep(&r->complaint.fd);
	if (r->pid) {
		(void)kill(r->pid, SIGKILL);
		while (waitpid(r->pid, NULL, 0) < 0 && errno == EINTR)
			;
		r->pid = 0;
	}
}

static int reap(struct run *r, struct loop *loop, int64_t deadline_ms, int *status, struct err *err)
{
	for (;;) {
		pid_t got = waitpid(r->pid, status, WNOHANG);
		if (got == r->pid) {
			r->pid = 0;
			return 0;
		}
		if (got < 0 && errno != EINTR)
			return err_sys(err, errno, "waitpid");
		if (clock_mono_ms() >= deadline_ms)
			return err_set(err, ERR_TIMEOUT, "timed out");
		if (loop_sleep(loop, REAP_STEP_MS, err) < 0)
			return -1;
	}
}

static int judge(int status, struct buf *complaint, struct err *err)
{
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return 0;
	if (complaint->len)
		complaint->data[strcspn(complaint->data, "\n")] = '\0';
	if (WIFSIGNALED(status))
		return err_set(err, ERR_FAILED, "killed by signal %d", WTERMSIG(status));
	return err_set(err, ERR_FAILED, "exit code %d: %s", WEXITSTATUS(status), buf_str(complaint));
}

static int run(struct run *r, struct loop *loop, const char *path, const char *const *argv, const char *input,
	       int64_t deadline_ms, struct err *err)
{
	int status = 0;

	if (start(r, path, argv, input, err) < 0 ||
	    loop_watch_fd(loop, r->out.fd, EPOLLIN, on_output, &r->out, &r->out.watch, err) < 0 ||
	    loop_watch_fd(loop, r->complaint.fd, EPOLLIN, on_output, &r->complaint, &r->complaint.watch, err) < 0 ||
	    loop_wait(loop, outputs_ended, r, deadline_ms, err) < 0)
		return -1;
	if (r->out.full)
		return err_set(err, ERR_LIMIT, "more than %zu bytes of output", r->out.to->max_bytes);
	if (reap(r, loop, deadline_ms, &status, err) < 0)
		return -1;
	return judge(status, r->complaint.to, err);
}

int program_run(struct loop *loop, const char *const *argv, const char *input, int64_t timeout_ms, struct buf *out,
		struct err *err)
{
	CLEANUP(buf_free) struct buf complaint = BUF_INIT(COMPLAINT_MAX_BYTES);
	CLEANUP(freep) char *path = find(argv[0]);
	struct run r = { .out = { .fd = -1, .to = out }, .complaint = { .fd = -1, .to = &complaint } };

	if (!path)
		return err_set(err, ERR_NOT_FOUND, "%s is not installed", argv[0]);
	int result = run(&r, loop, path, argv, input, clock_mono_ms() + timeout_ms, err);
	finish(&r);
	return result < 0 ? err_wrap(err, "%s", argv[0]) : 0;
}
