/* Tar entry headers for archives that are written as a stream: POSIX.1-1988 ustar, larger sizes as GNU does. Pure. */
#ifndef BERTH_BASE_TAR_H
#define BERTH_BASE_TAR_H

#include "base/err.h"

#define TAR_BLOCK_BYTES 512
#define TAR_END_BYTES (2 * TAR_BLOCK_BYTES) /* zeros that end an archive */
#define TAR_NAME_MAX 100                    /* without the prefix field, which nothing here needs */
#define TAR_OCTAL_SIZE_MAX ((int64_t)8 * 1024 * 1024 * 1024 - 1) /* eleven octal digits; beyond: base-256 */

/*
 * The header of a regular file (mode 0644, root, the epoch). Its bytes follow, then
 * tar_padding() zeros. ERR_LIMIT for an empty or too long name or a negative size.
 */
int tar_header(const char *name, int64_t size_bytes, uint8_t out[TAR_BLOCK_BYTES], struct err *err) MUST_CHECK;

/* The same of a FIFO (mode 0600), behind which nothing follows. */
int tar_fifo_header(const char *name, uint8_t out[TAR_BLOCK_BYTES], struct err *err) MUST_CHECK;

/* Zeros behind a file of that size: 0 to 511. */
size_t tar_padding(int64_t size_bytes);

#endif
