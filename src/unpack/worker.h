/*
 * One process per layer in work: it inflates, hashes what comes out, unpacks it below a directory
 * if it is given one, and says diff_id and size at the end. The parent feeds it compressed bytes
 * and never parses them itself.
 */
#ifndef BERTH_UNPACK_WORKER_H
#define BERTH_UNPACK_WORKER_H

#include "base/hash.h"
#include "net/loop.h"
#include "unpack/deferred.h"
#include "unpack/inflate.h"
#include "unpack/zygote.h"

/* What main() does when argv[0] is ZYGOTE_ARGV0. */
int worker_main(int argc, char **argv);

/* Tar bytes that one layer may inflate to: what dockerd would write to a disk anyway. */
#define WORKER_OUTPUT_MAX_BYTES ((int64_t)256 * 1024 * 1024 * 1024)
#define WORKER_PIPE_BYTES (1 * MIB)
/* A worker that takes no byte and says nothing for so long is killed. */
#define WORKER_STALL_MS 60000

struct worker;

struct worker_result {
	uint8_t diff_id[SHA256_BYTES]; /* of the inflated bytes */
	int64_t size_bytes;            /* inflated */
};

struct worker_options {
	enum inflate_format format;
	bool emit;   /* the inflated bytes come back, through worker_peek(); not of one that unpacks */
	bool unpack; /* the tar is applied below root_fd */
	bool bottom; /* of one that unpacks: the image has no layer below this one */
	int root_fd; /* an empty directory, O_PATH is enough; borrowed until worker_start() returns */
};

/*
 * zygote and the loop it was started on outlive the worker.
 * event: from the loop, when the worker can take bytes again, has some, or has ended. Must not
 * wait.
 */
typedef void worker_event_fn(void *arg);
int worker_start(struct zygote *zygote, const struct worker_options *options, worker_event_fn *event, void *arg,
		 struct worker **out, struct err *err) MUST_CHECK;
/* Kills it if it still runs; reaps. */
void worker_free(struct worker *w);

/*
 * Offers bytes; returns how many were taken (0: pipe full, event() will come), or -1 when the
 * worker has ended early: the cause is in *err (its own words: "gzip: bad checksum").
 */
ssize_t worker_feed(struct worker *w, const void *bytes, size_t len, struct err *err) MUST_CHECK;
void worker_end_input(struct worker *w);

/*
 * Of a worker that emits: inflated bytes in order; *len 0 when there are none now (event() will
 * come). Unverified until worker_result() is good. Valid until the next call.
 */
void worker_peek(struct worker *w, const void **bytes, size_t *len);
void worker_consume(struct worker *w, size_t len);
/* All that it will ever emit has been consumed; its result may still be on the way. */
bool worker_output_ended(const struct worker *w);

/* Until it has answered: what is left then is its exit, which takes no core. */
bool worker_busy(const struct worker *w);

/* 0 with *out, ERR_REFUSED etc. from the worker, or 1 while it still works. */
int worker_result(struct worker *w, struct worker_result *out, struct err *err) MUST_CHECK;

/*
 * What a worker that unpacks has left to the parent, once worker_result() is good: deferred_apply()
 * makes the directory complete. Valid until worker_free().
 */
const struct deferred *worker_deferred(const struct worker *w);

#endif
