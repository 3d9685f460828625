/* Rounds of work: when one is done, and when none is. */
#include "table.h"

#include "agent/rounds.h"

struct job {
	struct rounds rounds;
	int works, afters, depth, deepest;
	int events_inside; /* so many rounds cause an event of their own */
	int fail_at;       /* the number of the round that fails; 0: none */
};

static int work(void *arg)
{
	struct job *j = arg;

	j->works++;
	if (++j->depth > j->deepest)
		j->deepest = j->depth;
	if (j->events_inside-- > 0)
		rounds_blob_event(&j->rounds, 0);
	j->depth--;
	return j->works == j->fail_at ? -1 : 0;
}

static void after(void *arg)
{
	struct job *j = arg;

	j->afters++;
}

static const struct {
	const char *name;
	int events_before, events_inside, fail_at, events_behind;
	int works, afters;
	bool failed;
} rows[] = {
	{ "the start is a round", 0, 0, 0, 0, 1, 1, false },
	{ "what came before it makes none", 3, 0, 0, 0, 1, 1, false },
	{ "each event is a round", 0, 0, 0, 2, 3, 3, false },
	{ "one inside waits for the next round", 0, 4, 0, 0, 5, 1, false },
	{ "a failure is the last round", 0, 4, 2, 3, 2, 1, true },
};

static void when_there_is_a_round(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct job j = { .events_inside = rows[i].events_inside, .fail_at = rows[i].fail_at };
		j.rounds = (struct rounds){ .work = work, .after = after, .arg = &j };

		for (int k = 0; k < rows[i].events_before; k++)
			rounds_event(&j.rounds);
		row_int(rows[i].name, "rounds before the start", 0, j.works);
		rounds_start(&j.rounds);
		for (int k = 0; k < rows[i].events_behind; k++)
			rounds_event(&j.rounds);
		row_int(rows[i].name, "rounds", rows[i].works, j.works);
		row_int(rows[i].name, "deepest", 1, j.deepest);
		row_int(rows[i].name, "after", rows[i].afters, j.afters);
		row_int(rows[i].name, "failed", rows[i].failed, j.rounds.failed);
	}
	table_end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(when_there_is_a_round),
	};

	return cmocka_run_group_tests_name("rounds", tests, NULL, NULL);
}
