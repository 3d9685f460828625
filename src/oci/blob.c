#include "oci/blob_internal.h"

#include <assert.h>
#include <time.h>

#include "base/clock.h"
#include "base/mem.h"

#define RATE_CHECK_MS 5000
#define ADAPT_MS 50
/* A reader that has less to read than one write to its worker's pipe waits for the network. */
#define STARVED_BYTES ((int64_t)(64 * KIB))
#define SATED_BYTES ((int64_t)(8 * MIB))
/* Of the time, spent computing: more connections would not bring more. */
#define BUSY_PERCENT 70

void blob_ask(struct blob_set *set)
{
	struct plan_range next;

	while (plan_next(&set->plan, &next)) {
		struct blob *b = &set->blobs[next.i];
		b->state = BLOB_RUNNING;
		range_start(range_new(b, next.len, next.window));
	}
}

static void resume_some(struct blob_set *set)
{
	for (size_t i = set->plan.lowest; i < set->n; i++)
		for (struct range *r = set->blobs[i].ranges; r; r = r->next)
			range_resume(r);
}

void blob_ended(struct blob *b, const struct err *err)
{
	struct blob_set *set = b->set;

	b->state = err ? BLOB_FAILED : BLOB_VERIFIED;
	b->plan->over = true;
	if (err) {
		b->err = *err;
		(void)err_wrap(&b->err, "layer %zu of %zu", b->i + 1, set->n);
	}
	blob_transfer_stop(b);
	blob_forget_read(b);
	blob_find_lowest(set); /* a failed one is not waited for any more */
	resume_some(set);
	blob_ask(set);
	set->event(set->event_arg, b->i);
}

/* An empty blob needs no transfer. */
static void end_empty(struct blob *b)
{
	struct digest empty;
	struct err err;

	digest_of("", 0, &empty);
	if (digest_equal(&empty, &b->d.digest)) {
		blob_ended(b, NULL);
		return;
	}
	(void)err_set(&err, ERR_REFUSED, "digest mismatch: %s is not that of no bytes",
		      b->d.digest.text);
	blob_ended(b, &err);
}

/* Several connections for each blob from now on. */
static void cut_some(struct blob_set *set)
{
	for (size_t i = set->plan.lowest; i < set->n; i++) {
		struct range *r = blob_cut(&set->blobs[i]);
		if (r)
			range_go_on(r);
	}
}

static bool is_starved(const struct blob_set *set, size_t i)
{
	const struct blob *b = &set->blobs[i];

	return (i == set->plan.lowest || b->plan->read) && !b->plan->over && b->checked < b->d.size &&
	       b->checked - b->read < STARVED_BYTES;
}

