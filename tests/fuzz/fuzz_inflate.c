/* First byte: format and how the rest is split. Both ways of splitting must agree. */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#include "base/hash.h"
#include "unpack/inflate.h"

#define OUTPUT_MAX_BYTES (4 * MIB) /* bombs cost time, not insight */

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

struct sum {
	struct sha256 *hash;
	size_t len;
};

static int count(void *arg, const void *bytes, size_t len, struct err *err)
{
	struct sum *s = arg;

	s->len += len;
	sha256_update(s->hash, bytes, len);
	return s->len > OUTPUT_MAX_BYTES ? err_set(err, ERR_LIMIT, "enough") : 0;
}

static enum err_kind run(enum inflate_format format, const uint8_t *bytes, size_t len, size_t piece,
			 uint8_t digest[SHA256_BYTES])
{
	struct sum sum = { .hash = sha256_new() };
	struct err err = { 0 };
	struct inflate *x;
	int result = inflate_new(format, &x, &err);

	assert(result == 0);
	for (size_t at = 0; at < len && result == 0; at += piece)
		result = inflate_feed(x, bytes + at, len - at < piece ? len - at : piece, count, &sum, &err);
	if (result == 0)
		result = inflate_end(x, &err);
	sha256_final(sum.hash, digest);
	sha256_free(sum.hash);
	inflate_free(x);
	return result == 0 ? ERR_NONE : err.kind;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	uint8_t whole[SHA256_BYTES], split[SHA256_BYTES];

	if (!len)
		return 0;
	enum inflate_format format = bytes[0] % 3;
	size_t piece = (size_t)bytes[0] / 3 + 1;
	enum err_kind a = run(format, bytes + 1, len - 1, len, whole);
	enum err_kind b = run(format, bytes + 1, len - 1, piece, split);
	assert(a == b);
	if (a == ERR_NONE)
		assert(!memcmp(whole, split, sizeof whole));
	return 0;
}
