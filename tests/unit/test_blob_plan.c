/* Which range is asked for next: by rows, and by whole pulls with readers and arrivals of all kinds. */
#include "oci/blob_plan.h"
#include "table.h"

#define BUDGET ((int64_t)(32 * MIB))
#define M ((int64_t)MIB)

static struct plan plan_of(struct plan_blob *blobs, size_t n)
{
	return (struct plan){ .blobs = blobs,
			      .n = n,
			      .budget = BUDGET,
			      .wanted = PLAN_CONNECTIONS_FIRST,
			      .connections_max = 16 };
}

struct row {
	const char *name;
	struct plan_blob blobs[3];
	size_t lowest, wanted;
	int64_t want, want_len, want_window;
};

/* What is asked for of a few blobs that stand like this, several ranges of one at once; want -1: nothing. */
static const struct row parallel_rows[] = {
	{ "the first range fills its part", { { .size = 400 * M } }, 0, 8, 0, 4 * M, 4 * M },
	{ "few connections, long ranges", { { .size = 400 * M } }, 0, 2, 0, 16 * M, 16 * M },
	{ "never longer than that", { { .size = 400 * M } }, 0, 1, 0, 16 * M, 16 * M },
	{ "many connections, short ranges", { { .size = 400 * M } }, 0, 16, 0, 2 * M, 2 * M },
	{ "a small one whole", { { .size = 3 * M } }, 0, 16, 0, 3 * M, 3 * M },
	{ "one byte", { { .size = 1 } }, 0, 16, 0, 1, 1 },
	{ "no crumbs left over", { { .size = 100 * M, .asked = 97 * M + 1 } }, 0, 16, 0, 3 * M - 1, 3 * M - 1 },
	{ "nothing while the first answer is out", { { .size = 9 * M, .asked = M, .held = M, .waits = true } },
	  0, 8, -1, 0, 0 },
	{ "the head of the next meanwhile",
	  { { .size = 99 * M, .asked = 4 * M, .held = 4 * M, .waits = true }, { .size = 99 * M } },
	  0, 8, 1, M, M },
	{ "all of it if it is small",
	  { { .size = 99 * M, .asked = 4 * M, .held = 4 * M, .waits = true }, { .size = 4 * M } },
	  0, 8, 1, 4 * M, 4 * M },
	{ "not too much ahead",
	  { { .size = 99 * M, .asked = 4 * M, .held = 4 * M, .waits = true },
	    { .size = 99 * M, .asked = 8 * M, .held = 8 * M } },
	  0, 8, -1, 0, 0 },
	{ "far ahead once the lowest has asked for all",
	  { { .size = 4 * M, .asked = 4 * M, .held = 4 * M }, { .size = 99 * M, .asked = 8 * M, .held = 8 * M } },
	  0, 8, 1, 4 * M, 4 * M },
	{ "two readers share",
	  { { .size = 99 * M, .asked = 16 * M, .held = 16 * M, .read = true }, { .size = 99 * M, .read = true } },
	  0, 8, 1, 2 * M, 2 * M },
	{ "wait for room while there is much to read",
	  { { .size = 99 * M, .asked = 30 * M, .held = 30 * M } }, 0, 8, -1, 0, 0 },
	{ "what room there is when there is little to read",
	  { { .size = 99 * M, .asked = 7 * M, .held = 7 * M, .read = true },
	    { .size = 99 * M, .read = true, .held = 23 * M } },
	  0, 4, 0, 2 * M, 2 * M },
	{ "the share of the lowest is nobody else's",
	  { { .size = 99 * M, .waits = true, .asked = 9 * M },
	    { .size = 99 * M, .read = true, .asked = 28 * M, .held = 28 * M } },
	  0, 8, -1, 0, 0 },
	{ "and is enough for any that comes whole",
	  { { .size = 4 * M }, { .size = 99 * M, .read = true, .asked = 28 * M, .held = 28 * M } },
	  0, 8, 0, 4 * M, 4 * M },
	{ "what is over is passed by", { { .size = 9 * M, .over = true }, { .size = M } }, 0, 8, 1, M, M },
	{ "nothing below the lowest", { { .size = 9 * M }, { .size = M } }, 1, 8, 1, M, M },
	{ "all asked for", { { .size = 9 * M, .asked = 9 * M } }, 0, 8, -1, 0, 0 },
};

