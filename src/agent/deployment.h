/*
 * The phases of `berth up`: Docker → container → image → start → probe, and then the app's
 * life. What happens is told on the board, to systemd, in the log and in RUN_DIR/NAME.json.
 */
#ifndef BERTH_AGENT_DEPLOYMENT_H
#define BERTH_AGENT_DEPLOYMENT_H

#include "agent/acquire.h"
#include "agent/board.h"
#include "agent/context.h"
#include "agent/drain.h"
#include "agent/lifecycle.h"
#include "agent/lock.h"
#include "agent/probe.h"
#include "agent/readiness.h"
#include "agent/redeploy.h"
#include "engine/container.h"

/* Labels of the containers that berth makes. They hold only what never changes. */
#define LABEL_NAME "io.berth.name"
#define LABEL_IMAGE "io.berth.image"
#define LABEL_DIGEST "io.berth.digest"
#define LABEL_CONFIG "io.berth.config"
#define LABEL_GENERATION "io.berth.generation"
#define LABEL_PROBE "io.berth.probe"     /* as --probe: what asks whether it is ready */
#define LABEL_PUBLISH "io.berth.publish" /* as --publish: reached through the switch; without: by Docker */
#define LABEL_RESTART "io.berth.restart" /* as --restart: a container that does not serve has the policy `no` */

#define DOCKER_PATIENCE_MS 300000  /* the socket of a booting instance */
#define FAILED_LINGER_MS 60000     /* --on-failure exit: how long /healthz says so first */
#define RETRY_FIRST_MS 1000
#define RETRY_MAX_MS 30000

struct switch_table;

struct deployment {
	struct context *context;
	struct board *board; /* NULL: this process does not serve, it visits */
	struct progress *progress;
	struct snapshot snapshot; /* as told: `status` and `reason` below, unless `lifecycle` says otherwise */
	enum board_status status; /* of the app */
	char reason[512];
	struct lifecycle lifecycle;
	struct drain drain; /* while the lifecycle is LEAVING */
	bool retold;        /* the lifecycle has changed: look at once */

	struct reference ref;
	char *image;       /* fully qualified, as asked: the label */
	char *name;        /* of the serving container */
	char *next, *prev; /* NAME-next, NAME-prev */
	struct container_spec spec;
	char config_hash[SHA256_HEX_SIZE];
	struct probe probe;
	bool probe_given;
	struct readiness readiness;
	struct pull_rest *rest; /* of the image, for when the app is ready; NULL: none */
	bool failure_shown; /* the endpoint has said `failed` for its time */
	char *status_path; /* RUN_DIR/NAME.json */
	int lock_fd;         /* of NAME.lock: who serves */
	struct deploy_lock deploying; /* who changes containers */
	struct switch_table *table;   /* where clients are led */
	bool served;         /* a container of this service has been followed: others may replace it from now on */
	bool prev_runs;      /* generation_find() has seen NAME-prev run: it is to be drained and stopped */
	struct redeploy redeploy; /* these options are not what serves: a child carries them out */
};

/*
 * Reads and checks all options, without network: ERR_USAGE, ERR_CONFIG. Takes the lock of
 * RUN_DIR/NAME.lock: ERR_CONFLICT when another `berth up` serves that name. board and context are borrowed.
 */
int deployment_open(struct deployment *d, struct context *c, struct board *board, struct err *err) MUST_CHECK;
/*
 * The same for a command that comes and goes beside a running `berth up`: no board, no NAME.lock. With a name the
 * other options of the container are not read, and image, ref and spec stay empty.
 */
int deployment_open_visit(struct deployment *d, struct context *c, const char *name, struct err *err) MUST_CHECK;
void deployment_close(struct deployment *d);

/*
 * Runs until berth is told to stop (ERR_CANCELLED) or a permanent failure has been shown long
 * enough. Temporary failures are retried for ever.
 */
int deployment_run(struct deployment *d, struct err *err) MUST_CHECK;

/* --stop-on-exit: 503 "draining" until drain_look() says that it is over, then the container is stopped. (drain.c) */
int deployment_drain(struct deployment *d, struct err *err) MUST_CHECK;

/*
 * To a child, for REDEPLOY_ARGV0 (which carries out these options, unattended: rollout.h) or REDEPLOY_MEND_ARGV0, while
 * this process follows what is there. It waits for the lock.
 */
int deployment_hand_over(struct deployment *d, const char *argv0, struct err *err) MUST_CHECK;

/*
 * These options have been carried out, and whatever else serves since then is what somebody has asked for: a restart of
 * berth leaves it alone. Noting it is best effort: what is lost with state.json is that.
 */
void deployment_note_wanted(struct deployment *d);
bool deployment_is_wanted(const struct deployment *d);

/* Tells everybody, where there is a board: status, phase ("" keeps it) and reason (printf; NULL: none). */
void deployment_tell(struct deployment *d, enum board_status status, const char *phase, const char *reason, ...)
	PRINTF_LIKE(4, 5);
/* The same again, after a change of the lifecycle. */
void deployment_retell(struct deployment *d);

#endif
