/* Frames and statuses: what the bytes of a call mean. */
#include "engine/grpc.h"

#include <ctype.h>

#include "base/mem.h"

uint8_t *grpc_frame_new(size_t len)
{
	uint8_t *frame = xmalloc(GRPC_FRAME_HEAD_BYTES + len);

	frame[0] = 0; /* not compressed */
	for (int i = 0; i < 4; i++)
		frame[1 + i] = (uint8_t)(len >> (24 - 8 * i));
	return frame;
}

int grpc_frame_parse(const void *body, size_t body_len, const uint8_t **message, size_t *len, struct err *err)
{
	const uint8_t *b = body;

	if (body_len < GRPC_FRAME_HEAD_BYTES)
		return err_set(err, ERR_PROTOCOL, "an answer of %zu bytes is no gRPC frame", body_len);
	if (b[0] != 0)
		return err_set(err, ERR_PROTOCOL, "a compressed gRPC frame that was not asked for");
	size_t size = (size_t)b[1] << 24 | (size_t)b[2] << 16 | (size_t)b[3] << 8 | b[4];
	if (size > body_len - GRPC_FRAME_HEAD_BYTES)
		return err_set(err, ERR_PROTOCOL, "a gRPC frame of %zu bytes where %zu came", size,
			       body_len - GRPC_FRAME_HEAD_BYTES);
	*message = b + GRPC_FRAME_HEAD_BYTES;
	*len = size;
	return 0;
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = (char)tolower((unsigned char)c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* "Percent-Encoded" of the protocol: what is no such sequence stays as it is. Caller frees. */
static char *decode(const char *text)
{
	char *out = xmalloc(strlen(text) + 1), *p = out;

	while (*text) {
		int high = text[0] == '%' ? hex_digit(text[1]) : -1;
		int low = high >= 0 ? hex_digit(text[2]) : -1;
		if (low > 0 || (low == 0 && high > 0)) { /* no NUL */
			*p++ = (char)(high * 16 + low);
			text += 3;
		} else {
			*p++ = *text++;
		}
	}
	*p = '\0';
	return out;
}

/* google.rpc.Code */
static const struct {
	const char *name;
	enum err_kind kind;
} codes[] = {
	[0] = { "ok", ERR_NONE },
	[1] = { "cancelled", ERR_FAILED },
	[2] = { "unknown", ERR_FAILED },
	[3] = { "invalid argument", ERR_FAILED },
	[4] = { "deadline exceeded", ERR_TIMEOUT },
	[5] = { "not found", ERR_NOT_FOUND },
	[6] = { "already exists", ERR_CONFLICT },
	[7] = { "permission denied", ERR_DENIED },
	[8] = { "resource exhausted", ERR_LIMIT },
	[9] = { "failed precondition", ERR_FAILED },
	[10] = { "aborted", ERR_FAILED },
	[11] = { "out of range", ERR_FAILED },
	[12] = { "unimplemented", ERR_CONFIG },
	[13] = { "internal", ERR_FAILED },
	[14] = { "unavailable", ERR_NETWORK },
	[15] = { "data loss", ERR_FAILED },
	[16] = { "unauthenticated", ERR_DENIED },
};

int grpc_status(const char *status, const char *message, struct err *err)
{
	CLEANUP(freep) char *text = decode(message ? message : "");
	size_t len = status ? strlen(status) : 0;
	size_t code = len == 1 || len == 2 ? strtoul(status, NULL, 10) : ARRAY_LEN(codes);

	if (!len || status[strspn(status, "0123456789")] || code >= ARRAY_LEN(codes))
		return err_set(err, ERR_PROTOCOL, "an answer with gRPC status \"%.20s\"", status ? status : "");
	if (codes[code].kind == ERR_NONE)
		return 0;
	return err_set(err, codes[code].kind, "%s", *text ? text : codes[code].name);
}
