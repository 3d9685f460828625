/* Whether the instance is to serve: what came last counts. */
#include "table.h"

#include "agent/lifecycle.h"

#define IN "InService"
#define NOTICE "{\"action\":\"terminate\",\"time\":\"2026-01-02T03:04:05Z\"}"

enum event { HEARD, USR1, USR2, STATE, SPOT };

static const struct row {
	const char *name;
	struct {
		enum event event;
		const char *text;
	} events[5];
	size_t n;
	enum lifecycle_duty duty;
	const char *reason; /* part of it */
} rows[] = {
	{ "nobody has said anything", { { STATE, NULL }, { SPOT, NULL } }, 2, LIFECYCLE_UNKNOWN, "" },
	{ "and nobody will", { { STATE, NULL }, { SPOT, NULL }, { HEARD, NULL } }, 3, LIFECYCLE_SERVING, "" },
	{ "in service", { { STATE, IN }, { HEARD, NULL } }, 2, LIFECYCLE_SERVING, "" },
	{ "scaled in", { { STATE, IN }, { STATE, "Terminated" } }, 2, LIFECYCLE_LEAVING, "Terminated" },
	{ "scaled in before berth started", { { STATE, "Terminated" }, { HEARD, NULL } }, 2, LIFECYCLE_LEAVING,
	  "Terminated" },
	{ "detached", { { STATE, IN }, { STATE, "Detached" } }, 2, LIFECYCLE_LEAVING, "Detached" },
	{ "standby and back", { { STATE, IN }, { STATE, "Standby" }, { STATE, IN } }, 3, LIFECYCLE_SERVING, "" },
	{ "a warm pool", { { STATE, "Warmed:Stopped" }, { HEARD, NULL } }, 2, LIFECYCLE_PREPARING, "Warmed:Stopped" },
	{ "out of it", { { STATE, "Warmed:Running" }, { STATE, IN } }, 2, LIFECYCLE_SERVING, "" },
	{ "back into it", { { STATE, IN }, { STATE, "Warmed:Hibernated" } }, 2, LIFECYCLE_LEAVING,
	  "Warmed:Hibernated" },
	{ "removed from it", { { STATE, "Warmed:Stopped" }, { STATE, "Warmed:Terminated" } }, 2,
	  LIFECYCLE_LEAVING, "Warmed" },
	{ "a word of the future", { { STATE, IN }, { STATE, "Levitating" } }, 2, LIFECYCLE_SERVING, "" },
	{ "a spot notice", { { STATE, IN }, { SPOT, NOTICE } }, 2, LIFECYCLE_LEAVING, "terminate" },
	{ "a signal", { { HEARD, NULL }, { USR1, NULL } }, 2, LIFECYCLE_LEAVING, "SIGUSR1" },
	{ "the other signal", { { HEARD, NULL }, { USR1, NULL }, { USR2, NULL } }, 3, LIFECYCLE_SERVING, "" },
	{ "a state that stays does not undo a signal", { { STATE, IN }, { USR1, NULL }, { STATE, IN } }, 3,
	  LIFECYCLE_LEAVING, "SIGUSR1" },
	{ "a signal overrules a state that stays", { { STATE, "Terminated" }, { USR2, NULL }, { STATE, "Terminated" } },
	  3, LIFECYCLE_SERVING, "" },
	{ "and a notice that stays", { { SPOT, NOTICE }, { USR2, NULL }, { SPOT, NOTICE } }, 3, LIFECYCLE_SERVING, "" },
};

static bool happen(struct lifecycle *l, enum event event, const char *text)
{
	switch (event) {
	case HEARD:
		return lifecycle_heard(l);
	case USR1:
		return lifecycle_leave(l, "SIGUSR1");
	case USR2:
		return lifecycle_serve(l);
	case STATE:
		return lifecycle_target_state(l, text);
	case SPOT:
		return lifecycle_spot_action(l, text);
	}
	return false;
}

static void what_came_last_counts(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct lifecycle l = { 0 };
		for (size_t k = 0; k < rows[i].n; k++) {
			enum lifecycle_duty before = l.duty;
			bool changed = happen(&l, rows[i].events[k].event, rows[i].events[k].text);
			row_int(rows[i].name, "changed", l.duty != before, changed);
		}
		row_int(rows[i].name, "duty", rows[i].duty, l.duty);
		if (!strstr(l.reason, rows[i].reason) || (*l.reason && !*rows[i].reason))
			row_str(rows[i].name, "reason", rows[i].reason, l.reason);
	}
	table_end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_came_last_counts),
	};

	return cmocka_run_group_tests_name("lifecycle", tests, NULL, NULL);
}
