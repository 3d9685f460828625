#include "engine/grpc.h"

#include <ctype.h>

#include "base/mem.h"

void grpc_frame_head(size_t len, uint8_t out[GRPC_FRAME_HEAD_BYTES])
{
	out[0] = 0; /* not compressed */
	for (int i = 0; i < 4; i++)
		out[1 + i] = (uint8_t)(len >> (24 - 8 * i));
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

/* A call that fails at once has its status in the head ("Trailers-Only"). */
int grpc_check(const struct http_response *resp, struct err *err)
{
	CLEANUP(freep) char *late = http_trailer_get(resp, "grpc-status");
	CLEANUP(freep) char *late_text = http_trailer_get(resp, "grpc-message");
	CLEANUP(freep) char *early = http_header_get(resp, "grpc-status");
	CLEANUP(freep) char *early_text = http_header_get(resp, "grpc-message");

	if (resp->status != 200)
		return err_set(err, ERR_PROTOCOL, "the answer was HTTP status %ld", resp->status);
	return late ? grpc_status(late, late_text, err) : grpc_status(early, early_text, err);
}

static int read_answer(const struct http_response *resp, bool several, struct buf *answer, struct err *err)
{
	const uint8_t *message, *at = (const uint8_t *)buf_str(&resp->body), *end = at + resp->body.len;
	size_t len;

	if (grpc_check(resp, err) < 0)
		return -1;
	do {
		if (grpc_frame_parse(at, (size_t)(end - at), &message, &len, err) < 0)
			return -1;
		at = message + len;
	} while (several && at < end);
	if (at < end)
		return err_set(err, ERR_PROTOCOL, "%td bytes behind the answer", end - at);
	buf_clear(answer);
	return buf_append(answer, message, len, err);
}

int grpc_unary(struct http *http, const char *socket, const struct grpc_call *call, struct buf *answer, struct err *err)
{
	struct http_header headers[2 + GRPC_METADATA_MAX] = {
		{ "Content-Type", "application/grpc" },
		{ "TE", "trailers" },
	};
	CLEANUP(http_response_free) struct http_response resp = { 0 };
	CLEANUP(freep) char *url = xasprintf("http://localhost%s", call->method);
	size_t len = GRPC_FRAME_HEAD_BYTES + call->message_len;
	CLEANUP(freep) uint8_t *body = xmalloc(len);

	if (call->n_metadata > GRPC_METADATA_MAX || call->message_len > GRPC_MESSAGE_MAX_BYTES)
		return err_set(err, ERR_LIMIT, "a gRPC message of %zu bytes", call->message_len);
	for (size_t i = 0; i < call->n_metadata; i++)
		headers[2 + i] = call->metadata[i];
	grpc_frame_head(call->message_len, body);
	if (call->message_len)
		memcpy(body + GRPC_FRAME_HEAD_BYTES, call->message, call->message_len);
	const struct http_request req = {
		.method = "POST",
		.url = url,
		.unix_socket = socket,
		.headers = headers,
		.n_headers = 2 + call->n_metadata,
		.body = body,
		.body_len = len,
		.max_body_bytes = GRPC_MESSAGE_MAX_BYTES + GRPC_FRAME_HEAD_BYTES,
		.total_timeout_ms = call->timeout_ms,
		.no_proxy = true,
		.http2_prior_knowledge = true,
		/* libcurl 7.88: a second request on such a connection ended in a framing error. */
		.fresh_connection = true,
	};
	if (http_do(http, &req, &resp, err) < 0)
		return -1;
	return read_answer(&resp, call->answers, answer, err);
}
