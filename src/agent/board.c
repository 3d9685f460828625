#include "agent/board.h"

#include <stdatomic.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/text.h"

/*
 * A ring of copies: the writer fills the next slot and then names it. A reader
 * that is overtaken while it copies (by SLOTS - 1 publications) notices and copies again:
 * a sequence lock (H.-J. Boehm, "Can seqlocks get along with programming language memory
 * models?", 2012), whose data are relaxed atomics so that reading in vain is no data race.
 */
#define SLOTS 8
#define WORDS ((sizeof(struct snapshot) + sizeof(uint64_t) - 1) / sizeof(uint64_t))

struct board {
	_Atomic uint64_t slots[SLOTS][WORDS];
	atomic_uint_fast64_t current; /* publications so far; the slot is this modulo SLOTS */
	enum board_status last;       /* the writer's own */
};

static const char *const names[BOARD_STATUSES] = {
	[BOARD_STARTING] = "starting", [BOARD_PULLING] = "pulling", [BOARD_READY] = "ready",
	[BOARD_DRAINING] = "draining", [BOARD_FAILED] = "failed",   [BOARD_UNHEALTHY] = "unhealthy",
};

struct board *board_new(void)
{
	return xcalloc(1, sizeof(struct board));
}

void board_free(struct board *b)
{
	free(b);
}

void board_publish(struct board *b, struct snapshot *s)
{
	uint_fast64_t n = atomic_load_explicit(&b->current, memory_order_relaxed);
	_Atomic uint64_t *slot = b->slots[(n + 1) % SLOTS];
	uint64_t words[WORDS] = { 0 };

	if (!s->since_ms || s->status != b->last)
		s->since_ms = clock_wall_ms();
	b->last = s->status;
	text_clean(s->reason);
	memcpy(words, s, sizeof *s);
	/* No word of this copy may be seen by a reader that does not see that it is overtaken. */
	atomic_thread_fence(memory_order_release);
	for (size_t i = 0; i < WORDS; i++)
		atomic_store_explicit(&slot[i], words[i], memory_order_relaxed);
	atomic_store_explicit(&b->current, n + 1, memory_order_release);
}

void board_read(const struct board *b, struct snapshot *out)
{
	uint64_t words[WORDS];
	uint_fast64_t before, after;

	do {
		before = atomic_load_explicit(&b->current, memory_order_acquire);
		for (size_t i = 0; i < WORDS; i++)
			words[i] = atomic_load_explicit(&b->slots[before % SLOTS][i], memory_order_relaxed);
		atomic_thread_fence(memory_order_acquire);
		after = atomic_load_explicit(&b->current, memory_order_relaxed);
	} while (after - before >= SLOTS - 1);
	memcpy(out, words, sizeof *out);
}

const char *board_status_name(enum board_status status)
{
	return names[status];
}

static void set_optional(struct json *o, const char *name, const char *value)
{
	if (*value)
		json_set_str(o, name, value);
	else
		json_set_str(o, name, NULL);
}

static void set_details(struct json *o, const struct snapshot *s)
{
	char when[CLOCK_RFC3339_SIZE];

	clock_rfc3339(s->started_ms, when);
	json_set_str(o, "phase", s->phase);
	set_optional(o, "store", s->store);
	json_set_bool(o, "fast_load", s->fast_load);
	json_set_str(o, "started", when);
	if (s->ready_after_ms)
		json_set_int(o, "ready_after_ms", s->ready_after_ms);
	json_set_int(o, "pull_bytes", s->pull_bytes);
	json_set_int(o, "pull_total_bytes", s->pull_total_bytes);
	json_set_int(o, "pull_ms", s->pull_ms);
	json_set_int(o, "probes_passed", (int64_t)s->probes_passed);
	json_set_int(o, "probes_failed", (int64_t)s->probes_failed);
	json_set_int(o, "restart_count", s->restart_count);
	json_set_int(o, "pid", s->pid);
}

struct json *board_json(const struct snapshot *s, bool all)
{
	struct json *o = json_new_object();
	char when[CLOCK_RFC3339_SIZE];

	clock_rfc3339(s->since_ms, when);
	json_set_str(o, "status", names[s->status]);
	set_optional(o, "reason", s->reason);
	set_optional(o, "image", s->image);
	set_optional(o, "digest", s->digest);
	set_optional(o, "container", s->container);
	json_set_str(o, "since", when);
	if (all)
		set_details(o, s);
	return o;
}
