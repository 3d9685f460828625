/* What the files of the blob fetcher share. Nobody else includes this. */
#ifndef BERTH_OCI_BLOB_INTERNAL_H
#define BERTH_OCI_BLOB_INTERNAL_H

#include "oci/blob.h"
#include "oci/registry_internal.h"

/* Of the buffer, kept free for the blob that is read now: see blob_admits(). */
#define BLOB_READER_SHARE_BYTES (4 * MIB)
/* One allocation of buffered bytes; what blob_peek() shows at most. */
#define BLOB_SEGMENT_BYTES (256 * KIB)

struct segment {
	struct segment *next;
	size_t start, end, size;
	char bytes[];
};

struct blob {
	struct blob_set *set;
	size_t i;
	struct descriptor d;
	bool skip;
	enum blob_state state;
	struct err err;
	struct sha256 *hash;
	bool digest_good; /* all bytes are here and are the right ones */

	/* blob_buffer.c */
	int64_t received; /* bytes taken, in order, and hashed */
	int64_t read;     /* bytes consumed */
	size_t buffered;
	struct segment *first, *last;

	/* blob_transfer.c: the one under way */
	struct walk *walk;
	struct walk_place place;
	struct loop_timer *retry_timer;
	int64_t asked_from; /* its first byte */
	int64_t discard;    /* bytes that it sends again and that are passed over */
	bool head_checked, paused;
	bool lied;               /* it was refused before a byte of it was taken */
	bool spoiled;            /* bytes were taken that cannot be right: no second try */
	int64_t window_ms;       /* since then it has been too slow */
	int64_t window_received; /* at the last check */

	unsigned int failures; /* in a row without a new byte */
	unsigned int resumes;  /* in all */
	unsigned int lies;
};

struct blob_set {
	struct registry *registry;
	struct loop *loop;
	struct blob *blobs;
	size_t n;
	size_t running;
	size_t buffered;       /* of all */
	size_t lowest;         /* no blob below has anything left to read */
	struct segment *spare; /* of full size */
	struct loop_timer *rate_timer, *start_timer;
	blob_event_fn *event;
	void *event_arg;
};

/* blob_buffer.c: may blob b take so many bytes now? */
bool blob_admits(struct blob *b, size_t len);
void blob_store(struct blob *b, const void *bytes, size_t len);
void blob_drop(struct blob *b, size_t len); /* consumed */
void blob_buffer_free(struct blob_set *set);

/* blob_transfer.c */
void blob_transfer_start(struct blob *b);
void blob_transfer_stop(struct blob *b);
void blob_transfer_resume(struct blob *b); /* if it is paused */
/* Called every since_ms: cuts what is slower than 1 KiB/s over 30 s of our reading. */
void blob_transfer_check_rate(struct blob *b, int64_t since_ms);

/* blob.c: the blob is over, one way or the other (err NULL: verified). */
void blob_ended(struct blob *b, const struct err *err);

#endif
