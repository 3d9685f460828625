/* Any name of any size: a header whose sum is right, and in which both can be read. The first 8 bytes are the size. */
#include "fuzz.h"

#include "base/tar.h"

/* POSIX ustar: octal; or, as GNU does, big-endian behind a set high bit. */
static int64_t read_size(const uint8_t *field)
{
	int64_t size = 0;

	if (field[0] == 0x80) {
		for (int i = 4; i < 12; i++)
			size = size << 8 | field[i];
		return size;
	}
	for (int i = 0; i < 11; i++) {
		MUST(field[i] >= '0' && field[i] <= '7');
		size = size << 3 | (field[i] - '0');
	}
	return size;
}

static void check_sum(const uint8_t *header)
{
	unsigned int sum = 0, written = 0;

	for (int i = 0; i < TAR_BLOCK_BYTES; i++)
		sum += i >= 148 && i < 156 ? ' ' : header[i];
	MUST(sscanf((const char *)header + 148, "%6o", &written) == 1 && written == sum);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t header[TAR_BLOCK_BYTES];
	struct err err = { 0 };
	int64_t bytes;

	if (size < sizeof bytes)
		return 0;
	memcpy(&bytes, data, sizeof bytes);
	CLEANUP(freep) char *name = xstrndup((const char *)data + sizeof bytes, size - sizeof bytes);
	if (tar_header(name, bytes, header, &err) < 0) {
		MUST(err.kind == ERR_LIMIT);
		MUST(bytes < 0 || !*name || strlen(name) > TAR_NAME_MAX);
		return 0;
	}
	MUST(!strncmp((const char *)header, name, TAR_NAME_MAX));
	MUST(read_size(header + 124) == bytes);
	check_sum(header);
	MUST((bytes % TAR_BLOCK_BYTES + (int64_t)tar_padding(bytes)) % TAR_BLOCK_BYTES == 0);
	return 0;
}
