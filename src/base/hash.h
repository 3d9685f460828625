/* Digests, their text forms, and base64. The only owner of OpenSSL's digests. */
#ifndef BERTH_BASE_HASH_H
#define BERTH_BASE_HASH_H

#include "base/buf.h"

#define SHA256_BYTES 32
#define SHA256_HEX_SIZE (2 * SHA256_BYTES + 1)

struct sha256; /* a running hash */

struct sha256 *sha256_new(void);
void sha256_update(struct sha256 *h, const void *bytes, size_t len);
/* Ends the hash; h can then only be reset or freed. */
void sha256_final(struct sha256 *h, uint8_t out[SHA256_BYTES]);
void sha256_reset(struct sha256 *h);
void sha256_free(struct sha256 *h);
void sha256_freep(struct sha256 **h); /* for CLEANUP() */

void sha256_of(const void *bytes, size_t len, uint8_t out[SHA256_BYTES]);
void sha256_hex_of(const void *bytes, size_t len, char out[SHA256_HEX_SIZE]);
void hmac_sha256(const void *key, size_t key_len, const void *bytes, size_t len,
		 uint8_t out[SHA256_BYTES]);

/* Lower-case hex of len bytes, NUL-terminated: out holds 2 * len + 1. */
void hex_encode(const uint8_t *bytes, size_t len, char *out);

/* RFC 4648 §4 (url = false) or §5 (url = true, with padding as Docker wants it); caller frees. */
char *base64_encode(const void *bytes, size_t len, bool url);

/* Strict RFC 4648 §4 with padding: appends to out, or ERR_PROTOCOL. */
int base64_decode(const char *text, size_t len, struct buf *out, struct err *err) MUST_CHECK;

#endif
