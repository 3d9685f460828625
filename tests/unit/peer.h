/* A scripted HTTP/1.1 peer on the test's own loop: answers with exactly the bytes it is given. */
#ifndef BERTH_TESTS_UNIT_PEER_H
#define BERTH_TESTS_UNIT_PEER_H

#include "base/buf.h"
#include "net/loop.h"

struct peer;

struct peer_request {
	const char *head; /* "GET /path HTTP/1.1\r\n…\r\n\r\n" */
	const char *body; /* as sent: chunks and all */
	size_t body_len;
	unsigned int number;     /* requests before this one */
	unsigned int connection; /* connections before its own */
};

struct peer_answer {
	struct buf bytes; /* what goes out; cap PEER_ANSWER_MAX */
	bool close;       /* FIN behind the last byte */
	bool reset;       /* RST behind the last byte */
	int64_t drip_bytes, drip_ms; /* so many bytes each so many ms; 0: at once */
};

#define PEER_ANSWER_MAX (64 * MIB)

typedef void peer_fn(void *arg, const struct peer_request *req, struct peer_answer *answer);

/* Listens on 127.0.0.1, or on a Unix socket at path. */
struct peer *peer_new(struct loop *loop, const char *path, peer_fn *fn, void *arg);
void peer_free(struct peer *p);
unsigned int peer_port(const struct peer *p);
unsigned int peer_requests(const struct peer *p);
unsigned int peer_connections(const struct peer *p);
/* All bytes received, in order of arrival. */
const struct buf *peer_received(const struct peer *p);
/* "http://127.0.0.1:PORT" and what follows; caller frees. */
char *peer_url(const struct peer *p, const char *path);

/* Appends to an answer; the test ends when that fails. */
void say(struct peer_answer *a, const char *fmt, ...) PRINTF_LIKE(2, 3);
void say_bytes(struct peer_answer *a, const void *bytes, size_t len);
/* "HTTP/1.1 STATUS\r\nHEADERS\r\nContent-Length: N\r\n\r\nBODY"; each header line ends in \r\n. */
void say_whole(struct peer_answer *a, const char *status, const char *headers, const void *body, size_t len);
/* The value of a request's header (name in lower case, any case in the request), or NULL; caller frees. */
char *asked(const struct peer_request *req, const char *name);
bool asks(const struct peer_request *req, const char *method_and_path);

/* Peers of several tests: one answers with the request, head and body; one says *arg, a string or NULL, and no more. */
peer_fn echo, silence;

#endif
