/* Private to worker*.c and their tests: what parent and child say to each other. */
#ifndef BERTH_UNPACK_WORKER_PRIVATE_H
#define BERTH_UNPACK_WORKER_PRIVATE_H

#include <sys/types.h>

#include "unpack/worker.h"

/* Descriptors of the child. */
#define WORKER_DATA_FD 0
#define WORKER_RESULT_FD 1
#define WORKER_OUTPUT_FD 2 /* of one that emits */
#define WORKER_ROOT_FD 3   /* of one that unpacks */

#define WORKER_RECORD_MAGIC 0x4b524f57u
#define WORKER_MESSAGE_BYTES 256

/*
 * All that a child ever says, once, but for the list that follows (deferred.h). The child may have been taken over
 * by its input: the parent believes no field unchecked.
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
struct worker_child {
	pid_t pid;
	int data_fd;   /* written by the parent, non-blocking */
	int result_fd; /* read by the parent, non-blocking */
	int output_fd; /* the same; -1: it does not emit */
};

/* What is started: /proc/self/exe. Tests put a program that misbehaves here. */
extern const char *worker_program;
/* WORKER_STALL_MS; tests have less patience. */
extern int64_t worker_stall_ms;

/* Starts `program` as a worker, with an empty environment and no descriptor of ours. */
int worker_spawn(const char *program, const struct worker_options *options, struct worker_child *out,
		 struct err *err) MUST_CHECK;

/* What the child's record (len bytes of it came) and wait status mean: 0 with *out, or -1. Pure. */
int worker_judge(const struct worker_record *record, size_t len, int wait_status, struct worker_result *out,
		 struct err *err) MUST_CHECK;

/* What a child of the given kind is told, and tells itself: argv[1] is the format. */
struct worker_mode {
	const char *name; /* argv[3]; NULL: it only verifies */
	bool emit, unpack, bottom;
};
extern const struct worker_mode worker_modes[];
extern const size_t worker_n_modes;

/*
 * The child's work when it unpacks: enters the jail, then inflates what comes on WORKER_DATA_FD in one thread,
 * hashes and writes in another. What is left to the parent goes to *deferred.
 */
int worker_unpack(const struct worker_options *options, pid_t parent, struct deferred *deferred,
		  struct worker_result *out, struct err *err) MUST_CHECK;

/* Reads WORKER_DATA_FD to its end through the decoder. */
int worker_inflate(struct inflate *x, inflate_sink_fn *sink, void *arg, struct err *err) MUST_CHECK;
/* A death signal counts from the moment it was asked for: is the parent still there? */
int worker_check_parent(pid_t parent, struct err *err) MUST_CHECK;
/* OpenSSL looks for configuration and CPU features at first use: lets it, while it can. */
void worker_warm_up(struct sha256 *hash);

#endif
