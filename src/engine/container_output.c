/* What containers and commands print: frames taken apart, bytes made printable. Pure. */
#include "base/mem.h"
#include "engine/container_internal.h"

int docker_frames_feed(struct docker_frames *f, const void *bytes, size_t len, docker_output_fn *fn,
		       void *arg, struct err *err)
{
	const char *p = bytes, *end = p + len;

	if (f->raw) {
		fn(arg, p, len);
		return 0;
	}
	while (p < end) {
		if (!f->left) {
			f->head[f->head_len++] = (uint8_t)*p++;
			if (f->head_len < sizeof f->head)
				continue;
			f->head_len = 0;
			if (f->head[0] > 2 || f->head[1] || f->head[2] || f->head[3])
				return err_set(err, ERR_PROTOCOL,
					       "Docker's output stream has no frames");
			f->left = (uint32_t)f->head[4] << 24 | (uint32_t)f->head[5] << 16 |
				  (uint32_t)f->head[6] << 8 | f->head[7];
			continue;
		}
		size_t n = (size_t)(end - p) < f->left ? (size_t)(end - p) : f->left;
		fn(arg, p, n);
		f->left -= (uint32_t)n;
		p += n;
	}
	return 0;
}

/*
 * RFC 3629 §4: the length of the sequence at p, 0 when it is none; C1 controls (U+0080-9F) are none
 * here.
 */
static size_t printable_sequence(const uint8_t *p, size_t len)
{
	static const struct {
		uint8_t first_low, first_high, second_low, second_high, len;
	} rows[] = {
		{ 0xc2, 0xc2, 0xa0, 0xbf, 2 }, { 0xc3, 0xdf, 0x80, 0xbf, 2 },
		{ 0xe0, 0xe0, 0xa0, 0xbf, 3 }, { 0xe1, 0xec, 0x80, 0xbf, 3 },
		{ 0xed, 0xed, 0x80, 0x9f, 3 }, { 0xee, 0xef, 0x80, 0xbf, 3 },
		{ 0xf0, 0xf0, 0x90, 0xbf, 4 }, { 0xf1, 0xf3, 0x80, 0xbf, 4 },
		{ 0xf4, 0xf4, 0x80, 0x8f, 4 },
	};

	if (*p < 0x80)
		return (*p >= 0x20 && *p != 0x7f) || *p == '\n' || *p == '\t';
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		if (*p < rows[i].first_low || *p > rows[i].first_high)
			continue;
		if (len < rows[i].len || p[1] < rows[i].second_low || p[1] > rows[i].second_high)
			return 0;
		for (size_t k = 2; k < rows[i].len; k++)
			if ((p[k] & 0xc0) != 0x80)
				return 0;
		return rows[i].len;
	}
	return 0;
}

int output_printable(const char *bytes, size_t len, struct buf *out, struct err *err)
{
	for (size_t i = 0; i < len;) {
		size_t n = printable_sequence((const uint8_t *)bytes + i, len - i);
		/* Many programs end lines with CR LF. */
		bool silent = !n && bytes[i] == '\r' && i + 1 < len && bytes[i + 1] == '\n';
		if (!silent && buf_append(out, n ? bytes + i : "?", n ? n : 1, err) < 0)
			return -1;
		i += n ? n : 1;
	}
	return 0;
}
