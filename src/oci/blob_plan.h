/*
 * Which bytes of which blob are asked for next, over how many connections, within one budget. Pure: what is
 * known comes in, what to do goes out.
 *
 * A range's bytes are taken from the budget when it is asked for, and come back as they are read: whatever
 * arrives has its place, in any order, and no connection stands still with bytes that nobody can hold.
 *
 * But where one connection brings a blob as fast as it is read, a second one only costs requests, the registry's time
 * most of all. So at first, and again when readers have plenty, what is left of a blob that is read comes in one range
 * that flows: it has room for PLAN_WINDOW_BYTES, which moves along with its reader.
 */
#ifndef BERTH_OCI_BLOB_PLAN_H
#define BERTH_OCI_BLOB_PLAN_H

#include "base/base.h"

/* Ranges are multiples of it, but for the last. */
#define PLAN_GRAIN_BYTES ((int64_t)(256 * KIB))
/* A blob up to this size is asked for in one piece: splitting it would cost more than it gains. */
#define PLAN_WHOLE_MAX_BYTES ((int64_t)(4 * MIB))
#define PLAN_RANGE_MIN_BYTES ((int64_t)MIB)
#define PLAN_RANGE_MAX_BYTES ((int64_t)(16 * MIB))
/* Of the budget, kept free for the blob that is read first: see plan_room(). */
#define PLAN_LOWEST_SHARE_BYTES ((int64_t)(4 * MIB))
/* What blobs that nobody reads yet may hold while those that are read have more to ask for. */
#define PLAN_AHEAD_BYTES ((int64_t)(8 * MIB))
/* More than a connection brings between two looks at what its reader has left. */
#define PLAN_WINDOW_BYTES ((int64_t)(2 * MIB))
#define PLAN_CONNECTIONS_FIRST 6
#define PLAN_CONNECTIONS_MIN 2
/* Looks in a row at a reader that starves behind a connection that brings bytes, until what flows is cut short. */
#define PLAN_TRICKLING_LOOKS 2

struct plan_blob {
	int64_t size;
	int64_t asked; /* bytes below it were asked for */
	int64_t held;  /* of the budget: asked for and not yet read; of a range that flows, its window */
	size_t connections; /* in use for it */
	bool over;     /* left out or ended: nothing more will be asked for */
	bool waits;    /* nothing more may be asked for now */
	bool read;     /* somebody has taken bytes of it */
};

struct plan {
	struct plan_blob *blobs;
	size_t n;
	size_t lowest;      /* no blob below it has anything left to read */
	int64_t budget;     /* of all blobs together */
	int64_t held;       /* of it */
	size_t connections; /* in use */
	size_t wanted;      /* that may be in use */
	size_t connections_max;
	unsigned int trickling_looks; /* in a row */
	bool parallel;              /* several ranges of a blob at once; else what is read flows */
};

struct plan_range {
	size_t i;       /* of this blob */
	int64_t len;    /* from what was asked for of it so far */
	int64_t window; /* what it takes of the budget: len, or less if it flows */
};

/* The next range: the lowest blob that may ask. False when there is none to be asked for now. */
bool plan_next(const struct plan *p, struct plan_range *out);

/*
 * How much more blob i may hold.
 *
 * Why the reader cannot starve: let j be the lowest blob with something left to read, and suppose that there is
 * no room for it. All others leave PLAN_LOWEST_SHARE_BYTES of the budget free, so when one of them last took
 * something the whole ended below that; whatever came since came for blobs that were the lowest in turn, and those
 * before j have been read to their end. So what is held above it is j's own: asked for, lowest bytes first, hence on
 * its way to the reader, who makes room with each byte that it takes. If j holds nothing, there is room.
 */
int64_t plan_room(const struct plan *p, size_t i);

/*
 * From time to time. starved: a reader waits for bytes, and more connections may bring them sooner; trickling: it waits
 * for those of a connection that does bring some; sated: plenty of bytes wait for the readers. True: what flows is to
 * be cut, at the end of its window, for others to come behind it.
 */
bool plan_adapt(struct plan *p, bool starved, bool trickling, bool sated) MUST_CHECK;

#endif
