/* What the files of the blob fetcher share. Nobody else includes this. */
#ifndef BERTH_OCI_BLOB_INTERNAL_H
#define BERTH_OCI_BLOB_INTERNAL_H

#include "oci/blob.h"
#include "oci/blob_plan.h"
#include "oci/registry_internal.h"

/* One allocation of buffered bytes; what blob_peek() shows at most. */
#define BLOB_SEGMENT_BYTES (256 * KIB)

struct segment {
	struct segment *next;
	size_t start, end, size;
	char bytes[];
};

/* Bytes that are asked for at once, and where they wait until they are read. */
struct range {
	struct range *next;
	struct blob *b;
	int64_t first, end; /* of the blob; end is behind the last */
	int64_t got;        /* the next byte to come */
	int64_t held_to;    /* below, the budget has room for it; end, but for a stream and what flows */
	struct segment *head, *tail;

	/* blob_transfer.c: the transfer under way */
	struct walk *walk;
	struct loop_timer *retry_timer;
	bool under_way;     /* counts as a connection, also between two tries */
	bool waits;         /* for another range to tell where the blob is */
	unsigned int place; /* the number of the place that it was sent to */
	int64_t asked_from; /* its first byte */
	int64_t asked_end;  /* behind its last one; end may have come nearer since */
	int64_t got_before; /* when it was sent off */
	int64_t discard;    /* bytes that it sends again and that are passed over */
	bool ranged;        /* asked for a part */
	bool head_checked, paused;
	bool lied;               /* it was refused before a byte of it was taken */
	bool spoiled;            /* bytes were taken that cannot be right: no second try */
	int64_t window_ms;       /* since then it has been too slow */
	int64_t window_got;      /* at the last check */

	unsigned int failures; /* in a row without a new byte */
	unsigned int lies;
};

struct blob {
	struct blob_set *set;
	size_t i;
	struct descriptor d;
	bool skip;
	struct plan_blob *plan;
	enum blob_state state;
	struct err err;
	bool spoiled; /* why it failed */

	struct range *ranges; /* from the byte that is read next on, in order */
	int64_t received;     /* bytes that are here or were read */
	int64_t looked_at;    /* of them, when adapt() last looked */
	int64_t checked;      /* bytes without a gap, hashed */
	int64_t read;
	struct sha256 *hash;
	bool digest_good; /* all bytes are here and are the right ones */

	struct walk_place place;   /* where the bytes are, if not at the registry */
	unsigned int place_number; /* counts them */
	struct range *opener;      /* finds out; the others wait */
	bool direct;               /* the registry itself has them */
	bool stream;               /* no ranges here: one transfer to the end */
	unsigned int resumes;      /* in all */
};

struct blob_set {
	struct registry *registry;
	struct loop *loop;
	struct blob *blobs;
	size_t n;
	struct plan plan;
	struct segment *spare; /* of full size */
	struct loop_timer *rate_timer, *start_timer, *adapt_timer;
	int64_t adapt_ms, adapt_cpu_ms; /* at the last time */
	blob_event_fn *event;
	void *event_arg;
};

/* blob_buffer.c */
/* of what is asked next; takes window of the budget */
struct range *range_new(struct blob *b, int64_t len, int64_t window);
void range_store(struct range *r, const void *bytes, size_t len);
/*
 * From here on one range: whatever arrived behind the bytes without a gap is dropped, and r has the rest of the blob.
 */
void range_become_stream(struct range *r);
void range_hold(struct range *r, int64_t more); /* a stream's */
/*
 * If the blob's last range flows, it ends with its window from now on; what is behind will be asked for.
 * NULL: it does not.
 */
struct range *blob_cut(struct blob *b);
/* Hashes what has no gap any more. */
void blob_check_on(struct blob *b);
void blob_drop(struct blob *b, size_t len); /* read */
void blob_forget_read(struct blob *b);      /* frees the ranges that are read and whose transfer is over */
void blob_buffer_free(struct blob *b);
void blob_spare_free(struct blob_set *set);
/* The lowest blob with something left to read: readers take them in order. */
void blob_find_lowest(struct blob_set *set);

/* blob_transfer.c */
void range_start(struct range *r);
void range_stop(struct range *r);
void range_resume(struct range *r); /* if it is paused and has room */
/* Its end has come nearer: it may have arrived, or have room for all that is left. May free it. */
void range_go_on(struct range *r);
/*
 * Called every since_ms: cuts what is slower than 1 KiB/s over 30 s of our reading. True: that may have moved others.
 */
bool range_check_rate(struct range *r, int64_t since_ms);
void blob_transfer_stop(struct blob *b);

/*
 * blob_answer.c: before the first byte: is this what was asked for? A blob that comes whole instead is made a stream.
 */
int range_check_head(struct range *r, const struct http_response *head, struct err *err) MUST_CHECK;

/* blob.c */
void blob_ask(struct blob_set *set); /* for all that may be asked for now */
/* The blob is over, one way or the other (err NULL: verified). */
void blob_ended(struct blob *b, const struct err *err);

#endif
