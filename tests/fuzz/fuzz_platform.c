/* Any platform: what is read is written such that it reads back the same, and runs on itself. */
#include "fuzz.h"

#include "oci/platform.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct platform hosts[] = { { "linux", "amd64", "" }, { "linux", "arm64", "v8" } };
	CLEANUP(freep) char *text = xstrndup((const char *)data, size);
	char written[PLATFORM_STR_SIZE], again_written[PLATFORM_STR_SIZE];
	struct platform p = { 0 }, again;
	struct err err = { 0 };

	if (platform_parse(text, &p, &err) < 0) {
		MUST(err.kind == ERR_USAGE && err.msg[0]);
		return 0;
	}
	MUST(p.os[0] && p.arch[0]);
	MUST(strlen(platform_str(&p, written)) < PLATFORM_STR_SIZE);
	MUST(platform_parse(written, &again, &err) == 0);
	MUST(streq(written, platform_str(&again, again_written)));
	/* Of arm64 there are variants that nobody knows. */
	MUST(p.variant[0] || platform_match(&p, &p) > 0);
	for (size_t i = 0; i < ARRAY_LEN(hosts); i++)
		MUST(platform_match(&hosts[i], &p) >= 0);
	return 0;
}
