/* What the grpc*.c files share. Nobody else includes this. */
#ifndef BERTH_ENGINE_GRPC_INTERNAL_H
#define BERTH_ENGINE_GRPC_INTERNAL_H

#include "base/mem.h"
#include "engine/grpc.h"

#define GRPC_STATUS_SIZE 24 /* holds any; a longer one is none */

struct grpc_connection;

struct grpc {
	struct http *http;
	struct loop *loop;
	char *socket;
	/* The first takes new calls, unless it is leaving; the others end their last ones. */
	struct grpc_connection *connections;
	struct grpc_call *calls;
	struct loop_timer *kick; /* see grpc_kick() */
	bool telling;            /* somebody is about to call grpc_tell(), or in it */
};

struct grpc_call {
	struct grpc *grpc;
	struct grpc_call *prev, *next;
	char *method;
	struct http_header metadata[GRPC_METADATA_MAX]; /* owned */
	size_t n_metadata;
	bool answers, once;
	grpc_event_fn *event;
	void *event_arg;

	struct grpc_connection *connection; /* NULL: it has no stream */
	int32_t stream;
	bool left;    /* bytes went out since it has its stream */
	bool again;   /* it needs another connection */
	bool retried;

	uint8_t *frame; /* being sent, with its head */
	size_t frame_len, frame_sent;
	bool last, deferred; /* deferred: nghttp2 waits for more of the body */

	long http_status;
	size_t header_bytes, header_lines;
	char status[GRPC_STATUS_SIZE]; /* grpc-status; empty: none came */
	char *message;                 /* grpc-message, or NULL */
	struct buf answer;             /* frames */

	bool tells; /* the event is due */
	bool answered; /* the peer has said all of it */
	bool ended, early;
	struct err err; /* ERR_NONE: ended well */

	struct loop_timer *timer;
	int64_t timeout_ms, stall_timeout_ms;
	int64_t started_ms, moved_ms;
};

/* --- grpc_course.c: what the connection says of a call --- */

/* Bytes of it moved. */
void grpc_call_moved(struct grpc_call *call);
/* Takes what is to be sent next of its frame, at most max bytes; says how many, 0 when all has been taken. */
size_t grpc_call_take(struct grpc_call *call, uint8_t *out, size_t max);
/* One header, or trailer. -1: there are too many. */
int grpc_call_header(struct grpc_call *call, const char *name, size_t name_len, const char *value, size_t value_len);
/* Bytes of the answer. -1: there are too many. */
int grpc_call_data(struct grpc_call *call, const uint8_t *bytes, size_t len);
/* The peer ended the stream properly. */
void grpc_call_answered(struct grpc_call *call);
/* It ended otherwise: the first reason counts. */
void grpc_call_failed(struct grpc_call *call, const struct err *err);
/*
 * Its stream is gone; refused: the peer did nothing of it.
 * It is sent once more where that is safe, else fails with err.
 */
void grpc_call_lost(struct grpc_call *call, bool refused, const struct err *err);
/*
 * grpc_call.c: tells what is due, in a later turn of the loop or, from a loop callback of ours,
 * at its end: grpc_tell().
 */
void grpc_kick(struct grpc *g);
void grpc_tell(struct grpc *g);

/* --- grpc_connection.c --- */

/* Opens a connection where there is none for new calls, and a stream on it; not yet sent. */
int grpc_connection_begin(struct grpc_call *call, struct err *err) MUST_CHECK;
/* Sends what is due. It may be gone afterwards, its calls then have failed or will be sent again. */
void grpc_connection_flush(struct grpc_connection *c);
/* There is more of the call's body. */
void grpc_connection_resume(struct grpc_call *call);
/* The call has ended: its stream, too. Not sent yet. */
void grpc_connection_end(struct grpc_call *call);
void grpc_connections_free(struct grpc *g);

#endif
