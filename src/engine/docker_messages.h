/*
 * A stream of JSON objects (images/load, images/create, events) cut into messages: they come in
 * chunks that begin and end anywhere, several in one, one over several. Pure.
 */
#ifndef BERTH_ENGINE_DOCKER_MESSAGES_H
#define BERTH_ENGINE_DOCKER_MESSAGES_H

#include "engine/docker.h"

/*
 * The longest real one is an event of a container with many labels; Docker's own caps are far
 * below.
 */
#define DOCKER_MESSAGE_MAX_BYTES (1 * MIB)

struct docker_messages {
	struct buf partial; /* of the message that has begun */
	size_t depth;       /* of open brackets */
	bool in_string, escaped;
};

void docker_messages_init(struct docker_messages *m);
void docker_messages_free(struct docker_messages *m);

/*
 * Takes all bytes and calls fn for each object that is complete; fn answers false to stop.
 * ERR_PROTOCOL for what is no object, ERR_LIMIT. Objects before the fault have been seen.
 */
typedef bool docker_each_fn(void *arg, const struct json *message);
int docker_messages_feed(struct docker_messages *m, const void *bytes, size_t len,
			 docker_each_fn *fn, void *arg, struct err *err) MUST_CHECK;
/* The stream is over: ERR_PROTOCOL inside a message. */
int docker_messages_end(const struct docker_messages *m, struct err *err) MUST_CHECK;

#endif
