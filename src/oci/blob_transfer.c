#include "oci/blob_internal.h"

#include <inttypes.h>

#include "base/clock.h"
#include "base/mem.h"

/* Transfers of one blob that broke off, in all: a peer that sends a byte and hangs up, for ever, is not waited out. */
#define RESUMES_MAX 1000
/* Answers refused on sight: a broken cache may send one, and is asked past. */
#define LIES_MAX 1
/* So many tries at a redirect's end, then the registry is asked whether the bytes have moved. */
#define PLACE_FAILURES_MAX 2
#define RATE_WINDOW_MS 30000
#define RATE_MIN_BYTES_PER_S 1024
/* Room that makes waking a paused transfer worth it. */
#define RESUME_ROOM_BYTES BLOB_SEGMENT_BYTES

static int check_digest(struct blob *b, struct err *err)
{
	uint8_t raw[SHA256_BYTES];
	struct digest got;

	sha256_final(b->hash, raw);
	digest_from_raw(raw, &got);
	b->digest_good = digest_equal(&got, &b->d.digest);
	if (b->digest_good)
		return 0;
	return err_set(err, ERR_REFUSED, "digest mismatch: the bytes are %s", got.text);
}

static int take(struct range *r, const char *bytes, size_t len, struct err *err)
{
	struct blob *b = r->b;

	if ((int64_t)len > r->end - r->got && r->end == b->d.size)
		return err_set(err, ERR_REFUSED,
			       "more than the %" PRId64 " bytes of its descriptor", b->d.size);
	if ((int64_t)len > r->end - r->got)
		return err_set(err, ERR_REFUSED, "more than the %" PRId64 " bytes asked for", r->end - r->asked_from);
	if (r->got == b->checked) {
		sha256_update(b->hash, bytes, len);
		b->checked += (int64_t)len;
	}
	range_store(r, bytes, len);
	if (r->got == r->end)
		blob_check_on(b);
	if (b->checked == b->d.size && !b->digest_good)
		return check_digest(b, err);
	return 0;
}

static void start_waiting(struct blob *b)
{
	for (struct range *r = b->ranges; r; r = r->next)
		if (r->waits)
			range_start(r);
}

/* The first good answer tells where the bytes are, and that they come in ranges. */
static void opened(struct range *r)
{
	struct blob *b = r->b;

	if (b->opener == r) {
		b->opener = NULL;
		b->direct = !b->place.known;
		b->plan->waits = b->stream;
		start_waiting(b);
	}
	blob_ask(b->set);
}

/* A stream takes its room as it comes; a range has it, or a window that its reader moves. */
static bool has_room(struct range *r, size_t len)
{
	int64_t more = r->got + (int64_t)len - r->held_to;

	if (more <= 0)
		return true;
	if (!r->b->stream)
		return r->held_to == r->end; /* and that is too much: take() says so */
	if (plan_room(&r->b->set->plan, r->b->i) < more)
		return false;
	range_hold(r, more);
	return true;
}

static enum http_flow on_bytes(void *arg, const struct http_response *head, const void *bytes,
			       size_t len, struct err *err)
{
	struct range *r = arg;
	struct blob_set *set = r->b->set;
	size_t i = r->b->i, again;

	if (!r->head_checked) {
		if (range_check_head(r, head, err) < 0) {
			r->lied = true;
			return HTTP_ABORT;
		}
		opened(r);
	}
	again = r->discard < (int64_t)len ? (size_t)r->discard : len;
	if (again < len && !has_room(r, len - again)) {
		r->paused = true;
		return HTTP_PAUSE;
	}
	r->discard -= (int64_t)again;
	if (again == len)
		return HTTP_CONTINUE;
	bool cut = r->end < r->asked_end && (int64_t)(len - again) >= r->end - r->got;
	if (take(r, (const char *)bytes + again, cut ? (size_t)(r->end - r->got) : len - again, err) < 0) {
		r->spoiled = true;
		return HTTP_ABORT;
	}
	set->event(set->event_arg, i);
	if (!cut)
		return HTTP_CONTINUE;
	(void)err_set(err, ERR_NETWORK, "the rest comes in other ranges");
	return HTTP_ABORT;
}

