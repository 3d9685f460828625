#include "oci/blob_internal.h"

#include <assert.h>

#include "base/mem.h"

#define RATE_CHECK_MS 5000

static void start_more(struct blob_set *set)
{
	for (size_t i = 0; i < set->n && set->running < BLOB_PARALLEL_MAX; i++) {
		struct blob *b = &set->blobs[i];
		if (b->skip || b->state != BLOB_WAITING)
			continue;
		b->state = BLOB_RUNNING;
		set->running++;
		blob_transfer_start(b);
	}
}

static void resume_some(struct blob_set *set)
{
	for (size_t i = 0; i < set->n; i++)
		blob_transfer_resume(&set->blobs[i]);
}

void blob_ended(struct blob *b, const struct err *err)
{
	struct blob_set *set = b->set;

	set->running--;
	b->state = err ? BLOB_FAILED : BLOB_VERIFIED;
	if (err) {
		b->err = *err;
		(void)err_wrap(&b->err, "layer %zu of %zu", b->i + 1, set->n);
	}
	blob_transfer_stop(b);
	start_more(set);
	resume_some(set); /* a failed one is not waited for by the buffer any more */
	set->event(set->event_arg, b->i);
}

/* An empty blob needs no transfer. */
static void end_empty(struct blob *b)
{
	struct digest empty;
	struct err err;

	digest_of("", 0, &empty);
	b->set->running++;
	b->state = BLOB_RUNNING;
	if (digest_equal(&empty, &b->d.digest)) {
		blob_ended(b, NULL);
		return;
	}
	(void)err_set(&err, ERR_REFUSED, "digest mismatch: %s is not that of no bytes",
		      b->d.digest.text);
	blob_ended(b, &err);
}

static void on_start(void *arg)
{
	struct blob_set *set = arg;

	set->start_timer = NULL;
	for (size_t i = 0; i < set->n; i++)
		if (!set->blobs[i].skip && set->blobs[i].d.size == 0)
			end_empty(&set->blobs[i]);
	start_more(set);
}

static void on_rate(void *arg)
{
	struct blob_set *set = arg;

	set->rate_timer = loop_timer_start(set->loop, RATE_CHECK_MS, on_rate, set);
	for (size_t i = 0; i < set->n; i++)
		blob_transfer_check_rate(&set->blobs[i], RATE_CHECK_MS);
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
		.event = event,
		.event_arg = event_arg,
	};
	for (size_t i = 0; i < n; i++) {
		struct blob *b = &set->blobs[i];
		*b = (struct blob){ .set = set, .i = i, .d = blobs[i], .skip = skip && skip[i] };
		b->hash = sha256_new();
	}
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
	for (size_t i = 0; i < set->n; i++) {
		blob_transfer_stop(&set->blobs[i]);
		sha256_free(set->blobs[i].hash);
	}
	blob_buffer_free(set);
	free(set->blobs);
	free(set);
}

enum blob_state blob_state(const struct blob_set *set, size_t i)
{
	return set->blobs[i].state;
}

const struct err *blob_error(const struct blob_set *set, size_t i)
{
	return &set->blobs[i].err;
}

bool blob_wants_refetch(const struct blob_set *set, size_t i)
{
	const struct blob *b = &set->blobs[i];

	return b->spoiled || (b->lied && b->asked_from > 0);
}

int64_t blob_received_bytes(const struct blob_set *set, size_t i)
{
	return set->blobs[i].received;
}

void blob_peek(const struct blob_set *set, size_t i, const void **bytes, size_t *len)
{
	const struct segment *s = set->blobs[i].first;

	*bytes = s ? s->bytes + s->start : NULL;
	*len = s ? s->end - s->start : 0;
}

void blob_consume(struct blob_set *set, size_t i, size_t len)
{
	assert(len <= set->blobs[i].buffered);
	blob_drop(&set->blobs[i], len);
	resume_some(set);
}
