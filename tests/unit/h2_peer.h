/* A scripted HTTP/2 peer on a Unix socket and the test's own loop: it says exactly the bytes that it is told to say. */
#ifndef BERTH_TESTS_UNIT_H2_PEER_H
#define BERTH_TESTS_UNIT_H2_PEER_H

#include "base/buf.h"
#include "net/loop.h"

enum h2_type { H2_DATA, H2_HEADERS, H2_RST = 3, H2_SETTINGS, H2_PUSH, H2_GOAWAY = 7, H2_WINDOW, H2_CONTINUATION };
#define H2_END_STREAM 1
#define H2_END_HEADERS 4

struct h2_peer;

/*
 * A frame came (empty type H2_SETTINGS of the client's own, too): what is put into `out` goes back,
 * and *close ends the connection behind it. connection: those before its own.
 */
struct h2_frame {
	enum h2_type type;
	uint8_t flags;
	uint32_t stream;
	size_t len;
	unsigned int connection;
};
typedef void h2_fn(void *arg, const struct h2_frame *frame, struct buf *out, bool *close);

struct h2_peer *h2_peer_new(struct loop *loop, h2_fn *fn, void *arg);
void h2_peer_free(struct h2_peer *p);
const char *h2_peer_socket(const struct h2_peer *p);
unsigned int h2_peer_connections(const struct h2_peer *p);
void h2_peer_hang_up(struct h2_peer *p); /* closes what is open; it still listens */

void h2_say_bytes(struct buf *out, const void *bytes, size_t len);
void h2_say(struct buf *out, enum h2_type type, uint8_t flags, uint32_t stream, const void *payload, size_t len);
void h2_say_number(struct buf *out, enum h2_type type, uint32_t stream, uint32_t value); /* RST, WINDOW */
/* A literal field (RFC 7541 §6.2.2), both parts below 127 bytes. */
void h2_field(struct buf *block, const char *name, const char *value);

#endif
