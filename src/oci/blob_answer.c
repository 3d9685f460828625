#include "oci/blob_internal.h"

#include <inttypes.h>

#include "base/mem.h"

/* Strict: "bytes FIRST-LAST/TOTAL" of just what was asked for. */
static bool content_range_fits(const struct range *r, const char *value)
{
	char want[96];

	(void)snprintf(want, sizeof want, "bytes %" PRId64 "-%" PRId64 "/%" PRId64, r->asked_from, r->asked_end - 1,
		       r->b->d.size);
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

static int check_part(const struct range *r, const struct http_response *head, struct err *err)
{
	CLEANUP(freep) char *value = http_header_get(head, "content-range");

	if (r->ranged && value && content_range_fits(r, value))
		return check_length(head, r->asked_end - r->asked_from, err);
	return err_set(err, ERR_REFUSED,
		       "206 with Content-Range \"%.64s\" where bytes %" PRId64 " to %" PRId64 " of %" PRId64
		       " were asked for",
		       value ? value : "", r->asked_from, r->asked_end - 1, r->b->d.size);
}

int range_check_head(struct range *r, const struct http_response *head, struct err *err)
{
	r->head_checked = true;
	r->discard = 0;
	if (head->status == 206)
		return check_part(r, head, err);
	if (head->status != 200)
		return err_set(err, ERR_REFUSED, "status %ld instead of bytes", head->status);
	if (check_length(head, r->b->d.size, err) < 0)
		return -1;
	/*
	 * A server without ranges sends all of it from 0: the one transfer that this blob gets from
	 * now on. What it repeats is passed over, and the digest of the whole tells if it was
	 * another blob.
	 */
	if (r->ranged)
		range_become_stream(r);
	r->discard = r->got_before = r->got;
	return 0;
}