/* And while one connection is enough for each. */
static const struct row flowing_rows[] = {
	{ "all of the lowest", { { .size = 400 * M } }, 0, 6, 0, 400 * M, 2 * M },
	{ "one connection for each", { { .size = 400 * M, .connections = 1 } }, 0, 6, -1, 0, 0 },
	{ "the head of what nobody reads",
	  { { .size = 99 * M, .asked = 9 * M, .held = 2 * M, .connections = 1 }, { .size = 99 * M } },
	  0, 6, 1, M, M },
	{ "a longer one when all that is read is asked for",
	  { { .size = 99 * M, .asked = 99 * M, .held = 2 * M }, { .size = 99 * M } },
	  0, 8, 1, 4 * M, 4 * M },
	{ "but not while it is on its way",
	  { { .size = 99 * M, .asked = 99 * M, .held = 2 * M, .connections = 1 }, { .size = 99 * M } },
	  0, 8, 1, M, M },
	{ "a whole window where there is much to read meanwhile",
	  { { .size = 99 * M, .asked = 39 * M, .held = 31 * M } }, 0, 6, -1, 0, 0 },
	{ "and no more of it",
	  { { .size = 99 * M, .asked = 9 * M, .held = 2 * M, .connections = 1 },
	    { .size = 99 * M, .asked = M, .held = M } },
	  0, 6, -1, 0, 0 },
	{ "the rest of it for its reader",
	  { { .size = 99 * M, .asked = 99 * M, .held = 2 * M, .connections = 1 },
	    { .size = 99 * M, .asked = M, .read = true } },
	  0, 6, 1, 98 * M, 2 * M },
	{ "a small one whole", { { .size = 4 * M } }, 0, 6, 0, 4 * M, 4 * M },
	{ "no window beyond the end", { { .size = 5 * M, .asked = 4 * M } }, 0, 6, 0, M, M },
	{ "a small window where there is little room",
	  { { .size = 99 * M, .asked = 9 * M }, { .size = 99 * M, .held = 31 * M, .asked = 99 * M, .read = true } },
	  0, 6, 0, 90 * M, M },
	{ "none for others than the lowest below that",
	  { { .size = 99 * M, .waits = true }, { .size = 99 * M, .read = true },
	    { .size = 99 * M, .held = 28 * M - 1 } },
	  0, 6, -1, 0, 0 },
};

static void check_row(const struct row *row, bool parallel)
{
	struct plan_blob blobs[3];
	struct plan_range out = { 0 };

	memcpy(blobs, row->blobs, sizeof blobs);
	struct plan p = plan_of(blobs, 3);
	p.lowest = row->lowest;
	p.wanted = row->wanted;
	p.parallel = parallel;
	for (size_t b = 0; b < 3; b++)
		p.held += blobs[b].held;
	bool any = plan_next(&p, &out);
	row_int(row->name, "blob", row->want, any ? (int64_t)out.i : -1);
	row_int(row->name, "length", row->want_len, any ? out.len : 0);
	row_int(row->name, "window", row->want_window, any ? out.window : 0);
}

static void test_rows(void **state)
{
	(void)state;
	for (size_t k = 0; k < ARRAY_LEN(parallel_rows); k++)
		check_row(&parallel_rows[k], true);
	for (size_t k = 0; k < ARRAY_LEN(flowing_rows); k++)
		check_row(&flowing_rows[k], false);
	table_end();
}

static void test_connections(void **state)
{
	struct plan_blob blob = { .size = 400 * M };
	struct plan p = plan_of(&blob, 1);
	struct plan_range out;

	(void)state;
	p.connections = p.wanted;
	assert_true(plan_next(&p, &out)); /* the lowest has none yet */
	blob.connections = 1;
	assert_false(plan_next(&p, &out));
	assert_false(plan_adapt(&p, true, true, false));
	assert_int_equal(p.wanted, 2 * PLAN_CONNECTIONS_FIRST);
	assert_true(plan_adapt(&p, true, true, false)); /* not all that may be in use are */
	assert_int_equal(p.wanted, 2 * PLAN_CONNECTIONS_FIRST);
	p.connections = p.wanted;
	assert_false(plan_adapt(&p, true, true, true));
	assert_int_equal(p.wanted, 16);
	assert_true(p.parallel);
	for (int k = 0; k < 20; k++)
		assert_false(plan_adapt(&p, false, false, true));
	assert_true(p.wanted >= PLAN_CONNECTIONS_MIN && p.wanted < PLAN_CONNECTIONS_FIRST);
	assert_false(p.parallel);
	/* One look may deceive. */
	for (int k = 0; k < 20; k++)
		assert_false(plan_adapt(&p, true, k % 2, false));
	assert_false(p.parallel);
}

/* A pull in small: ranges on their way, bytes that have arrived, and readers. */
#define BLOBS 7
#define RANGES 16

struct flight {
	bool used;
	size_t i;
	int64_t at, end, held_to; /* the next byte to come; one that flows ends behind its window */
};

struct sim {
	struct plan_blob blobs[BLOBS];
	struct plan p;
	struct flight flights[RANGES];
	int64_t read[BLOBS];
	bool here[BLOBS][400]; /* by grain */
	uint32_t seed;
	bool in_order; /* one reader, lowest first; else two */
};

static uint32_t any(struct sim *s, uint32_t limit)
{
	s->seed = s->seed * 1664525 + 1013904223;
	return (s->seed >> 8) % limit;
}

