/* What the containerd*.c files share. Nobody else includes this. */
#ifndef BERTH_ENGINE_CONTAINERD_INTERNAL_H
#define BERTH_ENGINE_CONTAINERD_INTERNAL_H

#include "engine/containerd.h"
#include "engine/containerd.pb-c.h"

struct containerd {
	struct http *http;
	char *socket, *namespace, *snapshotter;
	char *lease; /* or NULL */
};

/*
 * One call. service: "snapshots.v1.Snapshots", method: "Prepare". *answer (may be NULL) is of that type, to be freed with
 * protobuf_c_message_free_unpacked().
 */
int containerd_call(struct containerd *c, const char *service, const char *method, const ProtobufCMessage *request,
		    const ProtobufCMessageDescriptor *type, ProtobufCMessage **answer, int64_t timeout_ms,
		    struct err *err) MUST_CHECK;
/* A method that streams, by one message and without interest in the answers. */
int containerd_send(struct containerd *c, const char *service, const char *method, const ProtobufCMessage *request,
		    struct err *err) MUST_CHECK;

void containerd_message_freep(ProtobufCMessage **m); /* for CLEANUP() */

#endif
