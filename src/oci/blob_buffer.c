#include "oci/blob_internal.h"

#include "base/mem.h"

/* The blob that is read now, or will be next: readers take them in order. */
static size_t reader_at(struct blob_set *set)
{
	while (set->lowest < set->n) {
		const struct blob *b = &set->blobs[set->lowest];
		if (!b->skip && b->state != BLOB_FAILED && b->read < b->d.size)
			break;
		set->lowest++;
	}
	return set->lowest;
}

/*
 * All blobs share BLOB_BUFFERED_MAX_BYTES; all but the one being read leave
 * BLOB_READER_SHARE_BYTES of it free. Why the reader cannot starve: let j be the
 * lowest blob with something left to read, and suppose that it may not take a
 * slice. Then the buffer is full to within a slice. When a blob other than j last
 * took bytes, the whole buffer ended below MAX - SHARE; whatever came since came
 * for blobs that were "being read" in turn, and those before j have been read to
 * their end. So at least SHARE minus a slice of what is buffered is j's own: the
 * reader has bytes to read, and each that it consumes makes room. If j has no
 * bytes, there is room for SHARE. And j has a transfer: those are started lowest
 * first, and none gives its place away before its blob has ended.
 */
bool blob_admits(struct blob *b, size_t len)
{
	struct blob_set *set = b->set;
	size_t max = BLOB_BUFFERED_MAX_BYTES;

	if (b->i != reader_at(set))
		max -= BLOB_READER_SHARE_BYTES;
	return set->buffered + len <= max;
}

static struct segment *segment_new(struct blob *b)
{
	int64_t left = b->d.size - b->received;
	size_t size = left < (int64_t)BLOB_SEGMENT_BYTES ? (size_t)left : BLOB_SEGMENT_BYTES;
	struct segment *s = b->set->spare;

	/* A hundred layers of 1 KiB each must not take a hundred times 256 KiB. */
	if (size < BLOB_SEGMENT_BYTES || !s)
		s = xmalloc(sizeof *s + size);
	else
		b->set->spare = s->next;
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

void blob_store(struct blob *b, const void *bytes, size_t len)
{
	const char *p = bytes;

	while (len) {
		struct segment *s = b->last;
		size_t room = s ? s->size - s->end : 0;
		if (!room) {
			s = segment_new(b);
			room = s->size;
			if (b->last)
				b->last->next = s;
			else
				b->first = s;
			b->last = s;
		}
		if (room > len)
			room = len;
		memcpy(s->bytes + s->end, p, room);
		s->end += room;
		p += room;
		len -= room;
		b->received += (int64_t)room;
		b->buffered += room;
		b->set->buffered += room;
	}
}

void blob_drop(struct blob *b, size_t len)
{
	b->read += (int64_t)len;
	b->buffered -= len;
	b->set->buffered -= len;
	while (len) {
		struct segment *s = b->first;
		size_t n = s->end - s->start;
		if (n > len)
			n = len;
		s->start += n;
		len -= n;
		if (s->start < s->end)
			continue;
		b->first = s->next;
		if (!b->first)
			b->last = NULL;
		segment_free(b->set, s);
	}
}

static void segments_free(struct segment *s)
{
	while (s) {
		struct segment *next = s->next;
		free(s);
		s = next;
	}
}

void blob_buffer_free(struct blob_set *set)
{
	for (size_t i = 0; i < set->n; i++)
		segments_free(set->blobs[i].first);
	segments_free(set->spare);
}
