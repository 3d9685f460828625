/*
 * Compressed bytes in, tar bytes out: gzip by ISA-L (all members, each trailer
 * checked), zstd by libzstd with a bounded window, or as they are. The only owner
 * of ISA-L and libzstd. No I/O.
 */
#ifndef BERTH_UNPACK_INFLATE_H
#define BERTH_UNPACK_INFLATE_H

#include "base/err.h"

/* containerd's klauspost decoder and dockerd accept windows up to 64 MiB+; 128 MiB is zstd --long=27. */
#define INFLATE_ZSTD_WINDOW_LOG_MAX 27

enum inflate_format { INFLATE_PLAIN, INFLATE_GZIP, INFLATE_ZSTD };

/*
 * What the first bytes of a layer are, whatever its media type says: engines look at the bytes too.
 * `len` bytes of it are known; INFLATE_DETECT_BYTES are enough. Pure.
 */
#define INFLATE_DETECT_BYTES 4
enum inflate_format inflate_detect(const void *bytes, size_t len);

struct inflate;
int inflate_new(enum inflate_format format, struct inflate **out, struct err *err) MUST_CHECK;
void inflate_free(struct inflate *x);

/*
 * Feeds len bytes; calls sink for each piece of output (at most 1 MiB each). Padding of zeros
 * behind the last gzip member is accepted as Go's reader does not: refuse what Go refuses.
 * ERR_REFUSED for damaged data, a lying trailer, bytes behind the end, a zstd window that is
 * too large; the sink's own error is passed on.
 */
typedef int inflate_sink_fn(void *arg, const void *bytes, size_t len, struct err *err);
int inflate_feed(struct inflate *x, const void *bytes, size_t len, inflate_sink_fn *sink, void *arg,
		 struct err *err) MUST_CHECK;
/*
 * Output is made in this memory (at most 1 MiB of it), which the caller keeps, instead of in a
 * buffer of the decoder's own; the sink may name another each time it is called. Plain bytes go to
 * the sink from where they are.
 */
void inflate_output_to(struct inflate *x, void *buffer, size_t size);
/* The input has ended: ERR_REFUSED "truncated" unless the last member was whole. */
int inflate_end(struct inflate *x, struct err *err) MUST_CHECK;

#endif
