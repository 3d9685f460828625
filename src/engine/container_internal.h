/* What the container*.c files share. Nobody else includes this. */
#ifndef BERTH_ENGINE_CONTAINER_INTERNAL_H
#define BERTH_ENGINE_CONTAINER_INTERNAL_H

#include "engine/container.h"

/*
 * The frames in which Docker sends the output of a container without a terminal (API reference,
 * "Attach to a container"): stream (0 stdin, 1 stdout, 2 stderr), three zero bytes, the length as
 * big-endian 32 bits, the payload.
 */
struct docker_frames {
	bool raw; /* a terminal: no frames at all */
	uint8_t head[8];
	size_t head_len;
	uint32_t left; /* of the payload */
};

/* Calls fn with each piece of payload. ERR_PROTOCOL when a frame's head is none. */
typedef void docker_output_fn(void *arg, const char *bytes, size_t len);
int docker_frames_feed(struct docker_frames *f, const void *bytes, size_t len, docker_output_fn *fn,
		       void *arg, struct err *err) MUST_CHECK;

/*
 * Appends bytes made fit for a terminal: control bytes but tab and newline, and what is no UTF-8,
 * become '?'.
 */
int output_printable(const char *bytes, size_t len, struct buf *out, struct err *err) MUST_CHECK;

/*
 * RFC 3339 with fraction and zone as milliseconds since the epoch; 0 for none (Docker's year 1) and
 * for nonsense.
 */
int64_t time_parse(const char *text);

/* Copies text (NULL: "") into a member of fixed size, cut at its end. */
void copy_text(char *out, size_t size, const char *text);

#endif
