/*
 * The process that workers are forked from. It is this program again (exec of /proc/self/exe, so
 * that it holds no secret of the parent's memory), warmed up and set apart once: no network, no
 * file system, few capabilities. A worker then costs a fork and what is its own alone, a fraction
 * of a millisecond instead of five. It never sees a byte of a layer. It dies with the parent, and
 * its workers die with it.
 */
#ifndef BERTH_UNPACK_ZYGOTE_H
#define BERTH_UNPACK_ZYGOTE_H

#include "net/loop.h"
#include "unpack/inflate.h"

/* argv[0] of a zygote; main() hands over to worker_main() when it sees it. */
#define ZYGOTE_ARGV0 "berth: unpack"

/* Descriptors that go along to a child; they become WORKER_DATA_FD and so on there. */
#define ZYGOTE_FDS_MAX 4

struct zygote;
struct zygote_child;

/* What a child is told. */
struct zygote_order {
	enum inflate_format format;
	bool emit, unpack, bottom; /* as in struct worker_options */
	int fds[ZYGOTE_FDS_MAX];   /* by the number that each gets in the child; -1: none. Borrowed */
};

/* Starts it; nothing is waited for. It is of use while the loop lives. */
int zygote_start(struct loop *loop, struct zygote **out, struct err *err) MUST_CHECK;
struct loop *zygote_loop(const struct zygote *z);
/*
 * Ends it and waits until it is gone, and with it whoever it has forked.
 * Its children must have been freed. NULL is fine.
 */
void zygote_free(struct zygote *z);

/* From the loop, once: the child has ended. One whose zygote died is said to have been killed. */
typedef void zygote_ended_fn(void *arg, int wait_status);
int zygote_fork(struct zygote *z, const struct zygote_order *order, zygote_ended_fn *ended, void *arg,
		struct zygote_child **out, struct err *err) MUST_CHECK;
/* Asks for its death; ended() follows. */
void zygote_kill(struct zygote_child *child);
/* Kills it if it still runs, waits until it is gone, and forgets it; ended() is not called any more. NULL is fine. */
void zygote_child_free(struct zygote_child *child);

#endif
