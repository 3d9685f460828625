#include "agent/lifecycle.h"

#include "base/mem.h"
#include "base/text.h"

#define WARMED "Warmed:"

/* What the group's wish means; a state that is not here changes nothing. */
static const struct {
	const char *state;
	enum lifecycle_duty duty;
} states[] = {
	{ "InService", LIFECYCLE_SERVING },
	{ "Detached", LIFECYCLE_LEAVING },
	{ "Standby", LIFECYCLE_LEAVING },
	{ "Terminated", LIFECYCLE_LEAVING },
	{ WARMED "Terminated", LIFECYCLE_LEAVING },
	{ WARMED "Hibernated", LIFECYCLE_PREPARING },
	{ WARMED "Running", LIFECYCLE_PREPARING },
	{ WARMED "Stopped", LIFECYCLE_PREPARING },
};

static bool set(struct lifecycle *l, enum lifecycle_duty duty, const char *before, const char *what)
{
	bool changed = l->duty != duty;

	l->duty = duty;
	(void)snprintf(l->reason, sizeof l->reason, "%s%s", before, what);
	text_clean(l->reason);
	return changed;
}

bool lifecycle_leave(struct lifecycle *l, const char *why)
{
	return set(l, LIFECYCLE_LEAVING, "", why);
}

bool lifecycle_serve(struct lifecycle *l)
{
	return set(l, LIFECYCLE_SERVING, "", "");
}

/* Takes the text; whether it is another than before. */
static bool differs(char *kept, size_t size, const char *text)
{
	char now[128];

	(void)snprintf(now, sizeof now < size ? sizeof now : size, "%s", text ?: "");
	if (streq(now, kept))
		return false;
	(void)snprintf(kept, size, "%s", now);
	return *now;
}

bool lifecycle_target_state(struct lifecycle *l, const char *text)
{
	if (!differs(l->target_state, sizeof l->target_state, text))
		return false;
	for (size_t i = 0; i < ARRAY_LEN(states); i++) {
		if (!streq(states[i].state, l->target_state))
			continue;
		if (states[i].duty == LIFECYCLE_SERVING)
			return lifecycle_serve(l);
		/* One that has served goes back to the pool: its clients are to leave it first. */
		if (states[i].duty == LIFECYCLE_PREPARING && l->duty != LIFECYCLE_SERVING)
			return set(l, LIFECYCLE_PREPARING,
				   "the group keeps this instance in its warm pool: ",
				   l->target_state);
		return set(l, LIFECYCLE_LEAVING,
			   "the group's target state for this instance: ", l->target_state);
	}
	return false;
}

bool lifecycle_spot_action(struct lifecycle *l, const char *text)
{
	if (!differs(l->spot_action, sizeof l->spot_action, text))
		return false;
	return set(l, LIFECYCLE_LEAVING, "spot notice: ", l->spot_action);
}

bool lifecycle_heard(struct lifecycle *l)
{
	return l->duty == LIFECYCLE_UNKNOWN && lifecycle_serve(l);
}
