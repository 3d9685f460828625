/* Starting a child and reading its last words. */
#include "unpack/worker_private.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/mem.h"
#include "unpack/jail.h"

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

int worker_spawn(struct zygote *zygote, const struct worker_options *options, zygote_ended_fn *ended, void *arg,
		 struct worker_pipes *pipes, struct zygote_child **out, struct err *err)
{
	CLEANUP(close_pair) struct pipe_pair data = { -1, -1 }, result = { -1, -1 }, output = { -1, -1 };
	CLEANUP(closep) int root = -1;
	bool emit = options->emit;

	if (open_pair(&data, err) < 0 || open_pair(&result, err) < 0 || (emit && open_pair(&output, err) < 0) ||
	    (options->unpack && jail_tree(options->root_fd, &root, err) < 0))
		return -1;
	/* Less is allowed too: pipe(7), pipe-user-pages-soft. */
	(void)fcntl(data.write_end, F_SETPIPE_SZ, (int)WORKER_PIPE_BYTES);
	if (emit)
		(void)fcntl(output.write_end, F_SETPIPE_SZ, (int)WORKER_PIPE_BYTES);
	if (set_nonblocking(data.write_end, err) < 0 || set_nonblocking(result.read_end, err) < 0 ||
	    (emit && set_nonblocking(output.read_end, err) < 0))
		return -1;

	const struct zygote_order order = {
		.format = options->format,
		.emit = emit,
		.unpack = options->unpack,
		.bottom = options->bottom,
		.fds = {
			[WORKER_DATA_FD] = data.read_end,
			[WORKER_RESULT_FD] = result.write_end,
			[WORKER_OUTPUT_FD] = output.write_end,
			[WORKER_ROOT_FD] = root,
		},
	};
	if (zygote_fork(zygote, &order, ended, arg, out, err) < 0)
		return -1;
	*pipes = (struct worker_pipes){ data.write_end, result.read_end, output.read_end };
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
