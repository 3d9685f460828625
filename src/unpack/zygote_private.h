/* Private to zygote*.c and their tests: what the two sides say to each other, in whole messages of a SOCK_SEQPACKET. */
#ifndef BERTH_UNPACK_ZYGOTE_PRIVATE_H
#define BERTH_UNPACK_ZYGOTE_PRIVATE_H

#include "unpack/jail.h"
#include "unpack/zygote.h"

/* The zygote's end; below are the places of a child's descriptors. */
#define ZYGOTE_CONTROL_FD ZYGOTE_FDS_MAX

enum zygote_wish { ZYGOTE_FORK, ZYGOTE_KILL };

/* To the zygote. The descriptors of ZYGOTE_FORK come along in the order of their places. */
struct zygote_message {
	uint32_t wish;
	uint32_t serial; /* the parent's name for the child */
	uint32_t format;
	uint32_t emit, unpack, bottom;
	uint32_t has_fd[ZYGOTE_FDS_MAX];
};

/* From it: a child has ended, or (error: an errno) could not be made. */
struct zygote_news {
	uint32_t serial;
	int32_t wait_status;
	int32_t error;
};

/* What is started: /proc/self/exe. Tests put a program there that does not exist. */
extern const char *zygote_program;

/* A child's life, in the child: its descriptors are in their places. Does not return. */
typedef void zygote_run_fn(const struct zygote_order *order, const struct jail *jail);
/*
 * The zygote's life, after what the caller has warmed up: forks a child for each order until the
 * parent is gone. Returns its exit status.
 */
int zygote_serve(const struct jail *jail, zygote_run_fn *run);
/*
 * First thing in a process started by zygote_start(): holds on to its parent and its descriptors.
 * -1: nobody started it.
 */
int zygote_begin(int argc, char **argv) MUST_CHECK;

/* Moves fds[i] to the number i; -1 closes that number. The rest stays as it is. -1: errno. */
int zygote_place_fds(int fds[ZYGOTE_FDS_MAX]) MUST_CHECK;

#endif
