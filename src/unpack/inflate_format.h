/* Private to inflate*.c: one decoder per format, all fed through the same output buffer. */
#ifndef BERTH_UNPACK_INFLATE_FORMAT_H
#define BERTH_UNPACK_INFLATE_FORMAT_H

#include "unpack/inflate.h"

/* One piece of output: large enough that a call costs nothing, small enough for a core's cache. */
#define INFLATE_OUT_BYTES (256 * KIB)

struct inflate_output {
	inflate_sink_fn *sink;
	void *arg;
	/* Where the next piece goes; the sink may change it. Decoders leave the 32 KiB of history to their library. */
	uint8_t *buffer;
	size_t size;
};

struct inflate_decoder {
	void *(*new)(void);
	void (*free)(void *state);
	int (*feed)(void *state, const uint8_t *bytes, size_t len, const struct inflate_output *out, struct err *err);
	int (*end)(void *state, struct err *err);
};

extern const struct inflate_decoder inflate_gzip, inflate_zstd;

#endif
