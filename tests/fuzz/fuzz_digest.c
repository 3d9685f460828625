/* Any digest: what is taken is one, and reads back as itself. The first 64 bytes are hashed too. */
#include "fuzz.h"

#include "oci/digest.h"

static void check_digest(const struct digest *d)
{
	struct digest again;
	struct err err;

	MUST(strlen(d->text) == DIGEST_SIZE - 1 && skip_prefix(d->text, "sha256:"));
	MUST(strspn(digest_hex(d), "0123456789abcdef") == 64 && !digest_hex(d)[64]);
	MUST(digest_parse(d->text, strlen(d->text), &again, &err) == 0 && digest_equal(d, &again));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct digest d, of, chain;
	struct err err = { 0 };

	digest_of(data, size, &of);
	check_digest(&of);
	if (digest_parse((const char *)data, size, &d, &err) < 0) {
		MUST(err.kind == ERR_REFUSED && err.msg[0]);
		return 0;
	}
	check_digest(&d);
	MUST(size == strlen(d.text) && !memcmp(d.text, data, size));
	chain_id(&d, &of, &chain);
	check_digest(&chain);
	return 0;
}
