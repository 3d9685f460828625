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

/* Who wants something. */
struct demand {
	int64_t readers;     /* that have more to ask for */
	bool others;         /* have more to ask for */
	int64_t others_held;
};

static struct demand demand_of(const struct plan *p)
{
	struct demand d = { 0 };

	for (size_t i = p->lowest; i < p->n; i++) {
		const struct plan_blob *b = &p->blobs[i];
		if (is_read(p, i)) {
			d.readers += has_more(b) || (b->connections && !p->parallel);
		} else {
			d.others |= has_more(b);
			d.others_held += b->held;
		}
	}
	return d;
}

/* What blob i may hold at most, were it alone with its kind. */
static int64_t share(const struct plan *p, const struct demand *d, size_t i)
{
	if (is_read(p, i)) {
		int64_t bytes = (p->budget - (d->others ? PLAN_AHEAD_BYTES : 0)) / (d->readers ? d->readers : 1);
		return bytes > PLAN_WHOLE_MAX_BYTES ? bytes : PLAN_WHOLE_MAX_BYTES;
	}
	return d->readers ? p->blobs[i].held + PLAN_AHEAD_BYTES - d->others_held : p->budget;
}

static int64_t room_of(const struct plan *p, const struct demand *d, size_t i)
{
	int64_t free_bytes = p->budget - p->held;

	if (i != p->lowest)
		free_bytes -= PLAN_LOWEST_SHARE_BYTES;
	return min64(free_bytes, share(p, d, i) - p->blobs[i].held);
}

int64_t plan_room(const struct plan *p, size_t i)
{
	const struct demand d = demand_of(p);

	return room_of(p, &d, i);
}

static int64_t round_down(int64_t bytes)
{
	return bytes / PLAN_GRAIN_BYTES * PLAN_GRAIN_BYTES;
}

/* So long that all connections together fill the share: fewer requests where few connections are enough. */
static int64_t range_bytes(const struct plan *p, const struct demand *d, size_t i)
{
	int64_t len = round_down(share(p, d, i) / (int64_t)p->wanted);

	/* The head of what nobody reads yet: enough to know where it is, and for its reader to start with. */
	if (!is_read(p, i) && d->readers)
		len = PLAN_RANGE_MIN_BYTES;
	if (len < PLAN_RANGE_MIN_BYTES)
		len = PLAN_RANGE_MIN_BYTES;
	return min64(len, PLAN_RANGE_MAX_BYTES);
}

/* All that is left, if one connection is enough. While there is plenty to read it waits for a whole window. */
static bool next_flows(const struct plan *p, int64_t left, int64_t room, size_t i, struct plan_range *out)
{
	int64_t window = min64(min64(round_down(room), PLAN_WINDOW_BYTES), left);

	if (window < min64(left, i == p->lowest ? PLAN_GRAIN_BYTES : PLAN_RANGE_MIN_BYTES))
		return false;
	if (window < min64(left, PLAN_WINDOW_BYTES) && p->blobs[i].held >= PLAN_WINDOW_BYTES)
		return false;
	*out = (struct plan_range){ .i = i, .len = left, .window = window };
	return true;
}

/* The length of blob i's next range of several; 0: not now. */
static int64_t next_part(const struct plan *p, const struct demand *d, size_t i)
{
	const struct plan_blob *b = &p->blobs[i];
	int64_t left = b->size - b->asked, room = room_of(p, d, i), len;

	if (b->size <= PLAN_WHOLE_MAX_BYTES)
		return left <= room ? left : 0;
	if (!p->parallel && b->asked)
		return 0; /* the rest of it flows, once its reader is here */
	len = range_bytes(p, d, i);
	if (left < len + PLAN_RANGE_MIN_BYTES && left <= PLAN_RANGE_MAX_BYTES)
		len = left; /* no request for crumbs */
	if (len <= room)
		return len;
	/* Waiting for room makes for long ranges; but not until there is nothing to read. */
	if (b->held > share(p, d, i) / 2)
		return 0;
	room = round_down(room);
	return room >= PLAN_GRAIN_BYTES && (room >= PLAN_RANGE_MIN_BYTES || i == p->lowest) ? room : 0;
}

static bool next_of(const struct plan *p, const struct demand *d, size_t i, struct plan_range *out)
{
	const struct plan_blob *b = &p->blobs[i];

	if (b->waits || !has_more(b))
		return false;
	if (!p->parallel && is_read(p, i) && b->size > PLAN_WHOLE_MAX_BYTES)
		return !b->connections && next_flows(p, b->size - b->asked, room_of(p, d, i), i, out);
	int64_t len = next_part(p, d, i);
	*out = (struct plan_range){ .i = i, .len = len, .window = len };
	return len > 0;
}

/* What all wait for gets a connection even if others that flow have taken what is wanted. */
static bool lowest_lacks_one(const struct plan *p)
{
	return p->lowest < p->n && !p->blobs[p->lowest].connections && p->connections < p->connections_max;
}

bool plan_next(const struct plan *p, struct plan_range *out)
{
	bool full = p->connections >= p->wanted;

	if (p->held >= p->budget || (full && !lowest_lacks_one(p)))
		return false;
	const struct demand d = demand_of(p);
	for (size_t i = p->lowest; i < (full ? p->lowest + 1 : p->n); i++)
		if (next_of(p, &d, i, out))
			return true;
	return false;
}

bool plan_adapt(struct plan *p, bool starved, bool trickling, bool sated)
{
	bool was_parallel = p->parallel;

	p->trickling_looks = trickling ? p->trickling_looks + 1 : 0;
	if (p->trickling_looks >= PLAN_TRICKLING_LOOKS)
		p->parallel = true;
	else if (sated && p->wanted == PLAN_CONNECTIONS_MIN)
		p->parallel = false;
	if (starved && p->connections >= p->wanted)
		p->wanted *= 2;
	else if (sated && !starved)
		p->wanted -= (p->wanted + 3) / 4;
	if (p->wanted > p->connections_max)
		p->wanted = p->connections_max;
	if (p->wanted < PLAN_CONNECTIONS_MIN)
		p->wanted = PLAN_CONNECTIONS_MIN;
	return p->parallel && !was_parallel;
}
