#include "oci/blob_plan.h"

static int64_t min64(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

static bool has_more(const struct plan_blob *b)
{
	return !b->over && b->asked < b->size;
}

static bool is_read(const struct plan *p, size_t i)
{
	return i == p->lowest || p->blobs[i].read;
}

/* Those that are read, and have more to ask for. */
static int64_t readers(const struct plan *p)
{
	int64_t n = 0;

	for (size_t i = p->lowest; i < p->n; i++)
		n += is_read(p, i) && has_more(&p->blobs[i]);
	return n;
}

/* Do others than those wait for their turn? What they hold goes to *held. */
static bool others(const struct plan *p, int64_t *held)
{
	bool any = false;

	*held = 0;
	for (size_t i = p->lowest; i < p->n; i++) {
		if (is_read(p, i))
			continue;
		any |= has_more(&p->blobs[i]);
		*held += p->blobs[i].held;
	}
	return any;
}

/* What blob i may hold at most, were it alone with its kind. */
static int64_t share(const struct plan *p, size_t i)
{
	int64_t n = readers(p), held_by_others;
	bool any_others = others(p, &held_by_others);

	if (is_read(p, i)) {
		int64_t bytes = (p->budget - (any_others ? PLAN_AHEAD_BYTES : 0)) / (n ? n : 1);
		return bytes > PLAN_WHOLE_MAX_BYTES ? bytes : PLAN_WHOLE_MAX_BYTES;
	}
	return n ? p->blobs[i].held + PLAN_AHEAD_BYTES - held_by_others : p->budget;
}

int64_t plan_room(const struct plan *p, size_t i)
{
	int64_t free_bytes = p->budget - p->held;

	if (i != p->lowest)
		free_bytes -= PLAN_LOWEST_SHARE_BYTES;
	return min64(free_bytes, share(p, i) - p->blobs[i].held);
}

static int64_t round_down(int64_t bytes)
{
	return bytes / PLAN_GRAIN_BYTES * PLAN_GRAIN_BYTES;
}

/* So long that all connections together fill the share: fewer requests where few connections are enough. */
static int64_t range_bytes(const struct plan *p, size_t i)
{
	int64_t len = round_down(share(p, i) / (int64_t)p->wanted);

	/* The head of what nobody reads yet: enough to know where it is, and for its reader to start with. */
	if (!is_read(p, i) && readers(p))
		len = PLAN_RANGE_MIN_BYTES;
	if (len < PLAN_RANGE_MIN_BYTES)
		len = PLAN_RANGE_MIN_BYTES;
	return min64(len, PLAN_RANGE_MAX_BYTES);
}

/* The length of blob i's next range; 0: not now. */
static int64_t next_of(const struct plan *p, size_t i)
{
	const struct plan_blob *b = &p->blobs[i];
	int64_t left = b->size - b->asked, room = plan_room(p, i), len;

	if (b->waits || !has_more(b))
		return 0;
	if (b->size <= PLAN_WHOLE_MAX_BYTES)
		return left <= room ? left : 0;
	len = range_bytes(p, i);
	if (left < len + PLAN_RANGE_MIN_BYTES && left <= PLAN_RANGE_MAX_BYTES)
		len = left; /* no request for crumbs */
	if (len <= room)
		return len;
	/* Waiting for room makes for long ranges; but not until there is nothing to read. */
	if (b->held > share(p, i) / 2)
		return 0;
	room = round_down(room);
	return room >= PLAN_GRAIN_BYTES && (room >= PLAN_RANGE_MIN_BYTES || i == p->lowest) ? room : 0;
}

bool plan_next(const struct plan *p, size_t *i, int64_t *len)
{
	if (p->connections >= p->wanted || p->held >= p->budget)
		return false;
	for (size_t k = p->lowest; k < p->n; k++) {
		int64_t bytes = next_of(p, k);
		if (bytes > 0) {
			*i = k;
			*len = bytes;
			return true;
		}
	}
	return false;
}

void plan_adapt(struct plan *p, bool starved, bool sated)
{
	if (starved && p->connections == p->wanted)
		p->wanted *= 2;
	else if (sated && !starved)
		p->wanted -= p->wanted / 4;
	if (p->wanted > p->connections_max)
		p->wanted = p->connections_max;
	if (p->wanted < PLAN_CONNECTIONS_MIN)
		p->wanted = PLAN_CONNECTIONS_MIN;
}
