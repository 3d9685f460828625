/*
 * zstd (RFC 8878): any number of frames, skippable ones among them; frame checksums
 * are verified by libzstd. A frame's first four bytes are looked at here, since a
 * libzstd with legacy support would also take formats that Go's decoder refuses.
 */
#include "unpack/inflate_format.h"

#include <zstd.h>
#include <zstd_errors.h>

#include "base/mem.h"

#define FRAME_MAGIC 0xfd2fb528u
#define SKIPPABLE_MAGIC 0x184d2a50u /* and 15 more: RFC 8878 §3.1.2 */
#define MAGIC_BYTES 4
#define HEADER_MAX_BYTES 18 /* RFC 8878 §3.1.1, with the magic number */

struct zstd {
	ZSTD_DCtx *ctx;
	uint8_t magic[MAGIC_BYTES];
	size_t seen;       /* of the frame's first bytes; HEADER_MAX_BYTES: we are well inside it */
	uint64_t frames;   /* whole ones */
};

static void *zstd_new(void)
{
	struct zstd *z = xcalloc(1, sizeof *z);

	z->ctx = ZSTD_createDCtx();
	if (!z->ctx || ZSTD_isError(ZSTD_DCtx_setParameter(z->ctx, ZSTD_d_windowLogMax, INFLATE_ZSTD_WINDOW_LOG_MAX)))
		abort(); /* no memory, as xmalloc() would */
	return z;
}

static void zstd_free(void *state)
{
	struct zstd *z = state;

	(void)ZSTD_freeDCtx(z->ctx); /* cannot fail for a heap context */
	free(z);
}

static int zstd_error(size_t code, struct err *err)
{
	if (ZSTD_getErrorCode(code) == ZSTD_error_frameParameter_windowTooLarge)
		return err_set(err, ERR_REFUSED, "zstd: needs a window of more than %zu MiB",
			       ((size_t)1 << INFLATE_ZSTD_WINDOW_LOG_MAX) / MIB);
	return err_set(err, ERR_REFUSED, "zstd: %s", ZSTD_getErrorName(code));
}

/* Decodes from *in until it or the frame ends. */
static int frame(struct zstd *z, ZSTD_inBuffer *in, const struct inflate_output *out, struct err *err)
{
	for (;;) {
		ZSTD_outBuffer piece = { out->buffer, out->size, 0 };
		size_t code = ZSTD_decompressStream(z->ctx, &piece, in);

		if (piece.pos && out->sink(out->arg, piece.dst, piece.pos, err) < 0)
			return -1;
		if (ZSTD_isError(code))
			return zstd_error(code, err);
		if (!code) {
			z->frames++;
			z->seen = 0;
			return 0;
		}
		if (in->pos == in->size && piece.pos < piece.size)
			return 0;
	}
}

static int check_magic(const struct zstd *z, struct err *err)
{
	uint32_t magic = (uint32_t)z->magic[0] | (uint32_t)z->magic[1] << 8 | (uint32_t)z->magic[2] << 16 |
			 (uint32_t)z->magic[3] << 24;

	if (magic == FRAME_MAGIC || (magic & ~15u) == SKIPPABLE_MAGIC)
		return 0;
	return err_set(err, ERR_REFUSED, z->frames ? "zstd: bytes behind the last frame" : "zstd: bad magic number");
}

/*
 * Behind the magic number, a frame's first bytes go one by one. For when its header is complete and
 * its output would fit, libzstd looks whether the input holds a whole frame, and takes what it was
 * called with for the start of that: the rest of a header may look like a frame.
 */
static int head(struct zstd *z, uint8_t byte, const struct inflate_output *out, struct err *err)
{
	ZSTD_inBuffer in = { &byte, 1, 0 };

	if (z->seen < MAGIC_BYTES) {
		z->magic[z->seen++] = byte;
		if (z->seen < MAGIC_BYTES)
			return 0;
		if (check_magic(z, err) < 0)
			return -1;
		in = (ZSTD_inBuffer){ z->magic, MAGIC_BYTES, 0 };
	} else {
		z->seen++;
	}
	return frame(z, &in, out, err);
}

static int zstd_feed(void *state, const uint8_t *bytes, size_t len, const struct inflate_output *out,
		     struct err *err)
{
	struct zstd *z = state;
	ZSTD_inBuffer in = { bytes, len, 0 };

	while (in.pos < in.size) {
		int result = z->seen < HEADER_MAX_BYTES ? head(z, bytes[in.pos++], out, err) : frame(z, &in, out, err);
		if (result < 0)
			return -1;
	}
	return 0;
}

static int zstd_end(void *state, struct err *err)
{
	const struct zstd *z = state;

	if (z->frames && !z->seen)
		return 0;
	return err_set(err, ERR_REFUSED, "zstd: truncated");
}

const struct inflate_decoder inflate_zstd = { zstd_new, zstd_free, zstd_feed, zstd_end };
