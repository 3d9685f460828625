/*
 * The child's side. Everything that needs files or new threads happens before it is in its jail; afterwards there
 * is only reading, inflating, hashing, maybe writing below one directory, and one answer.
 */
#include "unpack/worker_private.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/mem.h"
#include "unpack/jail.h"

/* Small enough that a stalled worker and a slow one differ: 64 KiB of the worst zstd bomb is 2 GiB. */
#define READ_BYTES (64 * KIB)

struct job {
	struct worker_options options;
	pid_t parent;
	struct inflate *inflate;
	struct sha256 *hash;
	struct worker_result result;
	struct deferred *deferred;
};

static int parse_number(const char *text, long max, long *out)
{
	char *end;

	errno = 0;
	*out = strtol(text, &end, 10);
	return errno || end == text || *end || *out < 0 || *out > max ? -1 : 0;
}

static const struct worker_mode *parse_mode(const char *name)
{
	for (size_t i = 0; i < worker_n_modes; i++)
		if (streq(worker_modes[i].name, name))
			return &worker_modes[i];
	return NULL;
}

static int parse(struct job *job, int argc, char **argv, struct err *err)
{
	const struct worker_mode *mode = argc == 3 || argc == 4 ? parse_mode(argv[3]) : NULL;
	long format, parent;

	if (!mode || parse_number(argv[1], INFLATE_ZSTD, &format) < 0 ||
	    parse_number(argv[2], INT32_MAX, &parent) < 0)
		return err_set(err, ERR_USAGE, "this is a process that berth starts by itself");
	job->options = (struct worker_options){
		.format = (enum inflate_format)format,
		.emit = mode->emit,
		.unpack = mode->unpack,
		.bottom = mode->bottom,
		.root_fd = WORKER_ROOT_FD,
	};
	job->parent = (pid_t)parent;
	return 0;
}

static int hash_piece(void *arg, const void *bytes, size_t len, struct err *err)
{
	struct job *job = arg;

	if ((int64_t)len > WORKER_OUTPUT_MAX_BYTES - job->result.size_bytes)
		return err_set(err, ERR_LIMIT, "inflates to more than %lld GiB",
			       (long long)(WORKER_OUTPUT_MAX_BYTES / (int64_t)GIB));
	job->result.size_bytes += (int64_t)len;
	sha256_update(job->hash, bytes, len);
	return job->options.emit ? fs_write_all(WORKER_OUTPUT_FD, bytes, len, err) : 0;
}

void worker_warm_up(struct sha256 *hash)
{
	uint8_t unused[SHA256_BYTES];

	sha256_update(hash, "", 1);
	sha256_final(hash, unused);
	sha256_reset(hash);
}

int worker_check_parent(pid_t parent, struct err *err)
{
	return getppid() == parent ? 0 : err_set(err, ERR_CANCELLED, "the parent is gone");
}

int worker_inflate(struct inflate *x, inflate_sink_fn *sink, void *arg, struct err *err)
{
	static uint8_t input[READ_BYTES];

	for (;;) {
		ssize_t n = read(WORKER_DATA_FD, input, sizeof input);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_sys(err, errno, "reading the layer");
		if (n == 0)
			return inflate_end(x, err);
		if (inflate_feed(x, input, (size_t)n, sink, arg, err) < 0)
			return -1;
	}
}

static int verify(struct job *job, struct err *err)
{
	static const int keep[] = { WORKER_DATA_FD, WORKER_RESULT_FD, WORKER_OUTPUT_FD };

	if (inflate_new(job->options.format, &job->inflate, err) < 0)
		return -1;
	job->hash = sha256_new();
	worker_warm_up(job->hash);
	if (jail_enter(keep, ARRAY_LEN(keep) - !job->options.emit, err) < 0 ||
	    worker_check_parent(job->parent, err) < 0 ||
	    worker_inflate(job->inflate, hash_piece, job, err) < 0)
		return -1;
	sha256_final(job->hash, job->result.diff_id);
	return 0;
}

static void answer(struct job *job, const struct err *err)
{
	struct worker_record record = { .magic = WORKER_RECORD_MAGIC, .kind = err->kind };
	const void *list = NULL;
	size_t list_len = 0;
	struct err unheard;

	if (err->kind == ERR_NONE) {
		record.size_bytes = job->result.size_bytes;
		memcpy(record.diff_id, job->result.diff_id, sizeof record.diff_id);
		if (job->deferred)
			list = deferred_bytes(job->deferred, &list_len);
	}
	record.deferred_bytes = (uint32_t)list_len;
	(void)snprintf(record.message, sizeof record.message, "%.*s", (int)sizeof record.message - 1, err->msg);
	/* When the parent does not listen there is nobody left to tell. */
	if (fs_write_all(WORKER_RESULT_FD, &record, sizeof record, &unheard) == 0)
		(void)!fs_write_all(WORKER_RESULT_FD, list, list_len, &unheard);
}

int worker_main(int argc, char **argv)
{
	static struct job job;
	struct err err = { 0 };

	if (parse(&job, argc, argv, &err) == 0) {
		/* Its error is the answer. */
		if (!job.options.unpack)
			(void)!verify(&job, &err);
		else if ((job.deferred = deferred_new()))
			(void)!worker_unpack(&job.options, job.parent, job.deferred, &job.result, &err);
	}
	answer(&job, &err);
	_exit(err.kind == ERR_NONE ? EXIT_SUCCESS : EXIT_FAILURE); /* no handlers: they may do what is not allowed */
}
