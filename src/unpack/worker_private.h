/* Private to worker*.c and their tests: what parent and child say to each other. */
#ifndef BERTH_UNPACK_WORKER_PRIVATE_H
#define BERTH_UNPACK_WORKER_PRIVATE_H

#include <sys/types.h>

#include "unpack/worker.h"

/* Descriptors of the child. */
#define WORKER_DATA_FD 0
#define WORKER_RESULT_FD 1
#define WORKER_OUTPUT_FD 2 /* of one that emits */

#define WORKER_RECORD_MAGIC 0x4b524f57u
#define WORKER_MESSAGE_BYTES 256

/*
 * All that a child ever says, once: smaller than PIPE_BUF, so one write, one read. The
 * child may have been taken over by its input: the parent believes no field unchecked.
 */
struct worker_record {
	uint32_t magic;
	uint32_t kind; /* enum err_kind; ERR_NONE: the rest is the result */
	int64_t size_bytes;
	uint8_t diff_id[SHA256_BYTES];
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
int worker_spawn(const char *program, enum inflate_format format, bool emit, struct worker_child *out,
		 struct err *err) MUST_CHECK;

/* What the child's record (len bytes of it came) and wait status mean: 0 with *out, or -1. Pure. */
int worker_judge(const struct worker_record *record, size_t len, int wait_status, struct worker_result *out,
		 struct err *err) MUST_CHECK;

#endif
