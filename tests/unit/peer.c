#include "peer.h"

#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/mem.h"

struct connection {
	struct peer *peer;
	struct connection *next;
	unsigned int number;
	int fd; /* -1: closed */
	struct loop_watch *watch;
	struct loop_timer *timer;
	struct buf in;
	struct peer_answer answer;
	size_t sent;
};

struct peer {
	struct loop *loop;
	int fd;
	struct loop_watch *watch;
	unsigned int port, requests, n_connections;
	struct connection *connections;
	peer_fn *fn;
	void *arg;
	struct buf received;
};

static void must(bool ok, const char *what)
{
	if (!ok)
		fail_msg("peer: %s: %s", what, strerror(errno));
}

static void close_connection(struct connection *c, bool reset)
{
	const struct linger linger = { .l_onoff = 1, .l_linger = 0 };

	if (c->fd < 0)
		return;
	if (reset)
		must(setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger) == 0, "SO_LINGER");
	loop_unwatch(c->watch);
	loop_timer_cancel(c->timer);
	c->timer = NULL;
	(void)close(c->fd);
	c->fd = -1;
}

static void send_more(struct connection *c);

static void on_drip(void *arg)
{
	struct connection *c = arg;

	c->timer = NULL;
	send_more(c);
}

static void send_more(struct connection *c)
{
	struct peer_answer *a = &c->answer;

	while (c->fd >= 0 && c->sent < a->bytes.len) {
		size_t left = a->bytes.len - c->sent;
		if (a->drip_bytes && left > (size_t)a->drip_bytes)
			left = (size_t)a->drip_bytes;
		ssize_t n = send(c->fd, a->bytes.data + c->sent, left, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n < 0 && errno == EAGAIN) {
			loop_watch_change(c->watch, EPOLLIN | EPOLLOUT);
			return;
		}
		if (n < 0) { /* they hung up */
			close_connection(c, false);
			return;
		}
		c->sent += (size_t)n;
		if (a->drip_bytes && c->sent < a->bytes.len) {
			loop_watch_change(c->watch, EPOLLIN);
			c->timer = loop_timer_start(c->peer->loop, a->drip_ms, on_drip, c);
			return;
		}
	}
	if (c->fd < 0)
		return;
	loop_watch_change(c->watch, EPOLLIN);
	if (a->close || a->reset)
		close_connection(c, a->reset);
}

/* The length of a whole request at the start of c->in, or 0. */
static size_t request_length(const struct connection *c, size_t *head_len)
{
	const char *start = buf_str(&c->in), *end = strstr(start, "\r\n\r\n"), *p;

	if (!end)
		return 0;
	*head_len = (size_t)(end - start) + 4;
	p = strcasestr(start, "\r\ncontent-length:");
	if (p && p < end) {
		size_t body = strtoul(p + strlen("\r\ncontent-length:"), NULL, 10);
		return c->in.len >= *head_len + body ? *head_len + body : 0;
	}
	p = strcasestr(start, "\r\ntransfer-encoding: chunked");
	if (p && p < end) {
		p = memmem(start + *head_len - 2, c->in.len - *head_len + 2, "\r\n0\r\n\r\n", 7);
		return p ? (size_t)(p - start) + 7 : 0;
	}
	return *head_len;
}

static void serve(struct connection *c)
{
	size_t head_len, len = request_length(c, &head_len);
	CLEANUP(freep) char *head = NULL;

	if (!len || c->sent < c->answer.bytes.len)
		return;
	head = xstrndup(c->in.data, head_len);
	const struct peer_request req = { .head = head, .body = c->in.data + head_len,
					  .body_len = len - head_len, .number = c->peer->requests++,
					  .connection = c->number };
	buf_free(&c->answer.bytes);
	c->answer = (struct peer_answer){ .bytes = BUF_INIT(PEER_ANSWER_MAX) };
	c->sent = 0;
	c->peer->fn(c->peer->arg, &req, &c->answer);
	buf_consume(&c->in, len);
	send_more(c);
}

static void on_connection(void *arg, uint32_t events)
{
	struct connection *c = arg;
	char bytes[65536];
	struct err err;
	ssize_t n;

	if (events & EPOLLOUT)
		send_more(c);
	if (c->fd < 0 || !(events & (EPOLLIN | EPOLLHUP | EPOLLERR)))
		return;
	n = recv(c->fd, bytes, sizeof bytes, MSG_DONTWAIT);
	if (n < 0 && errno == EAGAIN)
		return;
	if (n <= 0) {
		close_connection(c, false);
		return;
	}
	if (buf_append(&c->in, bytes, (size_t)n, &err) < 0 ||
	    buf_append(&c->peer->received, bytes, (size_t)n, &err) < 0)
		fail_msg("peer: %s", err.msg);
	serve(c);
}

