#include "oci/digest.h"

#include "base/mem.h"

#define PREFIX "sha256:"
#define HEX_CHARS (2 * SHA256_BYTES)

#define SHOWN_CHARS 80 /* of a stranger's text in a message */

static int shown(size_t len)
{
	return (int)(len < SHOWN_CHARS ? len : SHOWN_CHARS);
}

/* The text in front of the colon is an algorithm, but not ours. */
static int refuse_algorithm(const char *text, size_t len, struct err *err)
{
	const char *colon = memchr(text, ':', len);

	if (!colon)
		return err_set(err, ERR_REFUSED, "digest \"%.*s\" is not sha256:<64 hex digits>",
			       shown(len), text);
	return err_set(err, ERR_REFUSED, "digest algorithm \"%.*s\" is not supported, only sha256",
		       shown((size_t)(colon - text)), text);
}

int digest_parse(const char *text, size_t len, struct digest *out, struct err *err)
{
	size_t prefix = strlen(PREFIX);

	if (len < prefix || memcmp(text, PREFIX, prefix) != 0)
		return refuse_algorithm(text, len, err);
	for (size_t i = prefix; i < len; i++) {
		char c = text[i];
		if ((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'))
			continue;
		return err_set(err, ERR_REFUSED, "digest \"%.*s\": %s at position %zu", shown(len),
			       text, c >= 'A' && c <= 'F' ? "upper-case hex" : "not a hex digit",
			       i);
	}
	if (len - prefix != HEX_CHARS)
		return err_set(err, ERR_REFUSED, "digest \"%.*s\" has %zu hex digits, not %d",
			       shown(len), text, len - prefix, HEX_CHARS);
	memcpy(out->text, text, len);
	out->text[len] = '\0';
	return 0;
}

void digest_from_raw(const uint8_t raw[SHA256_BYTES], struct digest *out)
{
	memcpy(out->text, PREFIX, strlen(PREFIX));
	hex_encode(raw, SHA256_BYTES, out->text + strlen(PREFIX));
}

void digest_of(const void *bytes, size_t len, struct digest *out)
{
	uint8_t raw[SHA256_BYTES];

	sha256_of(bytes, len, raw);
	digest_from_raw(raw, out);
}

bool digest_equal(const struct digest *a, const struct digest *b)
{
	return streq(a->text, b->text);
}

const char *digest_hex(const struct digest *d)
{
	return d->text + strlen(PREFIX);
}

void chain_id(const struct digest *parent, const struct digest *diff_id, struct digest *out)
{
	char both[2 * DIGEST_SIZE];

	if (!parent) {
		*out = *diff_id;
		return;
	}
	int len = snprintf(both, sizeof both, "%s %s", parent->text, diff_id->text);
	digest_of(both, (size_t)len, out);
}
