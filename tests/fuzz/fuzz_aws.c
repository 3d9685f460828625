/* First byte: which parser of the AWS layer gets the rest. */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#include "aws/credentials_document.h"
#include "aws/ecr.h"
#include "aws/endpoint.h"
#include "base/mem.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

static void credentials(const char *text, size_t len)
{
	CLEANUP(aws_credentials_clear) struct aws_credentials c = { 0 };
	struct err err = { 0 };

	if (credentials_document_parse(text, len, &c, &err) == 0)
		assert(c.access_key_id && credentials_check(&c, ERR_PROTOCOL, &err) == 0);
	else
		assert(!c.access_key_id && err.kind != ERR_NONE);
}

/* What was read means the same when it is written and read again. */
static void endpoint(const char *text)
{
	struct endpoint a, b;
	struct err err = { 0 };

	if (endpoint_parse(text, &a, &err) < 0)
		return;
	CLEANUP(freep) char *origin = endpoint_origin(&a);
	int again = endpoint_parse(origin, &b, &err);
	assert(again == 0 && streq(a.host, b.host) && streq(a.authority, b.authority) && a.https == b.https);
}

static void ecr_host(const char *text)
{
	struct ecr_host h;

	if (ecr_host_parse(text, &h))
		assert(h.region[0] && strstr(h.api_host, h.region) && (h.is_public || strlen(h.account) == 12));
}

static void time_text(const char *text)
{
	int64_t ms;

	if (rfc3339_parse(text, &ms))
		assert(ms % 1000 == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	if (!len)
		return 0;
	CLEANUP(freep) char *text = xstrndup((const char *)bytes + 1, len - 1);

	switch (bytes[0] % 4) {
	case 0:
		credentials((const char *)bytes + 1, len - 1);
		break;
	case 1:
		endpoint(text);
		break;
	case 2:
		ecr_host(text);
		break;
	case 3:
		time_text(text);
		break;
	}
	return 0;
}