static void on_retry(void *arg)
{
	struct range *r = arg;

	r->retry_timer = NULL;
	range_start(r);
}

/* The bytes are asked for anew where they are said to be then. */
static void lose_place(struct range *r)
{
	struct blob *b = r->b;

	if (r->place && r->place != b->place_number)
		return; /* done since then */
	walk_place_clear(&b->place);
	b->place_number++;
}

/* What the ranges of a server are worth was seen; its whole blobs may be good. */
static bool do_without_ranges(struct range *r)
{
	if (!r->ranged || r->b->stream)
		return false;
	range_become_stream(r);
	return true;
}

static void try_again(struct range *r, bool progress, const struct err *err)
{
	struct blob *b = r->b;

	if (progress)
		r->failures = 0;
	if (r->lied ? ++r->lies > LIES_MAX && !do_without_ranges(r)
		    : ++r->failures >= BLOB_ATTEMPTS_MAX || ++b->resumes >= RESUMES_MAX) {
		b->spoiled = r->spoiled;
		blob_ended(b, err);
		return;
	}
	if (r->lied || r->failures >= PLACE_FAILURES_MAX)
		lose_place(r);
	r->retry_timer = loop_timer_start(b->set->loop, net_retry_delay_ms(r->failures, err), on_retry, r);
}

/* A URL that was good before has expired. */
static bool is_stale(const struct range *r, const struct http_response *resp, bool elsewhere)
{
	return elsewhere && r->place && resp->status >= 400 && resp->status < 500 && resp->status != 408 &&
	       resp->status != 416 && resp->status != 429;
}

/* An answer that is no bytes: what to make of it. */
static void judge_status(struct range *r, const struct http_response *resp, bool elsewhere)
{
	struct blob *b = r->b;
	struct err err;

	if (is_stale(r, resp, elsewhere) && ++b->resumes < RESUMES_MAX) {
		lose_place(r);
		range_start(r);
		return;
	}
	r->lied = resp->status == 416 || resp->status / 100 == 2;
	(void)registry_status_error(b->set->registry, resp, b->d.digest.text, elsewhere, &err);
	if (r->lied) {
		err.kind = ERR_REFUSED;
	} else if (elsewhere && !err.retryable) {
		/* A URL that was good for less time than it took: ask for another, a bounded number of times. */
		walk_place_clear(&b->place);
		(void)err_retry(&err, 0);
	}
	if (r->lied || err.retryable)
		try_again(r, false, &err);
	else
		blob_ended(b, &err);
}

static void judge_error(struct range *r, const struct err *failure)
{
	struct err err = *failure;

	/* The HTTP layer refused the head: a coding nobody asked for, endless headers. */
	if (!r->spoiled && r->got == r->got_before &&
	    (err.kind == ERR_PROTOCOL || err.kind == ERR_LIMIT))
		r->lied = true;
	if (r->lied || (err.retryable && !r->spoiled)) {
		try_again(r, r->got > r->got_before, &err);
		return;
	}
	r->b->spoiled = r->spoiled;
	blob_ended(r->b, &err);
}

static bool is_busy(const struct blob *b)
{
	for (const struct range *r = b->ranges; r; r = r->next)
		if (r->under_way)
			return true;
	return false;
}

/* All its bytes are here, however the connection ended. */
static void arrived(struct range *r)
{
	struct blob *b = r->b;

	range_stop(r);
	blob_forget_read(b);
	if (b->digest_good && !is_busy(b))
		blob_ended(b, NULL);
	else
		blob_ask(b->set);
}

void range_go_on(struct range *r)
{
	if (r->under_way && r->got == r->end)
		arrived(r);
	else
		range_resume(r);
}

static void on_end(void *arg, struct http_response *resp, bool elsewhere, const struct err *failure)
{
	struct range *r = arg;
	struct err err;

	r->walk = NULL;
	r->paused = false;
	if (r->got == r->end && !r->spoiled && r->head_checked) {
		arrived(r);
	} else if (failure) {
		judge_error(r, failure);
	} else if (resp->status / 100 == 2 && r->head_checked) {
		(void)err_set(&err, ERR_NETWORK, "%s: ended after %" PRId64 " of %" PRId64 " bytes",
			      r->b->d.digest.text, r->got, r->end);
		judge_error(r, &err);
	} else {
		judge_status(r, resp, elsewhere);
	}
}

