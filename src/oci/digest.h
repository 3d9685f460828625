/* Digests "sha256:<64 lower-case hex>" (OCI image-spec, descriptor §digests). Pure. */
#ifndef BERTH_OCI_DIGEST_H
#define BERTH_OCI_DIGEST_H

#include "base/hash.h"

#define DIGEST_SIZE (sizeof("sha256:") + 64)

struct digest {
	char text[DIGEST_SIZE]; /* always valid: "sha256:…" */
};

/* ERR_REFUSED: upper case, wrong length, NUL, other algorithms (sha512 is named as unsupported). */
int digest_parse(const char *text, size_t len, struct digest *out, struct err *err) MUST_CHECK;
void digest_from_raw(const uint8_t raw[SHA256_BYTES], struct digest *out);
void digest_of(const void *bytes, size_t len, struct digest *out);
bool digest_equal(const struct digest *a, const struct digest *b);
const char *digest_hex(const struct digest *d); /* the 64 characters */

/* image-spec config §Layer ChainID: C0 = D0, Ci = SHA256(Ci-1 " " Di). parent NULL for the lowest layer. */
void chain_id(const struct digest *parent, const struct digest *diff_id, struct digest *out);

#endif
