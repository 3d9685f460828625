#include "base/text.h"

/* No overlong forms, no surrogates. */
size_t utf8_sequence(const char *p, const char *end)
{
	static const struct {
		uint8_t first_low, first_high, second_low, second_high, len;
	} rows[] = {
		{ 0xc2, 0xdf, 0x80, 0xbf, 2 }, { 0xe0, 0xe0, 0xa0, 0xbf, 3 },
		{ 0xe1, 0xec, 0x80, 0xbf, 3 }, { 0xed, 0xed, 0x80, 0x9f, 3 },
		{ 0xee, 0xef, 0x80, 0xbf, 3 }, { 0xf0, 0xf0, 0x90, 0xbf, 4 },
		{ 0xf1, 0xf3, 0x80, 0xbf, 4 }, { 0xf4, 0xf4, 0x80, 0x8f, 4 },
	};
	const uint8_t *u = (const uint8_t *)p;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		if (u[0] < rows[i].first_low || u[0] > rows[i].first_high)
			continue;
		if (end - p < rows[i].len || u[1] < rows[i].second_low ||
		    u[1] > rows[i].second_high)
			return 0;
		for (size_t k = 2; k < rows[i].len; k++)
			if ((u[k] & 0xc0) != 0x80)
				return 0;
		return rows[i].len;
	}
	return 0;
}

void text_clean(char *s)
{
	const char *end = s + strlen(s);
	char *to = s;

	while (*s) {
		unsigned char c = (unsigned char)*s;
		size_t n = c < 0x80 ? 1 : utf8_sequence(s, end);
		bool control = c < 0x20 || c == 0x7f || (c == 0xc2 && n && (unsigned char)s[1] < 0xa0);

		if (!n || control) {
			*to++ = c == '\t' ? ' ' : '?';
			s += n ? n : 1;
		} else {
			memmove(to, s, n);
			to += n;
			s += n;
		}
	}
	*to = '\0';
}
