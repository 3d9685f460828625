/*
 * First two bytes: the child's wait status; the rest is what it answered. Whatever it says, the parent takes a
 * result in bounds or has an error of a kind that a worker may cause, in words that a terminal may show.
 */
#include "fuzz.h"

#include <sys/wait.h>

#include "unpack/worker_private.h"

static void check_error(const struct err *err)
{
	switch (err->kind) {
	case ERR_REFUSED:
	case ERR_LIMIT:
	case ERR_SYSTEM:
	case ERR_CANCELLED:
	case ERR_PROTOCOL:
	case ERR_FAILED:
		break;
	default:
		MUST(!"a kind of error that a worker causes");
	}
	MUST(strlen(err->msg) < sizeof err->msg);
	for (const char *p = err->msg; *p; p++)
		MUST((unsigned char)*p >= 0x20 && (unsigned char)*p < 0x7f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct worker_result result = { .size_bytes = -1 };
	struct worker_record record = { 0 };
	struct err err = { 0 };
	int status;

	if (size < 2)
		return 0;
	status = data[0] | data[1] << 8;
	size_t len = size - 2 < sizeof record ? size - 2 : sizeof record;
	memcpy(&record, data + 2, len);
	if (worker_judge(&record, len, status, &result, &err) < 0) {
		MUST(result.size_bytes == -1);
		check_error(&err);
		return 0;
	}
	MUST(len == sizeof record && record.magic == WORKER_RECORD_MAGIC && record.kind == ERR_NONE);
	MUST(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	MUST(result.size_bytes >= 0 && result.size_bytes <= WORKER_OUTPUT_MAX_BYTES);
	return 0;
}
