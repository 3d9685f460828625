#include "unpack/inflate.h"

#include <assert.h>

#include "base/mem.h"
#include "unpack/inflate_format.h"

/* What inflate.h promises of one piece of output. */
#define PIECE_MAX_BYTES (1 * MIB)

struct inflate {
	const struct inflate_decoder *decoder;
	void *state;
	struct inflate_output out;
	uint8_t *buffer; /* its own; NULL: it has needed none */
};

static void *plain_new(void)
{
	return NULL;
}

static void plain_free(void *state)
{
	(void)state;
}

static int plain_feed(void *state, const uint8_t *bytes, size_t len, const struct inflate_output *out,
		      struct err *err)
{
	(void)state;
	while (len) {
		size_t piece = len < PIECE_MAX_BYTES ? len : PIECE_MAX_BYTES;
		if (out->sink(out->arg, bytes, piece, err) < 0)
			return -1;
		bytes += piece;
		len -= piece;
	}
	return 0;
}

/* Plain bytes have no end of their own: their length is the blob's, which the caller checks. */
static int plain_end(void *state, struct err *err)
{
	(void)state;
	(void)err;
	return 0;
}

static const struct inflate_decoder inflate_plain = { plain_new, plain_free, plain_feed, plain_end };

static const struct inflate_decoder *const decoders[] = {
	[INFLATE_PLAIN] = &inflate_plain,
	[INFLATE_GZIP] = &inflate_gzip,
	[INFLATE_ZSTD] = &inflate_zstd,
};

enum inflate_format inflate_detect(const void *bytes, size_t len)
{
	static const struct {
		const char *magic;
		size_t len;
		enum inflate_format format;
	} magics[] = {
		{ "\x1f\x8b\x08", 3, INFLATE_GZIP },     /* RFC 1952 §2.3.1 */
		{ "\x28\xb5\x2f\xfd", 4, INFLATE_ZSTD }, /* RFC 8878 §3.1.1 */
	};

	for (size_t i = 0; i < ARRAY_LEN(magics); i++)
		if (len >= magics[i].len && memcmp(bytes, magics[i].magic, magics[i].len) == 0)
			return magics[i].format;
	/* A zstd stream may begin with a skippable frame: 0x184D2A50 to 0x184D2A5F, little-endian. */
	const uint8_t *b = bytes;
	if (len >= 4 && (b[0] & 0xf0) == 0x50 && b[1] == 0x2a && b[2] == 0x4d && b[3] == 0x18)
		return INFLATE_ZSTD;
	return INFLATE_PLAIN;
}

int inflate_new(enum inflate_format format, struct inflate **out, struct err *err)
{
	if ((size_t)format >= ARRAY_LEN(decoders))
		return err_set(err, ERR_REFUSED, "unknown compression %d", (int)format);

	struct inflate *x = xcalloc(1, sizeof *x);
	x->decoder = decoders[format];
	x->state = x->decoder->new();
	*out = x;
	return 0;
}

void inflate_free(struct inflate *x)
{
	if (!x)
		return;
	x->decoder->free(x->state);
	free(x->buffer);
	free(x);
}

void inflate_output_to(struct inflate *x, void *buffer, size_t size)
{
	assert(size > 0 && size <= PIECE_MAX_BYTES);
	x->out.buffer = buffer;
	x->out.size = size;
}

int inflate_feed(struct inflate *x, const void *bytes, size_t len, inflate_sink_fn *sink, void *arg,
		 struct err *err)
{
	if (!x->out.buffer) {
		x->buffer = xmalloc(INFLATE_OUT_BYTES);
		inflate_output_to(x, x->buffer, INFLATE_OUT_BYTES);
	}
	x->out.sink = sink;
	x->out.arg = arg;
	return len ? x->decoder->feed(x->state, bytes, len, &x->out, err) : 0;
}

int inflate_end(struct inflate *x, struct err *err)
{
	return x->decoder->end(x->state, err);
}
