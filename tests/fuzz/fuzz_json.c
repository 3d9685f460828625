/* Any bytes: what the scan takes, cJSON takes; what is printed reads back as the same value. */
#include "fuzz.h"

#include "base/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	CLEANUP(json_freep) struct json *v = NULL;
	CLEANUP(json_freep) struct json *again = NULL;
	struct err err = { 0 };

	int scanned = json_scan(data, size, &json_default_limits, &err);
	MUST(json_parse(data, size, &json_default_limits, &v, &err) == scanned);
	if (scanned < 0) {
		MUST(err.kind == ERR_PROTOCOL || err.kind == ERR_LIMIT);
		return 0;
	}
	CLEANUP(freep) char *text = json_print(v, true);
	/* Numbers may print longer than they were written, so the cap is another one. */
	struct json_limits limits = json_default_limits;
	limits.max_bytes = SIZE_MAX;
	MUST(json_parse(text, strlen(text), &limits, &again, &err) == 0);
	CLEANUP(freep) char *sorted = json_print_sorted(v);
	CLEANUP(freep) char *sorted_again = json_print_sorted(again);
	MUST(streq(sorted, sorted_again));
	if (json_is_object(v)) {
		json_merge(again, v);
		json_merge(v, again);
	}
	return 0;
}
