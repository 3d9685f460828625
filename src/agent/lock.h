/*
 * RUN_DIR/deploying/NAME: held by whoever makes, replaces or removes containers of the service, one at a time, and
 * saying who. The kernel lets go of it when its holder dies; the file stays, and only tells that there was a death.
 */
#ifndef BERTH_AGENT_LOCK_H
#define BERTH_AGENT_LOCK_H

#include "base/err.h"
#include "net/loop.h"

struct deploy_lock {
	int fd;     /* -1: not held */
	char *path; /* NULL: not opened */
	bool abandoned; /* held: who had it before died with it. A reboot forgets that */
};

#define DEPLOY_LOCK_NONE ((struct deploy_lock){ .fd = -1 })
#define DEPLOY_LOCK_POLL_MS 100

/* Names the lock, makes its directory. The name is that of a container. */
int deploy_lock_open(struct deploy_lock *l, const char *run_dir, const char *name, struct err *err) MUST_CHECK;
void deploy_lock_close(struct deploy_lock *l);

/*
 * Takes it as `what` ("berth deploy"). Held by another: waits on the loop, having said who holds it, or without
 * `wait` ERR_CONFLICT (retryable) with that. Holding it already is success.
 */
int deploy_lock_take(struct deploy_lock *l, const char *what, bool wait, struct loop *loop, struct err *err) MUST_CHECK;
void deploy_lock_release(struct deploy_lock *l);

/* Another process holds it. */
bool deploy_lock_is_others(const struct deploy_lock *l);

/* "berth deploy (pid 812, since 2026-01-02T03:04:05Z)", or "another berth" where that cannot be read; caller frees. */
char *deploy_lock_holder(const struct deploy_lock *l);

#endif