/* 0: to the blob's end. A whole blob is not asked for as a range, unless it may be cut. */
static int64_t asked_end(const struct range *r)
{
	const struct blob *b = r->b;
	bool may_be_cut = r->got == 0 && b->d.size > PLAN_WHOLE_MAX_BYTES;

	return b->stream || (r->end == b->d.size && !may_be_cut) ? 0 : r->end;
}

/* HTTP/1.1: streams that share a connection share its window, and a paused one holds up all others. */
static void send_off(struct range *r)
{
	struct blob *b = r->b;
	const char *repository = b->set->registry->ref.repository;
	CLEANUP(freep) char *path = xasprintf("/v2/%s/blobs/%s", repository, b->d.digest.text);
	const struct walk_request req = {
		.path = path,
		.offset = b->stream ? 0 : r->got,
		.end = asked_end(r),
		.max_body_bytes = REGISTRY_ERROR_BODY_MAX,
		.on_body = on_bytes,
		.on_body_arg = r,
		.stall_timeout_ms = BLOB_STALL_MS,
		.http1_only = true,
		.place = &b->place,
	};

	r->asked_from = b->stream ? 0 : r->got;
	r->asked_end = r->end;
	r->got_before = r->got;
	r->ranged = req.offset || req.end;
	r->head_checked = r->lied = r->paused = false;
	r->window_ms = clock_mono_ms();
	r->walk = walk_start(b->set->registry, &req, on_end, r);
}

void range_start(struct range *r)
{
	struct blob *b = r->b;

	if (!r->under_way) {
		b->set->plan.connections++;
		b->plan->connections++;
	}
	r->under_way = true;
	r->waits = false;
	r->place = b->place.known ? b->place_number : 0;
	if (!b->place.known && !b->direct) {
		/* One asks the registry for all. */
		r->waits = b->opener && b->opener != r;
		if (r->waits)
			return;
		b->opener = r;
		b->plan->waits = true;
	}
	send_off(r);
}

void range_stop(struct range *r)
{
	walk_cancel(STEAL(r->walk));
	loop_timer_cancel(STEAL(r->retry_timer));
	if (r->under_way) {
		r->b->set->plan.connections--;
		r->b->plan->connections--;
	}
	r->under_way = r->waits = r->paused = false;
	if (r->b->opener == r) {
		r->b->opener = NULL;
		r->b->plan->waits = r->b->stream;
	}
}

void blob_transfer_stop(struct blob *b)
{
	for (struct range *r = b->ranges; r; r = r->next)
		range_stop(r);
	b->opener = NULL;
	walk_place_clear(&b->place);
}

void range_resume(struct range *r)
{
	int64_t room = r->b->stream ? plan_room(&r->b->set->plan, r->b->i) : r->held_to - r->got;

	if (!r->paused || (room < (int64_t)RESUME_ROOM_BYTES && r->held_to < r->end))
		return;
	r->paused = false;
	r->window_ms = clock_mono_ms();
	walk_resume(r->walk);
}

bool range_check_rate(struct range *r, int64_t since_ms)
{
	int64_t now_ms = clock_mono_ms(), got = r->got - r->window_got;
	struct err err;

	r->window_got = r->got;
	if (!r->walk || r->paused || r->discard || got * 1000 >= since_ms * RATE_MIN_BYTES_PER_S)
		r->window_ms = now_ms;
	if (now_ms - r->window_ms < RATE_WINDOW_MS)
		return false;
	walk_cancel(STEAL(r->walk));
	(void)err_set(&err, ERR_TIMEOUT, "%s: slower than %d bytes a second for %d s",
		      r->b->d.digest.text, RATE_MIN_BYTES_PER_S, RATE_WINDOW_MS / 1000);
	try_again(r, false, &err);
	return true;
}
