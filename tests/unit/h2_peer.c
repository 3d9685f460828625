#include "h2_peer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/mem.h"

#define PREFACE_BYTES 24
#define FRAME_HEAD_BYTES 9
#define CONNECTIONS_MAX 8

struct connection {
	struct h2_peer *peer;
	struct loop_watch *watch;
	struct buf in;
	int fd; /* -1: closed */
	bool begun;
};

struct h2_peer {
	struct loop *loop;
	h2_fn *fn;
	void *arg;
	char directory[32], path[48];
	int fd;
	struct loop_watch *watch;
	struct connection connections[CONNECTIONS_MAX];
	unsigned int n;
};

void h2_say_bytes(struct buf *out, const void *bytes, size_t len)
{
	struct err err;

	if (buf_append(out, bytes, len, &err) < 0)
		fail_msg("h2_peer: %s", err.msg);
}

void h2_say(struct buf *out, enum h2_type type, uint8_t flags, uint32_t stream, const void *payload, size_t len)
{
	const uint8_t head[FRAME_HEAD_BYTES] = {
		(uint8_t)(len >> 16), (uint8_t)(len >> 8), (uint8_t)len, (uint8_t)type, flags,
		(uint8_t)(stream >> 24), (uint8_t)(stream >> 16), (uint8_t)(stream >> 8), (uint8_t)stream
	};

	h2_say_bytes(out, head, sizeof head);
	h2_say_bytes(out, payload, len);
}

void h2_say_number(struct buf *out, enum h2_type type, uint32_t stream, uint32_t value)
{
	const uint8_t bytes[] = { (uint8_t)(value >> 24), (uint8_t)(value >> 16), (uint8_t)(value >> 8),
				  (uint8_t)value };

	h2_say(out, type, 0, stream, bytes, sizeof bytes);
}

void h2_field(struct buf *block, const char *name, const char *value)
{
	const uint8_t lens[] = { (uint8_t)strlen(name), (uint8_t)strlen(value) };

	assert_true(lens[0] < 127 && lens[1] < 127);
	h2_say_bytes(block, "\0", 1);
	h2_say_bytes(block, &lens[0], 1);
	h2_say_bytes(block, name, lens[0]);
	h2_say_bytes(block, &lens[1], 1);
	h2_say_bytes(block, value, lens[1]);
}

static void hang_up(struct connection *c)
{
	if (c->fd < 0)
		return;
	loop_unwatch(c->watch);
	(void)close(c->fd);
	c->fd = -1;
	buf_free(&c->in);
}

static bool next_frame(struct connection *c, struct h2_frame *out)
{
	const uint8_t *b = (const uint8_t *)c->in.data;

	if (!c->begun) {
		if (c->in.len < PREFACE_BYTES)
			return false;
		buf_consume(&c->in, PREFACE_BYTES);
		c->begun = true;
	}
	if (c->in.len < FRAME_HEAD_BYTES)
		return false;
	*out = (struct h2_frame){ .type = b[3], .flags = b[4], .len = (size_t)b[0] << 16 | (size_t)b[1] << 8 | b[2],
				  .stream = (uint32_t)b[5] << 24 | (uint32_t)b[6] << 16 | (uint32_t)b[7] << 8 | b[8],
				  .connection = (unsigned int)(c - c->peer->connections) };
	if (c->in.len < FRAME_HEAD_BYTES + out->len)
		return false;
	buf_consume(&c->in, FRAME_HEAD_BYTES + out->len);
	return true;
}

static void on_bytes(void *arg, uint32_t events)
{
	struct connection *c = arg;
	CLEANUP(buf_free) struct buf out = BUF_INIT(4 * MIB);
	char bytes[64 * KIB];
	ssize_t n = read(c->fd, bytes, sizeof bytes);
	struct h2_frame frame;
	bool closes = n <= 0;

	(void)events;
	if (n > 0)
		h2_say_bytes(&c->in, bytes, (size_t)n);
	while (!closes && next_frame(c, &frame))
		c->peer->fn(c->peer->arg, &frame, &out, &closes);
	if (out.len) /* the reader may be gone, or not be able to take so much */
		(void)!send(c->fd, out.data, out.len, MSG_NOSIGNAL | MSG_DONTWAIT);
	if (closes)
		hang_up(c);
}

static void on_connection(void *arg, uint32_t events)
{
	struct h2_peer *p = arg;
	struct connection *c = &p->connections[p->n];
	struct err err;

	(void)events;
	assert_true(p->n++ < CONNECTIONS_MAX);
	*c = (struct connection){ .peer = p, .in = BUF_INIT(4 * MIB), .fd = accept4(p->fd, NULL, NULL, SOCK_CLOEXEC) };
	assert_true(c->fd >= 0);
	if (loop_watch_fd(p->loop, c->fd, EPOLLIN, on_bytes, c, &c->watch, &err) < 0)
		fail_msg("h2_peer: %s", err.msg);
}

struct h2_peer *h2_peer_new(struct loop *loop, h2_fn *fn, void *arg)
{
	struct h2_peer *p = xcalloc(1, sizeof *p);
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	struct err err;

	*p = (struct h2_peer){ .loop = loop, .fn = fn, .arg = arg, .directory = "/tmp/berth-test-XXXXXX" };
	assert_non_null(mkdtemp(p->directory));
	(void)snprintf(p->path, sizeof p->path, "%s/s", p->directory);
	memcpy(address.sun_path, p->path, sizeof p->path);
	p->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(p->fd, (struct sockaddr *)&address, sizeof address), 0);
	assert_int_equal(listen(p->fd, 8), 0);
	if (loop_watch_fd(loop, p->fd, EPOLLIN, on_connection, p, &p->watch, &err) < 0)
		fail_msg("h2_peer: %s", err.msg);
	return p;
}

void h2_peer_hang_up(struct h2_peer *p)
{
	for (unsigned int i = 0; i < p->n; i++)
		hang_up(&p->connections[i]);
}

void h2_peer_free(struct h2_peer *p)
{
	h2_peer_hang_up(p);
	loop_unwatch(p->watch);
	(void)close(p->fd);
	(void)unlink(p->path);
	(void)rmdir(p->directory);
	free(p);
}

const char *h2_peer_socket(const struct h2_peer *p)
{
	return p->path;
}

unsigned int h2_peer_connections(const struct h2_peer *p)
{
	return p->n;
}
