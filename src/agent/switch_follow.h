/* The process that listens: its listener follows every record of the switch, whoever wrote it. */
#ifndef BERTH_AGENT_SWITCH_FOLLOW_H
#define BERTH_AGENT_SWITCH_FOLLOW_H

#include "agent/switch_internal.h"

struct switch_follow;

/* Takes the place of the one that listens (ERR_CONFLICT) and follows what is there. paths is borrowed. */
int switch_follow_start(struct loop *loop, const struct switch_paths *paths, struct switch_follow **out,
			struct err *err) MUST_CHECK;
void switch_follow_stop(struct switch_follow *f); /* NULL is fine */

/* Follows now what inotify would tell in the next turn of the loop. */
void switch_follow_now(struct switch_follow *f);

#endif
