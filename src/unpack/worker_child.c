/*
 * The child's side. Everything that needs files or new threads happens before it is in its jail;
 * afterwards there is only reading, inflating, hashing, maybe writing below one directory, and one
 * answer.
 */
#include "unpack/worker_private.h"

#include <errno.h>
#include <malloc.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/mem.h"
#include "unpack/jail.h"
#include "unpack/layer.h"

/* Small enough that a stalled worker and a slow one differ: 64 KiB of the worst zstd bomb is 2 GiB. */
#define READ_BYTES (64 * KIB)

struct job {
	const struct zygote_order *order;
	const struct jail *jail;
	struct inflate *inflate;
	struct sha256 *hash;
	struct worker_result result;
	struct deferred *deferred;
};

static int hash_piece(void *arg, const void *bytes, size_t len, struct err *err)
{
	struct job *job = arg;

	if ((int64_t)len > WORKER_OUTPUT_MAX_BYTES - job->result.size_bytes)
		return err_set(err, ERR_LIMIT, "inflates to more than %lld GiB",
			       (long long)(WORKER_OUTPUT_MAX_BYTES / (int64_t)GIB));
	job->result.size_bytes += (int64_t)len;
	sha256_update(job->hash, bytes, len);
	return job->order->emit ? fs_write_all(WORKER_OUTPUT_FD, bytes, len, err) : 0;
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

	if (inflate_new(job->order->format, &job->inflate, err) < 0)
		return -1;
	job->hash = sha256_new();
	if (jail_enter(job->jail, keep, ARRAY_LEN(keep) - !job->order->emit, err) < 0 ||
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

void worker_run(const struct zygote_order *order, const struct jail *jail)
{
	static struct job job;
	struct err err = { 0 };

	job = (struct job){ .order = order, .jail = jail };
	/* Their error is the answer. */
	if (!order->unpack)
		(void)!verify(&job, &err);
	else if ((job.deferred = deferred_new()))
		(void)!worker_unpack(order, jail, job.deferred, &job.result, &err);
	answer(&job, &err);
	_exit(err.kind == ERR_NONE ? EXIT_SUCCESS : EXIT_FAILURE); /* no handlers: they may do what is not allowed */
}

/* OpenSSL and libarchive look for configuration and CPU features at first use: lets them, while they can. */
static void warm_up(void)
{
	struct sha256 *hash = sha256_new();
	uint8_t unused[SHA256_BYTES];

	sha256_update(hash, "", 1);
	sha256_final(hash, unused);
	sha256_free(hash);
	layer_warm_up();
}

int worker_main_running(int argc, char **argv, zygote_run_fn *run)
{
	static const int keep[] = { 0, 1, 2, 3, ZYGOTE_CONTROL_FD };
	struct jail jail;

	if (zygote_begin(argc, argv) < 0)
		return EXIT_FAILURE; /* nobody listens who could be told */
	(void)umask(0);
	/* One heap for both threads of a worker: a second one would take 64 MiB of address space. */
	(void)mallopt(M_ARENA_MAX, 1);
	warm_up();
	jail_prepare(keep, ARRAY_LEN(keep), &jail);
	return zygote_serve(&jail, run);
}

int worker_main(int argc, char **argv)
{
	return worker_main_running(argc, argv, worker_run);
}