static void ask(struct sim *s)
{
	struct plan_range next;

	while (plan_next(&s->p, &next)) {
		struct plan_blob *b = &s->blobs[next.i];
		size_t k = 0;
		while (s->flights[k].used)
			k++;
		s->flights[k] = (struct flight){ true, next.i, b->asked, b->asked + next.len, b->asked + next.window };
		b->waits = b->asked == 0;
		b->asked += next.len;
		b->held += next.window;
		b->connections++;
		s->p.held += next.window;
		s->p.connections++;
		assert_true(next.window > 0 && next.window <= PLAN_RANGE_MAX_BYTES && b->asked <= b->size);
		assert_true(next.len == next.window || (!s->p.parallel && next.window <= PLAN_WINDOW_BYTES));
		assert_true(s->p.held <= BUDGET);
		assert_true(s->p.connections <= s->p.wanted || next.i == s->p.lowest);
		assert_true(s->p.connections <= s->p.connections_max);
	}
}

static void land(struct sim *s, struct flight *f)
{
	f->used = false;
	s->blobs[f->i].connections--;
	s->p.connections--;
}

/* All that has room arrives. */
static bool arrive(struct sim *s)
{
	size_t start = any(s, RANGES);

	for (size_t k = 0; k < RANGES; k++) {
		struct flight *f = &s->flights[(start + k) % RANGES];
		if (!f->used || f->at == f->held_to)
			continue;
		for (; f->at < f->held_to; f->at += PLAN_GRAIN_BYTES)
			s->here[f->i][f->at / PLAN_GRAIN_BYTES] = true;
		f->at = f->held_to;
		s->blobs[f->i].waits = false;
		if (f->at == f->end)
			land(s, f);
		return true;
	}
	return false;
}

static void hold(struct sim *s, size_t i, int64_t more)
{
	s->blobs[i].held += more;
	s->p.held += more;
}

static void move_window(struct sim *s, size_t i, int64_t len)
{
	for (size_t k = 0; k < RANGES; k++) {
		struct flight *f = &s->flights[k];
		if (!f->used || f->i != i || f->held_to == f->end)
			continue;
		if (len > f->end - f->held_to)
			len = f->end - f->held_to;
		f->held_to += len;
		hold(s, i, len);
	}
}

static void cut(struct sim *s)
{
	for (size_t k = 0; k < RANGES; k++) {
		struct flight *f = &s->flights[k];
		if (!f->used || f->end - f->held_to < PLAN_RANGE_MIN_BYTES)
			continue;
		f->end = s->blobs[f->i].asked = f->held_to;
		if (f->at == f->end)
			land(s, f);
	}
}

static bool read_grain(struct sim *s, size_t i)
{
	struct plan_blob *b = &s->blobs[i];
	int64_t len = b->size - s->read[i] < PLAN_GRAIN_BYTES ? b->size - s->read[i] : PLAN_GRAIN_BYTES;

	if (!len || !s->here[i][s->read[i] / PLAN_GRAIN_BYTES])
		return false;
	b->read = true;
	s->read[i] += len;
	hold(s, i, -len);
	move_window(s, i, len);
	while (s->p.lowest < BLOBS && s->read[s->p.lowest] == s->blobs[s->p.lowest].size)
		s->blobs[s->p.lowest++].over = true;
	return true;
}

static bool read_some(struct sim *s)
{
	size_t lanes = s->in_order ? 1 : 2, lane = any(s, 2);
	bool moved = false;

	for (size_t i = s->p.lowest; i < BLOBS && lanes; i++) {
		if (s->read[i] == s->blobs[i].size)
			continue;
		lanes--;
		if (s->in_order || lanes == lane)
			moved |= read_grain(s, i);
	}
	return moved;
}

static void pull(uint32_t seed, bool in_order)
{
	struct sim *s = xcalloc(1, sizeof *s);
	int idle = 0;

	s->seed = seed;
	s->in_order = in_order;
	for (size_t i = 0; i < BLOBS; i++)
		s->blobs[i].size = 1 + (int64_t)any(s, (any(s, 4) ? 90 : 5) * 1024 * 1024);
	s->p = plan_of(s->blobs, BLOBS);
	/* Mostly arrivals, or mostly reading: either may be the slow part. */
	uint32_t arrivals = 1 + any(s, 99);
	while (s->p.lowest < BLOBS) {
		ask(s);
		bool moved = any(s, 100) < arrivals ? arrive(s) : read_some(s);
		idle = moved ? 0 : idle + 1;
		assert_true(idle < 10000);
		if (!any(s, 50))
			if (plan_adapt(&s->p, any(s, 2), any(s, 2), any(s, 2)))
				cut(s);
	}
	assert_int_equal(s->p.held, 0);
	assert_int_equal(s->p.connections, 0);
	free(s);
}

static void test_pulls(void **state)
{
	(void)state;
	for (uint32_t seed = 1; seed <= 200; seed++)
		pull(seed, seed % 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_connections),
		cmocka_unit_test(test_pulls),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
