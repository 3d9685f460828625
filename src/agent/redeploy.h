/*
 * `berth up` whose options are not those of the container that serves: another berth, its child,
 * carries them out as `berth deploy` does, while this one follows what is there, and answers for
 * it. One piece of code replaces containers, and nothing of it can hold up a probe.
 */
#ifndef BERTH_AGENT_REDEPLOY_H
#define BERTH_AGENT_REDEPLOY_H

#include <sys/types.h>

#include "net/loop.h"

/* argv[0] of the child, what it is for; behind it come "up" and the arguments of `berth up`. */
#define REDEPLOY_ARGV0 "berth-redeploy"
#define REDEPLOY_MEND_ARGV0 "berth-mend" /* what a death has left is ended, and nothing else */

enum redeploy_state {
	REDEPLOY_NONE,   /* nothing to do */
	REDEPLOY_WAITS,  /* for its next attempt, after a temporary failure */
	REDEPLOY_RUNS,
	REDEPLOY_DONE,   /* the options are carried out, or somebody has asked for something else since */
	REDEPLOY_FAILED, /* for good; the child has said why */
};

struct redeploy {
	struct loop *loop;  /* borrowed */
	const char *argv0;  /* static */
	char **arguments;   /* behind the command's name, NULL at the end; borrowed */
	enum redeploy_state state;
	pid_t pid;
	int pid_fd;
	struct loop_watch *watch;
	int64_t delay_ms, again_ms; /* of the next attempt; again_ms of clock_mono_ms() */
};

#define REDEPLOY_INIT ((struct redeploy){ .pid_fd = -1 })

/*
 * Starts the child; one that runs, or is to run again, will do: whatever it is for, it mends first.
 */
int redeploy_start(struct redeploy *r, struct loop *loop, const char *argv0, char **arguments,
		   struct err *err) MUST_CHECK;

/*
 * How it stands; DONE and FAILED once, NONE after that. A temporary failure (exit code 75, or a
 * signal) is tried again here, with longer and longer pauses, for as long as this is asked.
 */
enum redeploy_state redeploy_look(struct redeploy *r);

/*
 * Asks it to stop, and waits until it has put things right, or for REDEPLOY_STOP_MS. Not from
 * callbacks.
 */
void redeploy_stop(struct redeploy *r);
#define REDEPLOY_STOP_MS 10000

/* First thing of the child: the end of its parent is a SIGTERM for it. */
void redeploy_be_child(void);

#endif
