#include "oci/blob_internal.h"

#include <inttypes.h>

#include "base/clock.h"
#include "base/mem.h"

/* Transfers of one blob in all: a peer that sends a byte and hangs up, for ever, is not waited out. */
#define RESUMES_MAX 1000
/* Answers refused on sight: a broken cache may send one, and is asked past. */
#define LIES_MAX 1
#define RATE_WINDOW_MS 30000
#define RATE_MIN_BYTES_PER_S 1024
/* Room that makes waking a paused transfer worth it. */
#define RESUME_ROOM_BYTES BLOB_SEGMENT_BYTES

/* Strict: "bytes FIRST-LAST/TOTAL" as it must be for the rest of the blob. */
static bool range_fits(const char *value, int64_t first, int64_t size)
{
	char want[96];

	(void)snprintf(want, sizeof want, "bytes %" PRId64 "-%" PRId64 "/%" PRId64, first, size - 1,
		       size);
	return streq(value, want);
}

static int check_length(const struct http_response *head, int64_t want, struct err *err)
{
	CLEANUP(freep) char *value = http_header_get(head, "content-length");
	char text[24];

	(void)snprintf(text, sizeof text, "%" PRId64, want);
	if (!value || streq(value, text))
		return 0;
	return err_set(err, ERR_REFUSED, "Content-Length %.32s where %s bytes are left", value,
		       text);
}

/* Before the first byte: is this the blob, or the rest of it that was asked for? */
static int check_head(struct blob *b, const struct http_response *head, struct err *err)
{
	CLEANUP(freep) char *range = http_header_get(head, "content-range");
	int64_t left = b->d.size - b->asked_from;

	b->head_checked = true;
	b->discard = 0;
	if (head->status == 206) {
		if (b->asked_from > 0 && range && range_fits(range, b->asked_from, b->d.size))
			return check_length(head, left, err);
		return err_set(err, ERR_REFUSED,
			       "206 with Content-Range \"%.64s\" where bytes %" PRId64
			       " to the end of %" PRId64 " were asked for",
			       range ? range : "", b->asked_from, b->d.size);
	}
	if (head->status != 200)
		return err_set(err, ERR_REFUSED, "status %ld instead of bytes", head->status);
	/* A server without ranges starts again from 0. What it repeats is passed over, and the
	 * digest of the whole tells if it was another blob. */
	b->discard = b->asked_from;
	return check_length(head, b->d.size, err);
}

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

static int take(struct blob *b, const char *bytes, size_t len, struct err *err)
{
	if ((int64_t)len > b->d.size - b->received)
		return err_set(err, ERR_REFUSED,
			       "more than the %" PRId64 " bytes of its descriptor", b->d.size);
	sha256_update(b->hash, bytes, len);
	blob_store(b, bytes, len);
	if (b->received == b->d.size && check_digest(b, err) < 0)
		return -1;
	return 0;
}

static enum http_flow on_bytes(void *arg, const struct http_response *head, const void *bytes,
			       size_t len, struct err *err)
{
	struct blob *b = arg;
	size_t again;

	if (!b->head_checked && check_head(b, head, err) < 0) {
		b->lied = true;
		return HTTP_ABORT;
	}
	again = b->discard < (int64_t)len ? (size_t)b->discard : len;
	if (again < len && !blob_admits(b, len - again)) {
		b->paused = true;
		return HTTP_PAUSE;
	}
	b->discard -= (int64_t)again;
	if (again == len)
		return HTTP_CONTINUE;
	if (take(b, (const char *)bytes + again, len - again, err) < 0) {
		b->spoiled = true;
		return HTTP_ABORT;
	}
	b->set->event(b->set->event_arg, b->i);
	return HTTP_CONTINUE;
}

static void on_retry(void *arg)
{
	struct blob *b = arg;

	b->retry_timer = NULL;
	blob_transfer_start(b);
}

static void try_again(struct blob *b, bool progress, const struct err *err)
{
	if (progress)
		b->failures = 0;
	if (b->lied ? ++b->lies > LIES_MAX
		    : ++b->failures >= BLOB_ATTEMPTS_MAX || ++b->resumes >= RESUMES_MAX) {
		blob_ended(b, err);
		return;
	}
	if (b->lied)
		walk_place_clear(&b->place);
	b->retry_timer =
		loop_timer_start(b->set->loop, net_retry_delay_ms(b->failures, err), on_retry, b);
}

