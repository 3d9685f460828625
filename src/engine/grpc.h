/*
 * gRPC over HTTP/2 on a Unix socket ("gRPC over HTTP2", grpc/grpc doc/PROTOCOL-HTTP2.md). One
 * connection carries all calls to a server, at the same time where the caller likes. The messages
 * themselves are the caller's.
 */
#ifndef BERTH_ENGINE_GRPC_H
#define BERTH_ENGINE_GRPC_H

#include "net/http.h"

#define GRPC_FRAME_HEAD_BYTES 5
#define GRPC_MESSAGE_MAX_BYTES (4 * MIB) /* what gRPC implementations accept by default */
#define GRPC_METADATA_MAX 4

struct grpc;
struct grpc_call;

/* No traffic yet: the first call connects. http: its loop and its trace. */
struct grpc *grpc_new(struct http *http, const char *socket);
void grpc_free(struct grpc *g); /* NULL is fine; what still runs is dropped, its calls are not to be touched any more */

/* From the loop; must not wait, may start and drop calls. */
typedef void grpc_event_fn(void *arg);

struct grpc_request {
	const char *method; /* "/containerd.services.leases.v1.Leases/List" */
	const struct http_header *metadata;
	size_t n_metadata;  /* <= GRPC_METADATA_MAX; copied */
	bool more;          /* messages follow the first: grpc_send() */
	bool answers;       /* the method streams: several messages may come, of which the last is kept */
	bool once;          /* to be done twice would be an error: not repeated unless the peer never saw it */
	int64_t timeout_ms;       /* of the whole call; 0: none */
	int64_t stall_timeout_ms; /* no byte of it either way for so long, unless it waits for grpc_send(); 0: none */
	/* Or NULL. Told that grpc_ready() has become true, and that it ended. */
	grpc_event_fn *event;
	void *event_arg;
};

/*
 * Sends a call with its first message, a frame of grpc_frame_new() that is taken over, also on
 * failure. A connection that is found closed is opened again, once for each call. ERR_LIMIT: the
 * message is too large; ERR_REFUSED: metadata that no header can hold; ERR_NETWORK: nobody answers
 * on the socket.
 */
int grpc_start(struct grpc *g, const struct grpc_request *req, uint8_t *frame, struct grpc_call **out,
	       struct err *err) MUST_CHECK;
/* The message before is on its way and the call runs: grpc_send() may be called. */
bool grpc_ready(const struct grpc_call *call);
/* The next message, taken over; last: nothing follows. At most GRPC_MESSAGE_MAX_BYTES, asserted. */
void grpc_send(struct grpc_call *call, uint8_t *frame, bool last);
bool grpc_ended(const struct grpc_call *call);
const char *grpc_method(const struct grpc_call *call); /* for messages: "List" */
/* The peer ended the call well although not all of it had been sent. */
bool grpc_ended_early(const struct grpc_call *call);
/*
 * Waits on the loop until it has ended (where it has: also in callbacks), and frees it. *answer
 * (initialised, any cap; may be NULL) then holds the answer's message alone. What the peer's status
 * means: not found ERR_NOT_FOUND, already exists ERR_CONFLICT, unavailable ERR_NETWORK …, see
 * grpc_status(). On the way: ERR_NETWORK (closed, reset), ERR_TIMEOUT, ERR_PROTOCOL, ERR_LIMIT,
 * ERR_CANCELLED.
 */
int grpc_finish(struct grpc_call *call, struct buf *answer, struct err *err) MUST_CHECK;
void grpc_cancel(struct grpc_call *call); /* NULL is fine; frees it */

/* Room for a message of len bytes behind its head; caller fills it, and frees it or gives it away. */
uint8_t *grpc_frame_new(size_t len);
/* The frame that body begins with, not compressed: *message points into it. ERR_PROTOCOL, also where it is cut. */
int grpc_frame_parse(const void *body, size_t body_len, const uint8_t **message, size_t *len,
		     struct err *err) MUST_CHECK;
/*
 * grpc-status and grpc-message (percent-encoded; may be NULL) → 0 for status 0, else the error they
 * mean. A status that is missing or unknown: ERR_PROTOCOL.
 */
int grpc_status(const char *status, const char *message, struct err *err) MUST_CHECK;

#endif
