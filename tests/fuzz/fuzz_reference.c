/* Any name: what is read is written such that it reads back the same. */
#include "fuzz.h"

#include "oci/reference.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	CLEANUP(reference_free) struct reference ref = { 0 };
	CLEANUP(reference_free) struct reference again = { 0 };
	CLEANUP(freep) char *text = xstrndup((const char *)data, size);
	struct err err = { 0 };

	if (reference_parse(text, &ref, &err) < 0) {
		MUST(err.kind == ERR_USAGE && err.msg[0]);
		return 0;
	}
	MUST(ref.host[0] && strlen(ref.repository) <= REPOSITORY_MAX_BYTES + strlen("library/"));
	MUST(ref.tag || ref.digest);
	MUST(reference_manifest_key(&ref) && reference_api_host(&ref)[0] &&
	     reference_name(&ref)[0]);
	/* These go into URLs and file names as they are. */
	MUST(!strpbrk(ref.repository, "%?#@ ") && !strstr(ref.repository, "..") &&
	     !strstr(ref.repository, "//"));
	MUST(!ref.tag || !strpbrk(ref.tag, "/%?#@: "));
	MUST(!strpbrk(ref.host, "/%?#@ "));
	CLEANUP(freep) char *full = reference_str(&ref);
	/* "library/" may make a long name longer than what is read. */
	if (strlen(ref.repository) > REPOSITORY_MAX_BYTES || strlen(full) > REFERENCE_MAX_BYTES)
		return 0;
	MUST(reference_parse(full, &again, &err) == 0);
	CLEANUP(freep) char *full_again = reference_str(&again);
	MUST(streq(full, full_again));
	free(reference_familiar(&ref));
	return 0;
}