static void on_listener(void *arg, uint32_t events)
{
	struct peer *p = arg;
	struct connection *c = xcalloc(1, sizeof *c);
	struct err err;

	(void)events;
	*c = (struct connection){ .peer = p, .next = p->connections, .number = p->n_connections++,
				  .in = BUF_INIT(PEER_ANSWER_MAX) };
	c->fd = accept4(p->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	must(c->fd >= 0, "accept");
	p->connections = c;
	if (loop_watch_fd(p->loop, c->fd, EPOLLIN, on_connection, c, &c->watch, &err) < 0)
		fail_msg("peer: %s", err.msg);
}

static int listen_on(const char *path, unsigned int *port)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof in;
	int fd = socket(path ? AF_UNIX : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	must(fd >= 0, "socket");
	if (path) {
		(void)snprintf(un.sun_path, sizeof un.sun_path, "%s", path);
		must(bind(fd, (struct sockaddr *)&un, sizeof un) == 0, "bind");
	} else {
		must(bind(fd, (struct sockaddr *)&in, sizeof in) == 0, "bind");
		must(getsockname(fd, (struct sockaddr *)&in, &len) == 0, "getsockname");
		*port = ntohs(in.sin_port);
	}
	must(listen(fd, 64) == 0, "listen");
	return fd;
}

struct peer *peer_new(struct loop *loop, const char *path, peer_fn *fn, void *arg)
{
	struct peer *p = xcalloc(1, sizeof *p);
	struct err err;

	*p = (struct peer){ .loop = loop, .fn = fn, .arg = arg, .received = BUF_INIT(PEER_ANSWER_MAX) };
	p->fd = listen_on(path, &p->port);
	if (loop_watch_fd(loop, p->fd, EPOLLIN, on_listener, p, &p->watch, &err) < 0)
		fail_msg("peer: %s", err.msg);
	return p;
}

void peer_free(struct peer *p)
{
	struct connection *next;

	if (!p)
		return;
	for (struct connection *c = p->connections; c; c = next) {
		next = c->next;
		close_connection(c, false);
		buf_free(&c->in);
		buf_free(&c->answer.bytes);
		free(c);
	}
	loop_unwatch(p->watch);
	(void)close(p->fd);
	buf_free(&p->received);
	free(p);
}

unsigned int peer_port(const struct peer *p)
{
	return p->port;
}

unsigned int peer_requests(const struct peer *p)
{
	return p->requests;
}

unsigned int peer_connections(const struct peer *p)
{
	return p->n_connections;
}

const struct buf *peer_received(const struct peer *p)
{
	return &p->received;
}

char *peer_url(const struct peer *p, const char *path)
{
	return xasprintf("http://127.0.0.1:%u%s", p->port, path);
}

void say_bytes(struct peer_answer *a, const void *bytes, size_t len)
{
	struct err err;

	if (buf_append(&a->bytes, bytes, len, &err) < 0)
		fail_msg("peer: %s", err.msg);
}

void say(struct peer_answer *a, const char *fmt, ...)
{
	CLEANUP(freep) char *text = NULL;
	va_list args;

	va_start(args, fmt);
	text = xvasprintf(fmt, args);
	va_end(args);
	say_bytes(a, text, strlen(text));
}

void say_whole(struct peer_answer *a, const char *status, const char *headers, const void *body, size_t len)
{
	say(a, "HTTP/1.1 %s\r\n%sContent-Length: %zu\r\n\r\n", status, headers, len);
	say_bytes(a, body, len);
}

char *asked(const struct peer_request *req, const char *name)
{
	CLEANUP(freep) char *key = xasprintf("\r\n%s:", name);
	const char *at = strcasestr(req->head, key);

	if (!at)
		return NULL;
	at += strlen(key);
	at += strspn(at, " ");
	return xstrndup(at, strcspn(at, "\r"));
}

bool asks(const struct peer_request *req, const char *method_and_path)
{
	size_t n = strlen(method_and_path);

	return strncmp(req->head, method_and_path, n) == 0 && req->head[n] == ' ';
}

void echo(void *arg, const struct peer_request *req, struct peer_answer *answer)
{
	CLEANUP(freep) char *whole = xasprintf("%s%.*s", req->head, (int)req->body_len, req->body);

	(void)arg;
	say_whole(answer, "200 OK",
		  "X-One: 1\r\nX-ONE: 2\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nRetry-After: 1000000000\r\n",
		  whole, strlen(whole));
}

void silence(void *arg, const struct peer_request *req, struct peer_answer *answer)
{
	(void)req;
	say(answer, "%s", arg ? (const char *)arg : "");
}
