#include <errno.h>

#include "base/json.h"
#include "base/mem.h"
#include "base/text.h"

/* cJSON copies a number into 64 bytes and cuts what does not fit. */
#define NUMBER_MAX_CHARS 63

#define NAME_SHOWN_CHARS 40 /* of a name in a message */

const struct json_limits json_default_limits = {
	.max_bytes = 4 * MIB,
	.max_depth = 64,
	.max_nodes = 100000,
};

/* A member's name as it stands between its quotes, already known to be sound. */
struct name {
	const char *at;
	size_t len;
};

struct scan {
	const char *start, *p, *end;
	const struct json_limits *limits;
	size_t depth, nodes;
	struct name *names; /* of all objects that are open, innermost last */
	size_t n_names, names_capacity;
	struct err *err;
};

static int scan_value(struct scan *s);

static int bad(struct scan *s, const char *what)
{
	return err_set(s->err, ERR_PROTOCOL, "not JSON: %s at byte %zu", what,
		       (size_t)(s->p - s->start));
}

static int bad_or_cut(struct scan *s, const char *what)
{
	return bad(s, s->p == s->end ? "it ends" : what);
}

static void skip_space(struct scan *s)
{
	while (s->p < s->end && (*s->p == ' ' || *s->p == '\t' || *s->p == '\n' || *s->p == '\r'))
		s->p++;
}

static bool take(struct scan *s, char c)
{
	if (s->p == s->end || *s->p != c)
		return false;
	s->p++;
	return true;
}

/* The value of four hex digits, or -1. */
static int hex4(const char *p, const char *end)
{
	int v = 0;

	if (end - p < 4)
		return -1;
	for (int i = 0; i < 4; i++) {
		static const char digits[] = "0123456789abcdef";
		const char *at = p[i] ? strchr(digits, p[i] | 0x20) : NULL;
		/* 0x20 turns 'A' into 'a', but also 0x10 into '0'. */
		if (!at || (unsigned char)p[i] < '0')
			return -1;
		v = v * 16 + (int)(at - digits);
	}
	return v;
}

/* At the 'u' of \uXXXX. */
static int scan_unicode_escape(struct scan *s)
{
	int unit = hex4(s->p + 1, s->end);

	if (unit < 0)
		return bad(s, "bad \\u escape");
	if (unit == 0)
		return bad(s, "NUL in a string");
	s->p += 5;
	if (unit < 0xd800 || unit > 0xdfff)
		return 0;
	int low = unit < 0xdc00 && take(s, '\\') && take(s, 'u') ? hex4(s->p, s->end) : -1;
	if (low < 0xdc00 || low > 0xdfff)
		return bad(s, "half of a surrogate pair");
	s->p += 4;
	return 0;
}

/* At the opening quote. */
static int scan_string(struct scan *s, struct name *out)
{
	const char *start = ++s->p;

	for (;;) {
		if (s->p == s->end)
			return bad(s, "it ends");
		unsigned char c = (unsigned char)*s->p;
		if (c == '"')
			break;
		if (c < 0x20)
			return bad(s, "control byte in a string");
		if (c == '\\') {
			if (++s->p == s->end)
				return bad(s, "it ends");
			if (*s->p == 'u') {
				if (scan_unicode_escape(s) < 0)
					return -1;
			} else if (*s->p && strchr("\"\\/bfnrt", *s->p)) {
				s->p++;
			} else {
				return bad(s, "unknown escape");
			}
			continue;
		}
		size_t n = c < 0x80 ? 1 : utf8_sequence(s->p, s->end);
		if (!n)
			return bad(s, "bad UTF-8");
		s->p += n;
	}
	*out = (struct name){ .at = start, .len = (size_t)(s->p++ - start) };
	return 0;
}

static size_t skip_digits(struct scan *s)
{
	const char *from = s->p;

	while (s->p < s->end && *s->p >= '0' && *s->p <= '9')
		s->p++;
	return (size_t)(s->p - from);
}

static int scan_number(struct scan *s)
{
	const char *start = s->p;
	char text[NUMBER_MAX_CHARS + 1] = "";

	(void)take(s, '-'); /* may be there */
	if (!take(s, '0') && !skip_digits(s))
		return bad_or_cut(s, "unexpected character");
	if (take(s, '.') && !skip_digits(s))
		return bad_or_cut(s, "bad number");
	if (take(s, 'e') || take(s, 'E')) {
		if (!take(s, '+'))
			(void)take(s, '-'); /* may be there */
		if (!skip_digits(s))
			return bad_or_cut(s, "bad number");
	}
	size_t len = (size_t)(s->p - start);
	s->p = start; /* where the messages point */
	if (len > NUMBER_MAX_CHARS)
		return bad(s, "number with too many characters");
	memcpy(text, start, len);
	errno = 0;
	(void)strtod(text, NULL); /* only its range matters */
	if (errno == ERANGE)
		return bad(s, "number too large or too small");
	s->p += len;
	return 0;
}