/* An answer that is no bytes: what to make of it. */
static void judge_status(struct blob *b, const struct http_response *resp, bool elsewhere)
{
	struct err err;

	b->lied = resp->status == 416 || resp->status / 100 == 2;
	(void)registry_status_error(b->set->registry, resp, b->d.digest.text, elsewhere, &err);
	if (b->lied) {
		err.kind = ERR_REFUSED;
	} else if (elsewhere && !err.retryable) {
		/* A URL that was good for less time than it took: ask for another, a bounded number of times. */
		walk_place_clear(&b->place);
		(void)err_retry(&err, 0);
	}
	if (b->lied || err.retryable)
		try_again(b, false, &err);
	else
		blob_ended(b, &err);
}

static void judge_error(struct blob *b, const struct err *failure)
{
	struct err err = *failure;

	/* The HTTP layer refused the head: a coding nobody asked for, endless headers. */
	if (!b->spoiled && b->received == b->asked_from &&
	    (err.kind == ERR_PROTOCOL || err.kind == ERR_LIMIT))
		b->lied = true;
	if (b->lied || (err.retryable && !b->spoiled)) {
		try_again(b, b->received > b->asked_from, &err);
		return;
	}
	blob_ended(b, &err);
}

static void on_end(void *arg, struct http_response *resp, bool elsewhere, const struct err *failure)
{
	struct blob *b = arg;
	struct err err;

	b->walk = NULL;
	b->paused = false;
	if (b->digest_good && !b->spoiled) {
		blob_ended(b, NULL); /* however the connection ended */
	} else if (failure) {
		judge_error(b, failure);
	} else if (resp->status / 100 == 2 && b->head_checked) {
		(void)err_set(&err, ERR_NETWORK, "%s: ended after %" PRId64 " of %" PRId64 " bytes",
			      b->d.digest.text, b->received, b->d.size);
		judge_error(b, &err);
	} else {
		judge_status(b, resp, elsewhere);
	}
}

/* HTTP/1.1, since a paused HTTP/2 stream holds up all others of its connection. */
void blob_transfer_start(struct blob *b)
{
	const char *repository = b->set->registry->ref.repository;
	CLEANUP(freep) char *path = xasprintf("/v2/%s/blobs/%s", repository, b->d.digest.text);
	const struct walk_request req = {
		.path = path,
		.offset = b->received,
		.max_body_bytes = REGISTRY_ERROR_BODY_MAX,
		.on_body = on_bytes,
		.on_body_arg = b,
		.stall_timeout_ms = BLOB_STALL_MS,
		.http1_only = true,
		.place = &b->place,
	};

	b->asked_from = b->received;
	b->head_checked = b->lied = b->paused = false;
	b->window_ms = clock_mono_ms();
	b->walk = walk_start(b->set->registry, &req, on_end, b);
}

void blob_transfer_stop(struct blob *b)
{
	walk_cancel(STEAL(b->walk));
	loop_timer_cancel(STEAL(b->retry_timer));
	walk_place_clear(&b->place);
	b->paused = false;
}

void blob_transfer_resume(struct blob *b)
{
	if (!b->paused || !blob_admits(b, RESUME_ROOM_BYTES))
		return;
	b->paused = false;
	b->window_ms = clock_mono_ms();
	walk_resume(b->walk);
}

void blob_transfer_check_rate(struct blob *b, int64_t since_ms)
{
	int64_t now_ms = clock_mono_ms(), got = b->received - b->window_received;
	struct err err;

	b->window_received = b->received;
	if (!b->walk || b->paused || b->discard || got * 1000 >= since_ms * RATE_MIN_BYTES_PER_S)
		b->window_ms = now_ms;
	if (now_ms - b->window_ms < RATE_WINDOW_MS)
		return;
	walk_cancel(STEAL(b->walk));
	(void)err_set(&err, ERR_TIMEOUT, "%s: slower than %d bytes a second for %d s",
		      b->d.digest.text, RATE_MIN_BYTES_PER_S, RATE_WINDOW_MS / 1000);
	try_again(b, false, &err);
}
