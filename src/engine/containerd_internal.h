/* What the containerd*.c files share. Nobody else includes this. */
#ifndef BERTH_ENGINE_CONTAINERD_INTERNAL_H
#define BERTH_ENGINE_CONTAINERD_INTERNAL_H

#include "engine/containerd.h"
#include "engine/containerd.pb-c.h"
#include "engine/grpc.h"

struct containerd {
	struct grpc *grpc;
	char *namespace, *snapshotter;
	char *lease; /* or NULL */
	char *root;  /* or NULL: containerd_introspect() has not been asked */
	bool rebases;
};

/* One call. method: "snapshots.v1.Snapshots/Prepare". */
struct containerd_request {
	const char *method;
	const ProtobufCMessage *message;
	int64_t timeout_ms;       /* 0: CONTAINERD_TIMEOUT_MS, unless there is the next */
	int64_t stall_timeout_ms; /* as in struct grpc_request */
	bool streams;             /* the method does: several answers may come */
	bool more;                /* messages follow: grpc_send() */
	grpc_event_fn *event;     /* or NULL, as in struct grpc_request */
	void *event_arg;
};
/* An ordinary one, by a struct of protobuf-c's. */
#define CALL(method_, request_) ((const struct containerd_request){ .method = (method_), .message = &(request_).base })

/* Sends it, with the namespace and the current lease. */
int containerd_ask(struct containerd *c, const struct containerd_request *req, struct grpc_call **out,
		   struct err *err) MUST_CHECK;
/*
 * Waits for it, and frees it. *answer (may be NULL) is of that type,
 * to be freed with protobuf_c_message_free_unpacked().
 */
int containerd_hear(struct grpc_call *call, const ProtobufCMessageDescriptor *type, ProtobufCMessage **answer,
		    struct err *err) MUST_CHECK;
/* Both. */
int containerd_call(struct containerd *c, const struct containerd_request *req, const ProtobufCMessageDescriptor *type,
		    ProtobufCMessage **answer, struct err *err) MUST_CHECK;
/* A message for grpc_send(). */
uint8_t *containerd_pack(const ProtobufCMessage *message);
/* Of containerd_introspect() and containerd_commit(), what is on the wire. */
int containerd_note_plugins(struct containerd *c, const Ctd__PluginsResponse *answer, struct err *err) MUST_CHECK;
/* Its strings are borrowed. */
Ctd__CommitSnapshotRequest containerd_commit_request(const struct containerd *c, const char *key, const char *name,
						     const char *parent);

/*
 * Asks about each of n names at once. found[i]: no error; else it was ERR_NOT_FOUND. found NULL:
 * that is an error, too.
 */
typedef int containerd_ask_fn(struct containerd *c, const char *name, struct grpc_call **out, struct err *err);
int containerd_ask_all(struct containerd *c, containerd_ask_fn *ask, const char *const *names, size_t n, bool *found,
		       struct err *err) MUST_CHECK;

void containerd_message_freep(ProtobufCMessage **m); /* for CLEANUP() */

#endif