/* Takes the next code unit out of a sound name: escapes count as what they mean. */
static uint32_t next_unit(struct name *n)
{
	static const char escapes[] = "bfnrt", meanings[] = "\b\f\n\r\t";
	const char *p = n->at;
	size_t len = 1;
	uint32_t unit = (unsigned char)*p;

	if (*p == '\\' && p[1] == 'u') {
		len = 6;
		unit = (uint32_t)hex4(p + 2, p + 6);
	} else if (*p == '\\') {
		const char *at = strchr(escapes, p[1]);
		len = 2;
		unit = at ? (unsigned char)meanings[at - escapes] : (unsigned char)p[1];
	} else if (unit >= 0x80) {
		len = utf8_sequence(p, p + n->len);
		unit &= 0xffu >> (len + 1);
		for (size_t i = 1; i < len; i++)
			unit = unit << 6 | ((unsigned char)p[i] & 0x3f);
	}
	n->at += len;
	n->len -= len;
	return unit;
}

/* Decoded one code point at a time: "\ud83d\ude00" is the same name as its UTF-8. */
static uint32_t next_char(struct name *n)
{
	uint32_t c = next_unit(n);

	if (c >= 0xd800 && c <= 0xdbff)
		c = 0x10000 + ((c - 0xd800) << 10) + (next_unit(n) - 0xdc00);
	return c;
}

static int compare_names(const void *a, const void *b)
{
	struct name x = *(const struct name *)a, y = *(const struct name *)b;

	while (x.len && y.len) {
		uint32_t cx = next_char(&x), cy = next_char(&y);
		if (cx != cy)
			return cx < cy ? -1 : 1;
	}
	return (x.len > 0) - (y.len > 0);
}

static void remember(struct scan *s, struct name name)
{
	if (s->n_names == s->names_capacity) {
		s->names_capacity = s->names_capacity ? 2 * s->names_capacity : 64;
		s->names = xreallocarray(s->names, s->names_capacity, sizeof *s->names);
	}
	s->names[s->n_names++] = name;
}

/* Drops the names of the innermost object, which start at first; sorted, so that many cost n log n.
 */
static int forget(struct scan *s, size_t first)
{
	size_t n = s->n_names - first;

	if (n < 2) {
		s->n_names = first;
		return 0;
	}
	struct name *names = s->names + first;
	qsort(names, n, sizeof *names, compare_names);
	for (size_t i = 1; i < n; i++)
		if (compare_names(&names[i - 1], &names[i]) == 0)
			return err_set(s->err, ERR_PROTOCOL,
				       "JSON: name \"%.*s\" twice in one object",
				       (int)(names[i].len < NAME_SHOWN_CHARS ? names[i].len
									     : NAME_SHOWN_CHARS),
				       names[i].at);
	s->n_names = first;
	return 0;
}

static int scan_member(struct scan *s)
{
	struct name name;

	skip_space(s);
	if (s->p == s->end || *s->p != '"')
		return bad_or_cut(s, "a name was expected");
	if (scan_string(s, &name) < 0)
		return -1;
	remember(s, name);
	skip_space(s);
	if (!take(s, ':'))
		return bad_or_cut(s, "':' was expected");
	return scan_value(s);
}

/* Behind the opening bracket; close is the bracket that ends it. */
static int scan_container(struct scan *s, char close)
{
	size_t first_name = s->n_names;

	if (++s->depth > s->limits->max_depth)
		return err_set(s->err, ERR_LIMIT, "JSON nested deeper than %zu",
			       s->limits->max_depth);
	skip_space(s);
	if (!take(s, close)) {
		do {
			if ((close == '}' ? scan_member(s) : scan_value(s)) < 0)
				return -1;
			skip_space(s);
		} while (take(s, ','));
		if (!take(s, close))
			return bad_or_cut(s, close == '}' ? "',' or '}' was expected"
							  : "',' or ']' was expected");
	}
	s->depth--;
	return close == '}' ? forget(s, first_name) : 0;
}

static int scan_word(struct scan *s, const char *word)
{
	size_t n = strlen(word);

	if ((size_t)(s->end - s->p) < n || memcmp(s->p, word, n) != 0)
		return bad(s, "unexpected character");
	s->p += n;
	return 0;
}

static int scan_value(struct scan *s)
{
	struct name ignored;

	skip_space(s);
	if (s->p == s->end)
		return bad(s, "it ends");
	if (++s->nodes > s->limits->max_nodes)
		return err_set(s->err, ERR_LIMIT, "JSON of more than %zu values",
			       s->limits->max_nodes);
	switch (*s->p) {
	case '{':
		s->p++;
		return scan_container(s, '}');
	case '[':
		s->p++;
		return scan_container(s, ']');
	case '"':
		return scan_string(s, &ignored);
	case 't':
		return scan_word(s, "true");
	case 'f':
		return scan_word(s, "false");
	case 'n':
		return scan_word(s, "null");
	default:
		return scan_number(s);
	}
}

int json_scan(const void *bytes, size_t len, const struct json_limits *limits, struct err *err)
{
	struct scan s = { .start = bytes, .p = bytes, .limits = limits, .err = err };

	if (len > limits->max_bytes)
		return err_set(err, ERR_LIMIT, "JSON of %zu bytes; at most %zu are read", len,
			       limits->max_bytes);
	if (!len)
		return err_set(err, ERR_PROTOCOL, "not JSON: empty");
	s.end = s.start + len;
	int result = scan_value(&s);
	skip_space(&s);
	if (result == 0 && s.p != s.end)
		result = bad(&s, "something behind the value");
	free(s.names);
	return result;
}
