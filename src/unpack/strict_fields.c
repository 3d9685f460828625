#include "unpack/strict_fields.h"

#include <errno.h>

#include "base/mem.h"

static int bad_header(struct err *err)
{
	return err_set(err, ERR_REFUSED, "tar: invalid header");
}

static int base256(const uint8_t *p, size_t len, int64_t *out, struct err *err)
{
	uint8_t inverted = p[0] & 0x40 ? 0xff : 0;
	uint64_t x = 0;

	for (size_t i = 0; i < len; i++) {
		uint8_t c = p[i] ^ inverted;
		if (i == 0)
			c &= 0x7f;
		if (x >> 56)
			return bad_header(err);
		x = x << 8 | c;
	}
	if (x >> 63)
		return bad_header(err);
	*out = inverted ? (int64_t)~x : (int64_t)x;
	return 0;
}

int strict_number(const char *field, size_t len, int64_t *out, struct err *err)
{
	bool starts_with_nul = len && !field[0];
	uint64_t x = 0;

	if (len && (uint8_t)field[0] & 0x80)
		return base256((const uint8_t *)field, len, out, err);
	while (len && (*field == ' ' || !*field)) {
		field++;
		len--;
	}
	/* Go's parseString() ends at a NUL, and what it leaves must be octal to the last byte. */
	while (len && (field[len - 1] == ' ' || !field[len - 1]))
		len--;
	for (size_t i = 0; i < len && field[i]; i++) {
		if (field[i] < '0' || field[i] > '7' || x >> 60)
			return bad_header(err);
		x = x << 3 | (uint64_t)(field[i] - '0');
	}
	/* To libarchive that is 0. */
	if (starts_with_nul && x)
		return bad_header(err);
	*out = (int64_t)x;
	return 0;
}

static bool sum_matches(const struct tar_header *h, int64_t want)
{
	const uint8_t *p = (const uint8_t *)h;
	size_t first = offsetof(struct tar_header, checksum), behind = first + sizeof h->checksum;
	int64_t sum = 0, signed_sum = 0;

	for (size_t i = 0; i < sizeof *h; i++) {
		uint8_t c = i >= first && i < behind ? ' ' : p[i];
		sum += c;
		signed_sum += (int8_t)c;
	}
	return want == sum || want == signed_sum;
}

static bool is_zero(const char *p, size_t len)
{
	while (len && !*p) {
		p++;
		len--;
	}
	return len == 0;
}

/* libarchive takes everything that begins with "ustar" for ustar, Go only what is: then the fields must not matter. */
static int find_format(const struct tar_header *h, enum tar_format *out, struct err *err)
{
	if (memcmp(h->magic, "ustar\0" "00", 8) == 0)
		*out = TAR_USTAR;
	else if (memcmp(h->magic, "ustar  ", 8) == 0)
		*out = TAR_GNU;
	else if (memcmp(h->magic, "ustar", 5) != 0 || is_zero(h->prefix, sizeof h->prefix))
		*out = TAR_V7;
	else
		return err_set(err, ERR_REFUSED, "tar: unknown kind of header");
	return 0;
}

/* Old sparse files, type S, have a map here; libarchive looks for it in other types too. Offsets from 345. */
static int check_gnu_rest(const struct tar_header *h, struct err *err)
{
	enum { SPARSE = 386 - 345, IS_EXTENDED = 482 - 345, REAL_SIZE = 483 - 345 };

	if (h->type != 'S' && (h->prefix[SPARSE] || h->prefix[IS_EXTENDED] || h->prefix[REAL_SIZE]))
		return err_set(err, ERR_REFUSED, "tar: sparse, and no file");
	return 0;
}

static int check_numbers(const struct tar_header *h, enum tar_format format, struct err *err)
{
	int64_t unused;

	if (strict_number(h->mode, sizeof h->mode, &unused, err) < 0 ||
	    strict_number(h->uid, sizeof h->uid, &unused, err) < 0 ||
	    strict_number(h->gid, sizeof h->gid, &unused, err) < 0 ||
	    strict_number(h->mtime, sizeof h->mtime, &unused, err) < 0)
		return -1;
	if (format == TAR_V7)
		return 0;
	if (format == TAR_GNU && check_gnu_rest(h, err) < 0)
		return -1;
	return strict_number(h->major, sizeof h->major, &unused, err) < 0 ||
			       strict_number(h->minor, sizeof h->minor, &unused, err) < 0
		       ? -1
		       : 0;
}

int strict_check_header(const struct tar_header *h, enum tar_format *format, int64_t *size_bytes, struct err *err)
{
	int64_t sum, size;

	if (strict_number(h->checksum, sizeof h->checksum, &sum, err) < 0 || !sum_matches(h, sum))
		return bad_header(err);
	if (find_format(h, format, err) < 0 || check_numbers(h, *format, err) < 0 ||
	    strict_number(h->size, sizeof h->size, &size, err) < 0)
		return -1;
	if (size < 0)
		return err_set(err, ERR_REFUSED, "tar: negative size");
	*size_bytes = size;
	return 0;
}

static int bad_record(struct err *err)
{
	return err_set(err, ERR_REFUSED, "tar: malformed extended header");
}

/* libarchive skips what is longer. */
#define RECORD_MAX_BYTES 999999

/* "LENGTH KEY=VALUE\n", LENGTH counting all of it: POSIX.1-2001 pax, "Extended Header". */
int strict_record(char **bytes, size_t *len, struct pax_record *out, struct err *err)
{
	char *p = *bytes;
	size_t n = 0, digits = 0;

	if (!*len)
		return 0;
	for (; digits < *len && p[digits] >= '0' && p[digits] <= '9' && n <= *len; digits++)
		n = n * 10 + (size_t)(p[digits] - '0');
	if (!digits || digits == *len || p[digits] != ' ' || n > *len || n > RECORD_MAX_BYTES || n < digits + 3 ||
	    p[n - 1] != '\n')
		return bad_record(err);
	char *key = p + digits + 1, *end = p + n - 1;
	char *equals = memchr(key, '=', (size_t)(end - key));
	if (!equals || equals == key || memchr(key, '\0', (size_t)(equals - key)))
		return bad_record(err);
	*equals = *end = '\0';
	*out = (struct pax_record){ key, equals + 1, (size_t)(end - equals) - 1 };
	*bytes += n;
	*len -= n;
	return 1;
}

int strict_decimal(const struct pax_record *r, int64_t *out, struct err *err)
{
	char *end;

	errno = 0;
	long long x = strtoll(r->value, &end, 10);
	/* No blanks, and no '+', which is a number to one reader only. */
	bool starts_well = r->value[0] == '-' || (r->value[0] >= '0' && r->value[0] <= '9');
	if (errno || !starts_well || end == r->value || end != r->value + r->value_len)
		return bad_record(err);
	*out = x;
	return 0;
}

int strict_check_time(const struct pax_record *r, struct err *err)
{
	size_t i = r->value[0] == '-';
	size_t whole = strspn(r->value + i, "0123456789");

	if (!whole || whole > 18)
		return bad_record(err);
	i += whole;
	if (r->value[i] == '.')
		i += 1 + strspn(r->value + i + 1, "0123456789");
	return i == r->value_len ? 0 : bad_record(err);
}
