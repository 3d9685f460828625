/* Any WWW-Authenticate: what comes out can be answered and has no control bytes. */
#include "fuzz.h"

#include "oci/challenge.h"

static void check_text(const char *s)
{
	for (; s && *s; s++)
		MUST((unsigned char)*s >= 0x20 && *s != 0x7f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	CLEANUP(challenge_free) struct challenge c = { 0 };
	struct err err = { 0 };

	if (challenge_parse((const char *)data, size, &c, &err) < 0) {
		MUST(err.kind == ERR_PROTOCOL || err.kind == ERR_LIMIT);
		return 0;
	}
	MUST(c.scheme != CHALLENGE_BEARER || (c.realm && c.realm[0]));
	MUST(c.scheme != CHALLENGE_NONE || (!c.realm && !c.service && !c.scope && !c.error));
	check_text(c.realm);
	check_text(c.service);
	check_text(c.scope);
	check_text(c.error);
	return 0;
}