static int64_t cpu_ms(void)
{
	struct timespec t;

	/* Cannot fail: the clock is Linux's since 2.6.12. */
	(void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* More connections bring more as long as it is the network that we wait for. */
static void adapt(struct blob_set *set)
{
	int64_t ms = clock_mono_ms() - set->adapt_ms, cpu = cpu_ms() - set->adapt_cpu_ms;
	bool starved = false, trickling = false, sated = false, slow = cpu * 100 < ms * BUSY_PERCENT;

	set->adapt_ms += ms;
	set->adapt_cpu_ms += cpu;
	for (size_t i = set->plan.lowest; i < set->n; i++) {
		struct blob *b = &set->blobs[i];
		bool starves = slow && is_starved(set, i);
		starved |= starves;
		trickling |= starves && b->received > b->looked_at;
		b->looked_at = b->received;
	}
	if (set->plan.lowest < set->n) {
		const struct blob *b = &set->blobs[set->plan.lowest];
		sated = b->checked - b->read >= SATED_BYTES;
	}
	if (plan_adapt(&set->plan, starved, trickling, sated))
		cut_some(set);
}

static void on_adapt(void *arg)
{
	struct blob_set *set = arg;

	set->adapt_timer = NULL;
	if (set->plan.lowest == set->n)
		return; /* all is read */
	set->adapt_timer = loop_timer_start(set->loop, ADAPT_MS, on_adapt, set);
	adapt(set);
	blob_ask(set);
}

static void on_start(void *arg)
{
	struct blob_set *set = arg;

	set->start_timer = NULL;
	for (size_t i = 0; i < set->n; i++)
		if (!set->blobs[i].skip && set->blobs[i].d.size == 0)
			end_empty(&set->blobs[i]);
	set->adapt_ms = clock_mono_ms();
	set->adapt_cpu_ms = cpu_ms();
	set->adapt_timer = loop_timer_start(set->loop, ADAPT_MS, on_adapt, set);
	blob_ask(set);
}

static void on_rate(void *arg)
{
	struct blob_set *set = arg;

	set->rate_timer = loop_timer_start(set->loop, RATE_CHECK_MS, on_rate, set);
	for (size_t i = 0; i < set->n; i++) {
		struct range *r = set->blobs[i].ranges;
		while (r && !range_check_rate(r, RATE_CHECK_MS))
			r = r->next;
	}
}

int blob_set_start(struct registry *r, struct http *http, struct loop *loop,
		   const struct descriptor *blobs, const bool *skip, size_t n, blob_event_fn *event,
		   void *event_arg, struct blob_set **out, struct err *err)
{
	struct blob_set *set = xcalloc(1, sizeof *set);

	(void)http;
	(void)err; /* the registry has its own; nothing can fail yet */
	*set = (struct blob_set){
		.registry = r,
		.loop = loop,
		.blobs = xcalloc(n, sizeof *set->blobs),
		.n = n,
		.plan = { .blobs = xcalloc(n, sizeof *set->plan.blobs),
			  .n = n,
			  .budget = BLOB_BUFFERED_MAX_BYTES,
			  .wanted = PLAN_CONNECTIONS_FIRST,
			  .connections_max = BLOB_CONNECTIONS_MAX },
		.event = event,
		.event_arg = event_arg,
	};
	for (size_t i = 0; i < n; i++) {
		struct blob *b = &set->blobs[i];
		*b = (struct blob){ .set = set,
				    .i = i,
				    .d = blobs[i],
				    .skip = skip && skip[i],
				    .plan = &set->plan.blobs[i],
				    .hash = sha256_new(),
				    .place_number = 1 };
		*b->plan = (struct plan_blob){ .size = b->d.size, .over = b->skip };
	}
	blob_find_lowest(set);
	/* In the loop's next turn: no event before the caller has its set. */
	set->start_timer = loop_timer_start(loop, 0, on_start, set);
	set->rate_timer = loop_timer_start(loop, RATE_CHECK_MS, on_rate, set);
	*out = set;
	return 0;
}

void blob_set_free(struct blob_set *set)
{
	if (!set)
		return;
	loop_timer_cancel(set->start_timer);
	loop_timer_cancel(set->rate_timer);
	loop_timer_cancel(set->adapt_timer);
	for (size_t i = 0; i < set->n; i++) {
		blob_transfer_stop(&set->blobs[i]);
		sha256_free(set->blobs[i].hash);
		blob_buffer_free(&set->blobs[i]);
	}
	blob_spare_free(set);
	free(set->plan.blobs);
	free(set->blobs);
	free(set);
}

enum blob_state blob_state(const struct blob_set *set, size_t i)
{
	return set->blobs[i].state;
}

bool blob_set_verified(const struct blob_set *set)
{
	for (size_t i = 0; i < set->n; i++)
		if (!set->blobs[i].skip && set->blobs[i].state != BLOB_VERIFIED)
			return false;
	return true;
}

ssize_t blob_set_failed(const struct blob_set *set)
{
	for (size_t i = 0; i < set->n; i++)
		if (set->blobs[i].state == BLOB_FAILED)
			return (ssize_t)i;
	return -1;
}

const struct err *blob_error(const struct blob_set *set, size_t i)
{
	return &set->blobs[i].err;
}

bool blob_wants_refetch(const struct blob_set *set, size_t i)
{
	return set->blobs[i].spoiled;
}

int64_t blob_received_bytes(const struct blob_set *set, size_t i)
{
	return set->blobs[i].received;
}

void blob_peek(const struct blob_set *set, size_t i, const void **bytes, size_t *len)
{
	const struct range *r = set->blobs[i].ranges;

	while (r && !r->head && r->got == r->end)
		r = r->next; /* read; its transfer is about to end */
	const struct segment *s = r ? r->head : NULL;
	*bytes = s ? s->bytes + s->start : NULL;
	*len = s ? s->end - s->start : 0;
}

void blob_consume(struct blob_set *set, size_t i, size_t len)
{
	assert((int64_t)len <= set->blobs[i].checked - set->blobs[i].read);
	if (!len)
		return;
	blob_drop(&set->blobs[i], len);
	resume_some(set);
	blob_ask(set);
}
