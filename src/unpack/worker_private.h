/* Private to worker*.c and their tests: what parent and child say to each other. */
#ifndef BERTH_UNPACK_WORKER_PRIVATE_H
#define BERTH_UNPACK_WORKER_PRIVATE_H

#include "unpack/worker.h"
#include "unpack/zygote_private.h"

/* Descriptors of the child. */
#define WORKER_DATA_FD 0
#define WORKER_RESULT_FD 1
#define WORKER_OUTPUT_FD 2 /* of one that emits */
#define WORKER_ROOT_FD 3   /* of one that unpacks */

#define WORKER_RECORD_MAGIC 0x4b524f57u
#define WORKER_MESSAGE_BYTES 256

/*
 * All that a child ever says, once, but for the list that follows (deferred.h). The child may have
 * been taken over by its input: the parent believes no field unchecked.
 */
struct worker_record {
	uint32_t magic;
	uint32_t kind; /* enum err_kind; ERR_NONE: the rest is the result */
	int64_t size_bytes;
	uint8_t diff_id[SHA256_BYTES];
	uint32_t deferred_bytes;
	char message[WORKER_MESSAGE_BYTES];
};

/* A child and the parent's ends of its pipes. */
struct worker_pipes {
	int data_fd;   /* written by the parent, non-blocking */
	int result_fd; /* read by the parent, non-blocking */
	int output_fd; /* the same; -1: it does not emit */
};

/* WORKER_STALL_MS; tests have less patience. */
extern int64_t worker_stall_ms;

/* Has the zygote fork a worker. */
int worker_spawn(struct zygote *zygote, const struct worker_options *options, zygote_ended_fn *ended, void *arg,
		 struct worker_pipes *pipes, struct zygote_child **out, struct err *err) MUST_CHECK;

/* What the child's record (len bytes of it came) and wait status mean: 0 with *out, or -1. Pure. */
int worker_judge(const struct worker_record *record, size_t len, int wait_status, struct worker_result *out,
		 struct err *err) MUST_CHECK;

/* A zygote's life: warms up what each worker needs, then lets each child do run(). */
int worker_main_running(int argc, char **argv, zygote_run_fn *run);
/* A worker's life. Does not return. */
void worker_run(const struct zygote_order *order, const struct jail *jail);

/*
 * The child's work when it unpacks: enters the jail, then inflates what comes on WORKER_DATA_FD in
 * one thread, hashes and writes in another. What is left to the parent goes to *deferred.
 */
int worker_unpack(const struct zygote_order *order, const struct jail *jail, struct deferred *deferred,
		  struct worker_result *out, struct err *err) MUST_CHECK;

/* Reads WORKER_DATA_FD to its end through the decoder. */
int worker_inflate(struct inflate *x, inflate_sink_fn *sink, void *arg, struct err *err) MUST_CHECK;
#endif
