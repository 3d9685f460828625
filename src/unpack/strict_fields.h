/* Private to strict*.c: the fields of a header and the records of an extended one, by the rules of Go's archive/tar. */
#ifndef BERTH_UNPACK_STRICT_FIELDS_H
#define BERTH_UNPACK_STRICT_FIELDS_H

#include "base/err.h"

/* POSIX.1-1988 ustar, pax and GNU agree on these. */
struct tar_header {
	char name[100], mode[8], uid[8], gid[8], size[12], mtime[12], checksum[8], type, link[100], magic[8];
	char uname[32], gname[32], major[8], minor[8], prefix[155], rest[12];
};

enum tar_format { TAR_V7, TAR_USTAR, TAR_GNU };

/* Go: two's complement in base 256, or octal with blanks and NULs around it. */
int strict_number(const char *field, size_t len, int64_t *out, struct err *err) MUST_CHECK;

/* Either of the sums that tars have had; all numbers well-formed. */
int strict_check_header(const struct tar_header *h, enum tar_format *format, int64_t *size_bytes,
			struct err *err) MUST_CHECK;

struct pax_record {
	const char *key; /* NUL-terminated */
	const char *value;
	size_t value_len;
};

/*
 * Takes the first record off *bytes, writing NULs over '=' and the final newline: 1, or 0 at the
 * end, or -1.
 */
int strict_record(char **bytes, size_t *len, struct pax_record *out, struct err *err) MUST_CHECK;
int strict_decimal(const struct pax_record *r, int64_t *out, struct err *err) MUST_CHECK;
/* Seconds with a fraction. */
int strict_check_time(const struct pax_record *r, struct err *err) MUST_CHECK;

#endif
