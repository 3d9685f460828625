/* Which range is asked for next: by rows, and by whole pulls with readers and arrivals of all kinds. */
#include "oci/blob_plan.h"
#include "table.h"

#define BUDGET ((int64_t)(32 * MIB))
#define M ((int64_t)MIB)

static struct plan plan_of(struct plan_blob *blobs, size_t n)
{
	return (struct plan){ .blobs = blobs, .n = n, .budget = BUDGET, .wanted = PLAN_CONNECTIONS_FIRST, .connections_max = 16 };
}

/* What is asked for of a few blobs that stand like this; want -1: nothing. */
static const struct {
	const char *name;
	struct plan_blob blobs[3];
	size_t lowest, wanted;
	int64_t want, want_len;
} rows[] = {
	{ "the first range fills its part", { { .size = 400 * M } }, 0, 8, 0, 4 * M },
	{ "few connections, long ranges", { { .size = 400 * M } }, 0, 2, 0, 16 * M },
	{ "never longer than that", { { .size = 400 * M } }, 0, 1, 0, 16 * M },
	{ "many connections, short ranges", { { .size = 400 * M } }, 0, 16, 0, 2 * M },
	{ "a small one whole", { { .size = 3 * M } }, 0, 16, 0, 3 * M },
	{ "one byte", { { .size = 1 } }, 0, 16, 0, 1 },
	{ "no crumbs left over", { { .size = 100 * M, .asked = 97 * M + 1 } }, 0, 16, 0, 3 * M - 1 },
	{ "nothing while the first answer is out", { { .size = 9 * M, .asked = M, .held = M, .waits = true } }, 0, 8, -1, 0 },
	{ "the head of the next meanwhile",
	  { { .size = 99 * M, .asked = 4 * M, .held = 4 * M, .waits = true }, { .size = 99 * M } },
	  0, 8, 1, M },
	{ "all of it if it is small",
	  { { .size = 99 * M, .asked = 4 * M, .held = 4 * M, .waits = true }, { .size = 4 * M } },
	  0, 8, 1, 4 * M },
	{ "not too much ahead",
	  { { .size = 99 * M, .asked = 4 * M, .held = 4 * M, .waits = true }, { .size = 99 * M, .asked = 8 * M, .held = 8 * M } },
	  0, 8, -1, 0 },
	{ "far ahead once the lowest has asked for all",
	  { { .size = 4 * M, .asked = 4 * M, .held = 4 * M }, { .size = 99 * M, .asked = 8 * M, .held = 8 * M } },
	  0, 8, 1, 4 * M },
	{ "two readers share",
	  { { .size = 99 * M, .asked = 16 * M, .held = 16 * M, .read = true }, { .size = 99 * M, .read = true } },
	  0, 8, 1, 2 * M },
	{ "wait for room while there is much to read",
	  { { .size = 99 * M, .asked = 30 * M, .held = 30 * M } }, 0, 8, -1, 0 },
	{ "what room there is when there is little to read",
	  { { .size = 99 * M, .asked = 7 * M, .held = 7 * M, .read = true }, { .size = 99 * M, .read = true, .held = 23 * M } },
	  0, 4, 0, 2 * M },
	{ "the share of the lowest is nobody else's",
	  { { .size = 99 * M, .waits = true, .asked = 9 * M }, { .size = 99 * M, .read = true, .asked = 28 * M, .held = 28 * M } },
	  0, 8, -1, 0 },
	{ "and is enough for any that comes whole",
	  { { .size = 4 * M }, { .size = 99 * M, .read = true, .asked = 28 * M, .held = 28 * M } },
	  0, 8, 0, 4 * M },
	{ "what is over is passed by", { { .size = 9 * M, .over = true }, { .size = M } }, 0, 8, 1, M },
	{ "nothing below the lowest", { { .size = 9 * M }, { .size = M } }, 1, 8, 1, M },
	{ "all asked for", { { .size = 9 * M, .asked = 9 * M } }, 0, 8, -1, 0 },
};

