/*
 * gzip (RFC 1952) as Go's compress/gzip reads it, since that is what decides in
 * dockerd and containerd: any number of members, each header parsed by the same
 * rules (reserved flag bits ignored, a header CRC checked where flagged, names up to 511
 * bytes), each trailer's CRC and ISIZE checked. What follows the last member must be
 * another member: zero padding, which gzip(1) skips, is an error in Go and here.
 */
#include "unpack/inflate_format.h"

#include <isa-l/crc.h>
#include <isa-l/igzip_lib.h>

#include "base/mem.h"

enum { FLAG_HCRC = 2, FLAG_EXTRA = 4, FLAG_NAME = 8, FLAG_COMMENT = 16 };

#define FIXED_HEADER_BYTES 10
/* Go reads names and comments into 512 bytes, the final NUL included. */
#define HEADER_STRING_MAX 512

/* Where in a member we are; in the order of the bytes. */
enum part { FIXED, EXTRA_LENGTH, EXTRA, NAME, COMMENT, HEADER_CRC, BODY };

struct gzip {
	enum part part;
	uint8_t flags;
	uint8_t fixed[FIXED_HEADER_BYTES]; /* collected bytes of a part of fixed size */
	size_t have;                       /* bytes of this part seen */
	size_t extra_length;
	uint32_t header_crc;
	uint64_t members;                  /* whole ones */
	struct inflate_state isal;
};

static void *gzip_new(void)
{
	struct gzip *g = xcalloc(1, sizeof *g);

	isal_inflate_init(&g->isal);
	/* ISA-L takes the trailer too: it compares CRC and ISIZE. */
	g->isal.crc_flag = ISAL_GZIP_NO_HDR_VER;
	return g;
}

static int bad_header(struct err *err)
{
	return err_set(err, ERR_REFUSED, "gzip: bad header");
}

static bool part_is_present(const struct gzip *g, enum part part)
{
	static const uint8_t flag[] = {
		[EXTRA_LENGTH] = FLAG_EXTRA, [EXTRA] = FLAG_EXTRA,      [NAME] = FLAG_NAME,
		[COMMENT] = FLAG_COMMENT,    [HEADER_CRC] = FLAG_HCRC,
	};

	if (part == EXTRA && !g->extra_length)
		return false;
	return part == BODY || (g->flags & flag[part]);
}

static void next_part(struct gzip *g)
{
	g->have = 0;
	do
		g->part++;
	while (!part_is_present(g, g->part));
	if (g->part == BODY)
		isal_inflate_reset(&g->isal);
}

static int end_of_fixed(struct gzip *g, struct err *err)
{
	if (g->fixed[0] != 0x1f || g->fixed[1] != 0x8b || g->fixed[2] != 8)
		return g->members ? err_set(err, ERR_REFUSED, "gzip: bytes behind the last member")
				  : bad_header(err);
	g->flags = g->fixed[3];
	g->extra_length = 0;
	next_part(g);
	return 0;
}

static uint16_t little_endian16(const uint8_t *p)
{
	return (uint16_t)(p[0] | p[1] << 8);
}

static int header_byte(struct gzip *g, uint8_t byte, struct err *err)
{
	uint32_t crc_before = g->header_crc;

	g->header_crc = crc32_gzip_refl(crc_before, &byte, 1);
	if (g->have < sizeof g->fixed)
		g->fixed[g->have] = byte;
	g->have++;

	switch (g->part) {
	case FIXED:
		return g->have < FIXED_HEADER_BYTES ? 0 : end_of_fixed(g, err);
	case EXTRA_LENGTH:
		if (g->have < 2)
			return 0;
		g->extra_length = little_endian16(g->fixed);
		next_part(g);
		return 0;
	case EXTRA:
		if (g->have == g->extra_length)
			next_part(g);
		return 0;
	case NAME:
	case COMMENT:
		if (!byte)
			next_part(g);
		else if (g->have == HEADER_STRING_MAX)
			return bad_header(err);
		return 0;
	case HEADER_CRC:
		g->header_crc = crc_before; /* these two bytes are not part of what they cover */
		if (g->have < 2)
			return 0;
		if (little_endian16(g->fixed) != (uint16_t)g->header_crc)
			return bad_header(err);
		next_part(g);
		return 0;
	case BODY:
		break;
	}
	return 0;
}

static int isal_error(int code, struct err *err)
{
	return err_set(err, ERR_REFUSED, "gzip: %s",
		       code == ISAL_INCORRECT_CHECKSUM ? "bad checksum or length in the trailer" : "corrupt data");
}

/* Inflates from *bytes until the input or the member ends. */
static int body(struct gzip *g, const uint8_t **bytes, size_t *len, const struct inflate_output *out,
		struct err *err)
{
	struct inflate_state *s = &g->isal;
	uint32_t offered = *len < 1 * MIB ? (uint32_t)*len : (uint32_t)(1 * MIB);
	int code;

	s->next_in = (uint8_t *)*bytes; /* ISA-L only reads it */
	s->avail_in = offered;
	do {
		size_t room = out->size;
		s->next_out = out->buffer;
		s->avail_out = (uint32_t)room;
		code = isal_inflate(s);
		size_t produced = room - s->avail_out;
		if (produced && out->sink(out->arg, out->buffer, produced, err) < 0)
			return -1;
		if (code < 0)
			return isal_error(code, err);
	} while (s->block_state != ISAL_BLOCK_FINISH && (s->avail_in || !s->avail_out));

	*bytes += offered - s->avail_in;
	*len -= offered - s->avail_in;
	if (s->block_state == ISAL_BLOCK_FINISH) {
		g->members++;
		g->part = FIXED;
		g->have = 0;
		g->header_crc = 0;
	}
	return 0;
}

static int gzip_feed(void *state, const uint8_t *bytes, size_t len, const struct inflate_output *out,
		     struct err *err)
{
	struct gzip *g = state;

	while (len) {
		if (g->part == BODY) {
			if (body(g, &bytes, &len, out, err) < 0)
				return -1;
			continue;
		}
		if (header_byte(g, *bytes, err) < 0)
			return -1;
		bytes++;
		len--;
	}
	return 0;
}

static int gzip_end(void *state, struct err *err)
{
	const struct gzip *g = state;

	if (g->members && g->part == FIXED && !g->have)
		return 0;
	if (g->members && g->part == FIXED)
		return err_set(err, ERR_REFUSED, "gzip: bytes behind the last member");
	return err_set(err, ERR_REFUSED, "gzip: truncated");
}

const struct inflate_decoder inflate_gzip = { gzip_new, free, gzip_feed, gzip_end };
