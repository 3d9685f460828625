#include "base/hash.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "base/mem.h"

struct sha256 {
	EVP_MD_CTX *ctx;
};

/* OpenSSL can only fail here for lack of memory or for a build without SHA-256. */
static void must(int ok)
{
	if (ok != 1)
		abort();
}

/* Fetched once: an EVP lookup per hash costs more than hashing a small blob. */
static const EVP_MD *sha256_md(void)
{
	static EVP_MD *md;

	if (!md && !(md = EVP_MD_fetch(NULL, "SHA256", NULL)))
		abort();
	return md;
}

struct sha256 *sha256_new(void)
{
	struct sha256 *h = xcalloc(1, sizeof *h);

	if (!(h->ctx = EVP_MD_CTX_new()))
		abort();
	sha256_reset(h);
	return h;
}

void sha256_reset(struct sha256 *h)
{
	must(EVP_DigestInit_ex2(h->ctx, sha256_md(), NULL));
}

void sha256_update(struct sha256 *h, const void *bytes, size_t len)
{
	must(EVP_DigestUpdate(h->ctx, bytes, len));
}

void sha256_final(struct sha256 *h, uint8_t out[SHA256_BYTES])
{
	must(EVP_DigestFinal_ex(h->ctx, out, NULL));
}

void sha256_free(struct sha256 *h)
{
	if (!h)
		return;
	EVP_MD_CTX_free(h->ctx);
	free(h);
}

void sha256_freep(struct sha256 **h)
{
	sha256_free(*h);
}

void sha256_of(const void *bytes, size_t len, uint8_t out[SHA256_BYTES])
{
	must(EVP_Digest(bytes, len, out, NULL, sha256_md(), NULL));
}

void sha256_hex_of(const void *bytes, size_t len, char out[SHA256_HEX_SIZE])
{
	uint8_t raw[SHA256_BYTES];

	sha256_of(bytes, len, raw);
	hex_encode(raw, sizeof raw, out);
}

void hmac_sha256(const void *key, size_t key_len, const void *bytes, size_t len,
		 uint8_t out[SHA256_BYTES])
{
	unsigned int n = SHA256_BYTES;

	if (!HMAC(sha256_md(), key, (int)key_len, bytes, len, out, &n))
		abort();
}

void hex_encode(const uint8_t *bytes, size_t len, char *out)
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < len; i++) {
		out[2 * i] = digits[bytes[i] >> 4];
		out[2 * i + 1] = digits[bytes[i] & 15];
	}
	out[2 * len] = '\0';
}

char *base64_encode(const void *bytes, size_t len, bool url)
{
	char *out = xmalloc((len + 2) / 3 * 4 + 1);

	(void)EVP_EncodeBlock((unsigned char *)out, bytes, (int)len); /* its length is known */
	for (char *p = out; url && *p; p++)
		*p = *p == '+' ? '-' : *p == '/' ? '_' : *p;
	return out;
}

static int sextet(char c)
{
	static const char alphabet[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	const char *at = c ? strchr(alphabet, c) : NULL;

	return at ? (int)(at - alphabet) : -1;
}

int base64_decode(const char *text, size_t len, struct buf *out, struct err *err)
{
	size_t padding = 0;

	if (len % 4)
		return err_set(err, ERR_PROTOCOL, "base64 of %zu characters", len);
	while (padding < 2 && padding < len && text[len - 1 - padding] == '=')
		padding++;
	for (size_t i = 0; i < len; i += 4) {
		size_t last = i + 4 == len ? padding : 0;
		uint32_t group = 0;
		for (size_t k = 0; k < 4; k++) {
			int v = k >= 4 - last ? 0 : sextet(text[i + k]);
			if (v < 0)
				return err_set(err, ERR_PROTOCOL, "not base64");
			group = group << 6 | (uint32_t)v;
		}
		const uint8_t bytes[3] = { (uint8_t)(group >> 16), (uint8_t)(group >> 8),
					   (uint8_t)group };
		if (buf_append(out, bytes, 3 - last, err) < 0)
			return -1;
	}
	return 0;
}
