/*
 * gRPC over HTTP/2 on a Unix socket, single calls only ("gRPC over HTTP2", grpc/grpc doc/PROTOCOL-HTTP2.md). The
 * messages themselves are the caller's.
 */
#ifndef BERTH_ENGINE_GRPC_H
#define BERTH_ENGINE_GRPC_H

#include "net/http.h"

#define GRPC_FRAME_HEAD_BYTES 5
#define GRPC_MESSAGE_MAX_BYTES (4 * MIB) /* what gRPC implementations accept by default */
#define GRPC_METADATA_MAX 4

struct grpc_call {
	const char *method; /* "/containerd.services.leases.v1.Leases/List" */
	const struct http_header *metadata;
	size_t n_metadata;  /* <= GRPC_METADATA_MAX */
	const void *message;
	size_t message_len;
	bool answers; /* the method streams: several messages may come, of which the last is kept */
	int64_t timeout_ms;
};

/*
 * Sends and waits on the loop; *answer (initialised, cap GRPC_MESSAGE_MAX_BYTES + GRPC_FRAME_HEAD_BYTES) then holds
 * the answer's message alone. What the peer's status means: not found ERR_NOT_FOUND, already exists ERR_CONFLICT,
 * unavailable ERR_NETWORK …, see grpc_status(). On the way: those of http_do().
 */
int grpc_unary(struct http *http, const char *socket, const struct grpc_call *call, struct buf *answer,
	       struct err *err) MUST_CHECK;

/* Puts the head of a frame of len bytes. */
void grpc_frame_head(size_t len, uint8_t out[GRPC_FRAME_HEAD_BYTES]);
/* The frame that body begins with, not compressed: *message points into it. ERR_PROTOCOL, also where it is cut. */
int grpc_frame_parse(const void *body, size_t body_len, const uint8_t **message, size_t *len, struct err *err) MUST_CHECK;
/*
 * grpc-status and grpc-message (percent-encoded; may be NULL) → 0 for status 0, else the error they mean. A status that is
 * missing or unknown: ERR_PROTOCOL.
 */
int grpc_status(const char *status, const char *message, struct err *err) MUST_CHECK;
/* The same of a whole answer. An HTTP status other than 200: ERR_PROTOCOL. */
int grpc_check(const struct http_response *resp, struct err *err) MUST_CHECK;

#endif
