#include "oci/blob_internal.h"

#include "base/mem.h"

void blob_find_lowest(struct blob_set *set)
{
	while (set->plan.lowest < set->n) {
		const struct blob *b = &set->blobs[set->plan.lowest];
		if (!b->skip && b->state != BLOB_FAILED && b->read < b->d.size)
			break;
		set->plan.lowest++;
	}
}

static void hold(struct blob *b, int64_t more)
{
	b->plan->held += more;
	b->set->plan.held += more;
}

void range_hold(struct range *r, int64_t more)
{
	r->held_to += more;
	r->b->plan->asked = r->held_to;
	hold(r->b, more);
}

struct range *range_new(struct blob *b, int64_t len, int64_t window)
{
	struct range *r = xcalloc(1, sizeof *r), **at = &b->ranges;
	int64_t first = b->plan->asked;

	*r = (struct range){ .b = b, .first = first, .end = first + len, .got = first, .held_to = first + window };
	while (*at)
		at = &(*at)->next;
	*at = r;
	b->plan->asked = r->end;
	hold(b, window);
	return r;
}

/* Its window moves along with its reader. */
static void move_window(struct range *r, int64_t len)
{
	int64_t left = r->end - r->held_to, more = len < left ? len : left;

	r->held_to += more;
	hold(r->b, more);
}

struct range *blob_cut(struct blob *b)
{
	struct range *r = b->ranges;

	while (r && r->next)
		r = r->next;
	if (!r || b->stream || r->end - r->held_to < PLAN_RANGE_MIN_BYTES)
		return NULL;
	r->end = b->plan->asked = r->held_to;
	return r;
}

static struct segment *segment_new(struct range *r)
{
	struct blob_set *set = r->b->set;
	int64_t left = r->end - r->got;
	size_t size = left < (int64_t)BLOB_SEGMENT_BYTES ? (size_t)left : BLOB_SEGMENT_BYTES;
	struct segment *s = set->spare;

	/* A hundred layers of 1 KiB each must not take a hundred times 256 KiB. */
	if (size < BLOB_SEGMENT_BYTES || !s)
		s = xmalloc(sizeof *s + size);
	else
		set->spare = s->next;
	s->next = NULL;
	s->start = s->end = 0;
	s->size = size;
	return s;
}

static void segment_free(struct blob_set *set, struct segment *s)
{
	if (s->size < BLOB_SEGMENT_BYTES) {
		free(s);
		return;
	}
	s->next = set->spare;
	set->spare = s;
}

static void segments_free(struct range *r)
{
	while (r->head) {
		struct segment *s = r->head;
		r->head = s->next;
		segment_free(r->b->set, s);
	}
	r->tail = NULL;
}

void range_store(struct range *r, const void *bytes, size_t len)
{
	const char *p = bytes;

	while (len) {
		struct segment *s = r->tail;
		size_t room = s ? s->size - s->end : 0;
		if (!room) {
			s = segment_new(r);
			room = s->size;
			if (r->tail)
				r->tail->next = s;
			else
				r->head = s;
			r->tail = s;
		}
		if (room > len)
			room = len;
		memcpy(s->bytes + s->end, p, room);
		s->end += room;
		p += room;
		len -= room;
		r->got += (int64_t)room;
		r->b->received += (int64_t)room;
	}
}

/* Of a range of which nothing was hashed or read yet. */
static void hash_all(struct blob *b, const struct range *r)
{
	for (const struct segment *s = r->head; s; s = s->next)
		sha256_update(b->hash, s->bytes, s->end);
	b->checked = r->got;
}

void blob_check_on(struct blob *b)
{
	for (struct range *r = b->ranges; r; r = r->next)
		if (r->first == b->checked && r->got > r->first)
			hash_all(b, r);
}

static void range_free(struct range *r)
{
	segments_free(r);
	free(r);
}

/* What is behind the bytes without a gap goes; what is half here ends where it is. */
static void cut_back(struct range *r)
{
	struct blob *b = r->b;
	int64_t keep = r->first < b->checked ? r->got : r->first;

	hold(b, keep - r->held_to);
	b->received -= r->got - keep;
	r->held_to = r->got = r->end = keep;
	if (keep == r->first)
		segments_free(r);
}

void range_become_stream(struct range *r)
{
	struct blob *b = r->b;
	struct range **at = &b->ranges;

	for (struct range *q; (q = *at);) {
		if (q != r)
			range_stop(q);
		cut_back(q);
		if (q == r || q->first == q->end) {
			*at = q->next;
			if (q != r)
				range_free(q);
			continue;
		}
		at = &q->next;
	}
	*at = r;
	r->next = NULL;
	if (r->first >= b->checked)
		r->first = r->got = r->held_to = b->checked;
	r->end = b->d.size;
	b->stream = true;
	b->opener = NULL;
	b->plan->asked = r->got;
	b->plan->waits = true;
}

void blob_forget_read(struct blob *b)
{
	while (b->ranges) {
		struct range *r = b->ranges;
		if (r->got < r->end || r->head || r->walk || r->under_way)
			return;
		b->ranges = r->next;
		range_free(r);
	}
}

static void drop(struct range *r, size_t len)
{
	struct segment *s = r->head;

	s->start += len;
	if (s->start < s->end)
		return;
	r->head = s->next;
	if (!r->head)
		r->tail = NULL;
	segment_free(r->b->set, s);
}

void blob_drop(struct blob *b, size_t len)
{
	struct range *r = b->ranges;

	b->plan->read = true;
	b->read += (int64_t)len;
	hold(b, -(int64_t)len);
	while (len) {
		while (!r->head)
			r = r->next;
		size_t n = r->head->end - r->head->start;
		if (n > len)
			n = len;
		drop(r, n);
		if (!b->stream)
			move_window(r, (int64_t)n);
		len -= n;
	}
	blob_forget_read(b);
	blob_find_lowest(b->set);
}

void blob_buffer_free(struct blob *b)
{
	while (b->ranges) {
		struct range *r = b->ranges;
		b->ranges = r->next;
		range_free(r);
	}
}

void blob_spare_free(struct blob_set *set)
{
	while (set->spare) {
		struct segment *s = set->spare;
		set->spare = s->next;
		free(s);
	}
}
