/* A fuzzer does not find checksums: targets that read tars can have them made right. */
#ifndef BERTH_TESTS_FUZZ_TAR_H
#define BERTH_TESTS_FUZZ_TAR_H

#include <stdio.h>
#include <string.h>

#include "base/base.h"

/* Every whole block gets the checksum of a header, but for one of zeros. */
static inline void fix_checksums(uint8_t *bytes, size_t len)
{
	enum { BLOCK = 512, AT = 148, LEN = 8 };

	for (uint8_t *p = bytes; len >= BLOCK; p += BLOCK, len -= BLOCK) {
		unsigned int sum = 0;
		memset(p + AT, ' ', LEN);
		for (size_t i = 0; i < BLOCK; i++)
			sum += p[i];
		if (sum == LEN * ' ')
			memset(p + AT, 0, LEN);
		else
			(void)snprintf((char *)p + AT, LEN, "%06o", sum);
	}
}

#endif
