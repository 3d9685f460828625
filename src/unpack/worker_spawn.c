/* Starting a child and reading its last words. */
#include "unpack/worker_private.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/mem.h"

const struct worker_mode worker_modes[] = {
	{ NULL, false, false, false },
	{ "emit", true, false, false },
	{ "unpack", false, true, false },
	{ "unpack-bottom", false, true, true },
};
const size_t worker_n_modes = ARRAY_LEN(worker_modes);

static const char *mode_name(const struct worker_options *o)
{
	for (size_t i = 0; i < worker_n_modes; i++) {
		const struct worker_mode *m = &worker_modes[i];
		if (m->emit == o->emit && m->unpack == o->unpack && m->bottom == (o->unpack && o->bottom))
			return m->name;
	}
	abort(); /* one that emits what it unpacks: nobody asks for it */
}

struct pipe_pair {
	int read_end, write_end;
};

static void close_pair(struct pipe_pair *p)
{
	closep(&p->read_end);
	closep(&p->write_end);
}

static int open_pair(struct pipe_pair *p, struct err *err)
{
	int fds[2];

	if (pipe2(fds, O_CLOEXEC) < 0)
		return err_sys(err, errno, "pipe");
	*p = (struct pipe_pair){ fds[0], fds[1] };
	return 0;
}

static int set_nonblocking(int fd, struct err *err)
{
	return fcntl(fd, F_SETFL, O_NONBLOCK) < 0 ? err_sys(err, errno, "fcntl") : 0;
}

/*
 * posix_spawn() because the process has a second thread: between fork and exec nothing of ours runs. A process
 * group of its own keeps a terminal's Ctrl-C for the parent, which then ends its workers itself.
 */
static int start(const char *program, const struct worker_options *options, int data, int result, int output,
		 pid_t *pid)
{
	char format_arg[4], parent_arg[16];
	char *const argv[] = { (char *)WORKER_ARGV0, format_arg, parent_arg, (char *)mode_name(options), NULL };
	char *const environment[] = { NULL };
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	sigset_t none, all;

	(void)snprintf(format_arg, sizeof format_arg, "%u", (unsigned int)options->format % 100);
	(void)snprintf(parent_arg, sizeof parent_arg, "%d", (int)getpid());
	(void)sigemptyset(&none);
	(void)sigfillset(&all);
	(void)sigdelset(&all, SIGKILL);
	(void)sigdelset(&all, SIGSTOP);

	/* These fail for lack of memory only. */
	if (posix_spawn_file_actions_init(&actions) || posix_spawnattr_init(&attributes))
		abort();
	int error = posix_spawn_file_actions_adddup2(&actions, data, WORKER_DATA_FD) ?:
		    posix_spawn_file_actions_adddup2(&actions, result, WORKER_RESULT_FD) ?:
		    (output >= 0 ? posix_spawn_file_actions_adddup2(&actions, output, WORKER_OUTPUT_FD) : 0) ?:
		    (options->unpack ? posix_spawn_file_actions_adddup2(&actions, options->root_fd, WORKER_ROOT_FD)
				     : 0) ?:
		    posix_spawnattr_setsigmask(&attributes, &none) ?:
		    posix_spawnattr_setsigdefault(&attributes, &all) ?:
		    posix_spawnattr_setpgroup(&attributes, 0) ?:
		    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF |
								  POSIX_SPAWN_SETPGROUP) ?:
		    posix_spawn(pid, program, &actions, &attributes, argv, environment);
	(void)posix_spawn_file_actions_destroy(&actions);
	(void)posix_spawnattr_destroy(&attributes);
	return error;
}

int worker_spawn(const char *program, const struct worker_options *options, struct worker_child *out,
		 struct err *err)
{
	CLEANUP(close_pair) struct pipe_pair data = { -1, -1 }, result = { -1, -1 }, output = { -1, -1 };
	bool emit = options->emit;
	pid_t pid;

	/* An exec'd child closes what is O_CLOEXEC, so no worker holds another's pipe open. */
	if (open_pair(&data, err) < 0 || open_pair(&result, err) < 0 || (emit && open_pair(&output, err) < 0))
		return -1;
	/* Less is allowed too: pipe(7), pipe-user-pages-soft. */
	(void)fcntl(data.write_end, F_SETPIPE_SZ, (int)WORKER_PIPE_BYTES);
	if (emit)
		(void)fcntl(output.write_end, F_SETPIPE_SZ, (int)WORKER_PIPE_BYTES);
	if (set_nonblocking(data.write_end, err) < 0 || set_nonblocking(result.read_end, err) < 0 ||
	    (emit && set_nonblocking(output.read_end, err) < 0))
		return -1;

	int error = start(program, options, data.read_end, result.write_end, output.write_end, &pid);
	if (error)
		return err_sys(err, error, "starting an unpack worker (%s)", program);
	*out = (struct worker_child){ pid, data.write_end, result.read_end, output.read_end };
	data.write_end = result.read_end = output.read_end = -1;
	return 0;
}

static int judge_silence(int wait_status, struct err *err)
{
	if (!WIFSIGNALED(wait_status))
		return err_set(err, ERR_FAILED, "the worker ended without an answer (exit status %d)",
			       WEXITSTATUS(wait_status));

	const char *name = sigabbrev_np(WTERMSIG(wait_status));
	(void)err_set(err, ERR_FAILED, "the worker was killed by SIG%s", name ? name : "?");
	if (WTERMSIG(wait_status) == SIGKILL)
		return err_hint(err, "is the machine out of memory? see `dmesg`");
	return -1;
}

static int judge_failure(const struct worker_record *record, struct err *err)
{
	char message[WORKER_MESSAGE_BYTES];
	size_t len = strnlen(record->message, sizeof message - 1);

	/* err_set() replaces control bytes; other bytes above ASCII have no business in it either. */
	for (size_t i = 0; i < len; i++)
		message[i] = (char)((unsigned char)record->message[i] < 0x7f ? record->message[i] : '?');
	message[len] = '\0';
	switch (record->kind) {
	case ERR_LIMIT:
	case ERR_SYSTEM:
	case ERR_CANCELLED:
		return err_set(err, (enum err_kind)record->kind, "%s", message);
	default:
		return err_set(err, ERR_REFUSED, "%s", message);
	}
}

int worker_judge(const struct worker_record *record, size_t len, int wait_status, struct worker_result *out,
		 struct err *err)
{
	if (len == 0)
		return judge_silence(wait_status, err);
	if (len != sizeof *record || record->magic != WORKER_RECORD_MAGIC)
		return err_set(err, ERR_PROTOCOL, "the worker's answer is malformed");
	if (record->kind != ERR_NONE)
		return judge_failure(record, err);
	if (!WIFEXITED(wait_status) || WEXITSTATUS(wait_status) != 0 || record->size_bytes < 0 ||
	    record->size_bytes > WORKER_OUTPUT_MAX_BYTES)
		return err_set(err, ERR_PROTOCOL, "the worker's answer contradicts itself");
	out->size_bytes = record->size_bytes;
	memcpy(out->diff_id, record->diff_id, sizeof out->diff_id);
	return 0;
}