static void test_rows(void **state)
{
	(void)state;
	for (size_t k = 0; k < ARRAY_LEN(rows); k++) {
		struct plan_blob blobs[3];
		size_t i = 99;
		int64_t len = 0;
		memcpy(blobs, rows[k].blobs, sizeof blobs);
		struct plan p = plan_of(blobs, 3);
		p.lowest = rows[k].lowest;
		p.wanted = rows[k].wanted;
		for (size_t b = 0; b < 3; b++)
			p.held += blobs[b].held;
		bool any = plan_next(&p, &i, &len);
		row_int(rows[k].name, "blob", rows[k].want, any ? (int64_t)i : -1);
		row_int(rows[k].name, "length", rows[k].want_len, len);
	}
	table_end();
}

static void test_connections(void **state)
{
	struct plan_blob blob = { .size = 400 * M };
	struct plan p = plan_of(&blob, 1);
	size_t i;
	int64_t len;

	(void)state;
	p.connections = p.wanted;
	assert_false(plan_next(&p, &i, &len));
	plan_adapt(&p, true, false);
	assert_int_equal(p.wanted, 2 * PLAN_CONNECTIONS_FIRST);
	plan_adapt(&p, true, false); /* not all that may be in use are */
	assert_int_equal(p.wanted, 2 * PLAN_CONNECTIONS_FIRST);
	p.connections = p.wanted;
	plan_adapt(&p, true, true);
	assert_int_equal(p.wanted, 16);
	for (int k = 0; k < 20; k++)
		plan_adapt(&p, false, true);
	assert_true(p.wanted >= PLAN_CONNECTIONS_MIN && p.wanted < PLAN_CONNECTIONS_FIRST);
}

/* A pull in small: ranges on their way, bytes that have arrived, and readers. */
#define BLOBS 7
#define RANGES 16

struct flight {
	bool used;
	size_t i;
	int64_t from, len;
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
	size_t i;
	int64_t len;

	while (plan_next(&s->p, &i, &len)) {
		struct plan_blob *b = &s->blobs[i];
		size_t k = 0;
		while (s->flights[k].used)
			k++;
		s->flights[k] = (struct flight){ true, i, b->asked, len };
		b->waits = b->asked == 0;
		b->asked += len;
		b->held += len;
		s->p.held += len;
		s->p.connections++;
		assert_true(len > 0 && len <= PLAN_RANGE_MAX_BYTES && b->asked <= b->size);
		assert_true(s->p.held <= BUDGET && s->p.connections <= s->p.wanted);
	}
}

static bool arrive(struct sim *s)
{
	size_t start = any(s, RANGES);

	for (size_t k = 0; k < RANGES; k++) {
		struct flight *f = &s->flights[(start + k) % RANGES];
		if (!f->used)
			continue;
		for (int64_t at = f->from; at < f->from + f->len; at += PLAN_GRAIN_BYTES)
			s->here[f->i][at / PLAN_GRAIN_BYTES] = true;
		s->blobs[f->i].waits = false;
		f->used = false;
		s->p.connections--;
		return true;
	}
	return false;
}

static bool read_grain(struct sim *s, size_t i)
{
	struct plan_blob *b = &s->blobs[i];
	int64_t len = b->size - s->read[i] < PLAN_GRAIN_BYTES ? b->size - s->read[i] : PLAN_GRAIN_BYTES;

	if (!len || !s->here[i][s->read[i] / PLAN_GRAIN_BYTES])
		return false;
	b->read = true;
	s->read[i] += len;
	b->held -= len;
	s->p.held -= len;
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
		s->blobs[i].size = any(s, 4) ? 1 + (int64_t)any(s, 90 * 1024 * 1024) : 1 + (int64_t)any(s, 5 * 1024 * 1024);
	s->p = plan_of(s->blobs, BLOBS);
	/* Mostly arrivals, or mostly reading: either may be the slow part. */
	uint32_t arrivals = 1 + any(s, 99);
	while (s->p.lowest < BLOBS) {
		ask(s);
		bool moved = any(s, 100) < arrivals ? arrive(s) : read_some(s);
		idle = moved ? 0 : idle + 1;
		assert_true(idle < 10000);
		if (!any(s, 50))
			plan_adapt(&s->p, any(s, 2), any(s, 2));
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
