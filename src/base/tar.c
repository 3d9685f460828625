#include "base/tar.h"

/* POSIX.1-1988 §10.1.1. All of it is text: octal numbers end in NUL. */
struct ustar {
	char name[100];
	char mode[8], uid[8], gid[8];
	uint8_t size[12];
	char mtime[12], checksum[8];
	char type;
	char link_name[100];
	char magic[6], version[2];
	char user[32], group[32];
	char dev_major[8], dev_minor[8];
	char prefix[155];
	char unused[12];
};

_Static_assert(sizeof(struct ustar) == TAR_BLOCK_BYTES, "a header is one block");

/* Leading zeros fill the field; its last byte stays NUL. */
static void octal(char *field, size_t size, uint64_t value)
{
	field[size - 1] = '\0';
	for (size_t i = size - 1; i-- > 0; value >>= 3)
		field[i] = (char)('0' + (value & 7));
}

/* GNU tar's extension, read by Go too: the top bit set, then big-endian bytes. */
static void base256(uint8_t *field, size_t size, uint64_t value)
{
	for (size_t i = size; i-- > 0; value >>= 8)
		field[i] = (uint8_t)value;
	field[0] |= 0x80;
}

/* The sum of all bytes, the checksum field itself taken as spaces. */
static void set_checksum(struct ustar *h)
{
	const uint8_t *bytes = (const uint8_t *)h;
	unsigned int sum = 0;

	memset(h->checksum, ' ', sizeof h->checksum);
	for (size_t i = 0; i < sizeof *h; i++)
		sum += bytes[i];
	octal(h->checksum, sizeof h->checksum - 1, sum);
}

/* Of root and the epoch. */
static int header(char type, unsigned int mode, const char *name, int64_t size_bytes, uint8_t out[TAR_BLOCK_BYTES],
		  struct err *err)
{
	struct ustar h = { .type = type, .magic = "ustar", .version = { '0', '0' } };
	size_t len = strlen(name);

	if (!len || len > TAR_NAME_MAX)
		return err_set(err, ERR_LIMIT, "tar: a name of %zu bytes", len);
	if (size_bytes < 0)
		return err_set(err, ERR_LIMIT, "tar: a size of %lld bytes", (long long)size_bytes);
	memcpy(h.name, name, len);
	octal(h.mode, sizeof h.mode, mode);
	octal(h.uid, sizeof h.uid, 0);
	octal(h.gid, sizeof h.gid, 0);
	octal(h.mtime, sizeof h.mtime, 0);
	if (size_bytes <= TAR_OCTAL_SIZE_MAX)
		octal((char *)h.size, sizeof h.size, (uint64_t)size_bytes);
	else
		base256(h.size, sizeof h.size, (uint64_t)size_bytes);
	set_checksum(&h);
	memcpy(out, &h, sizeof h);
	return 0;
}

int tar_header(const char *name, int64_t size_bytes, uint8_t out[TAR_BLOCK_BYTES], struct err *err)
{
	return header('0', 0644, name, size_bytes, out, err);
}

int tar_fifo_header(const char *name, uint8_t out[TAR_BLOCK_BYTES], struct err *err)
{
	return header('6', 0600, name, 0, out, err);
}

size_t tar_padding(int64_t size_bytes)
{
	return (size_t)((TAR_BLOCK_BYTES - size_bytes % TAR_BLOCK_BYTES) % TAR_BLOCK_BYTES);
}
