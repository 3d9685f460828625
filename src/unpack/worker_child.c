/*
 * The child's side. Everything that needs files or new threads happens before
 * jail_enter(); afterwards there is only reading, inflating, hashing and one answer.
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
	enum inflate_format format;
	pid_t parent;
	bool emit;
	struct inflate *inflate;
	struct sha256 *hash;
	int64_t size_bytes;
	uint8_t input[READ_BYTES];
};

static int parse_number(const char *text, long max, long *out)
{
	char *end;

	errno = 0;
	*out = strtol(text, &end, 10);
	return errno || end == text || *end || *out < 0 || *out > max ? -1 : 0;
}

static int parse(struct job *job, int argc, char **argv, struct err *err)
{
	long format, parent;

	job->emit = argc == 4 && streq(argv[3], "emit");
	if ((argc != 3 && !job->emit) || parse_number(argv[1], INFLATE_ZSTD, &format) < 0 ||
	    parse_number(argv[2], INT32_MAX, &parent) < 0)
		return err_set(err, ERR_USAGE, "this is a process that berth starts by itself");
	job->format = (enum inflate_format)format;
	job->parent = (pid_t)parent;
	return 0;
}

static int hash_piece(void *arg, const void *bytes, size_t len, struct err *err)
{
	struct job *job = arg;

	if ((int64_t)len > WORKER_OUTPUT_MAX_BYTES - job->size_bytes)
		return err_set(err, ERR_LIMIT, "inflates to more than %lld GiB",
			       (long long)(WORKER_OUTPUT_MAX_BYTES / (int64_t)GIB));
	job->size_bytes += (int64_t)len;
	sha256_update(job->hash, bytes, len);
	return job->emit ? fs_write_all(WORKER_OUTPUT_FD, bytes, len, err) : 0;
}

/* OpenSSL looks for configuration and CPU features at first use: let it, while it can. */
static void warm_up(struct job *job)
{
	uint8_t unused[SHA256_BYTES];

	sha256_update(job->hash, "", 1);
	sha256_final(job->hash, unused);
	sha256_reset(job->hash);
}

static int prepare(struct job *job, struct err *err)
{
	static const int keep[] = { WORKER_DATA_FD, WORKER_RESULT_FD, WORKER_OUTPUT_FD };

	if (inflate_new(job->format, &job->inflate, err) < 0)
		return -1;
	job->hash = sha256_new();
	warm_up(job);
	if (jail_enter(keep, ARRAY_LEN(keep) - !job->emit, err) < 0)
		return -1;
	/* The death signal counts from the moment it was asked for. */
	if (getppid() != job->parent)
		return err_set(err, ERR_CANCELLED, "the parent is gone");
	return 0;
}

static int consume(struct job *job, struct err *err)
{
	for (;;) {
		ssize_t n = read(WORKER_DATA_FD, job->input, sizeof job->input);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_sys(err, errno, "reading the layer");
		if (n == 0)
			return inflate_end(job->inflate, err);
		if (inflate_feed(job->inflate, job->input, (size_t)n, hash_piece, job, err) < 0)
			return -1;
	}
}

static void answer(struct job *job, const struct err *err)
{
	struct worker_record record = { .magic = WORKER_RECORD_MAGIC, .kind = err->kind };

	if (err->kind == ERR_NONE) {
		record.size_bytes = job->size_bytes;
		sha256_final(job->hash, record.diff_id);
	}
	(void)snprintf(record.message, sizeof record.message, "%.*s", (int)sizeof record.message - 1, err->msg);
	/* When the parent does not listen there is nobody left to tell. */
	(void)!write(WORKER_RESULT_FD, &record, sizeof record);
}

int worker_main(int argc, char **argv)
{
	static struct job job;
	struct err err = { 0 };

	if (parse(&job, argc, argv, &err) == 0 && prepare(&job, &err) == 0)
		(void)!consume(&job, &err); /* its error is the answer */
	answer(&job, &err);
	_exit(err.kind == ERR_NONE ? EXIT_SUCCESS : EXIT_FAILURE); /* no handlers: they may do what is not allowed */
}
