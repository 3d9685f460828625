#include "net/http_internal.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include "base/clock.h"

static void fail(struct http_transfer *t)
{
	t->failed = true;
}

static void moved(struct http_transfer *t)
{
	t->moved_ms = clock_mono_ms();
}

/* "203.0.113.4:443", "[2001:db8::1]:443" */
static void peer_text(const struct sockaddr *sa, char out[HTTP_PEER_SIZE])
{
	const struct sockaddr_in *v4 = (const struct sockaddr_in *)sa;
	const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)sa;
	char ip[INET6_ADDRSTRLEN] = "?";

	if (sa->sa_family == AF_INET) {
		(void)inet_ntop(AF_INET, &v4->sin_addr, ip, sizeof ip); /* ip is large enough */
		(void)snprintf(out, HTTP_PEER_SIZE, "%s:%u", ip, ntohs(v4->sin_port));
	} else {
		(void)inet_ntop(AF_INET6, &v6->sin6_addr, ip, sizeof ip);
		(void)snprintf(out, HTTP_PEER_SIZE, "[%s]:%u", ip, ntohs(v6->sin6_port));
	}
}

void http_note_peer(struct http_transfer *t)
{
	struct http_response *r = &t->resp;
	char *ip = NULL;
	long port = 0;

	if (t->unix_socket) {
		/* For messages: cut is fine. */
		(void)snprintf(r->peer, sizeof r->peer, "%s", t->unix_socket);
		r->peer_class = ADDRESS_LOOPBACK;
		return;
	}
	if (curl_easy_getinfo(t->easy, CURLINFO_PRIMARY_IP, &ip) != CURLE_OK || !ip || !ip[0] ||
	    curl_easy_getinfo(t->easy, CURLINFO_PRIMARY_PORT, &port) != CURLE_OK)
		return;
	(void)snprintf(r->peer, sizeof r->peer, strchr(ip, ':') ? "[%s]:%ld" : "%s:%ld", ip, port);
	if (t->proxied || !address_class_of_text(ip, &r->peer_class))
		r->peer_class = ADDRESS_PUBLIC; /* the strictest for what follows from it */
}

static size_t on_header(char *line, size_t size, size_t n, void *arg)
{
	struct http_transfer *t = arg;

	moved(t);
	if (t->gone || t->failed)
		return 0;
	if (http_header_line(t, line, size * n, &t->err) < 0) {
		fail(t);
		return 0;
	}
	if (t->head_done && !t->resp.peer[0])
		http_note_peer(t);
	return size * n;
}

static size_t keep_body(struct http_transfer *t, const char *bytes, size_t len)
{
	struct buf *body = &t->resp.body;
	size_t room = body->max_bytes - body->len;

	if (len > room && t->resp.status / 100 != 2) {
		/* Only words about the failure are lost. */
		t->resp.body_cut = t->cut = true;
		if (buf_append(body, bytes, room, &t->err) < 0)
			fail(t);
		return 0;
	}
	if (buf_append(body, bytes, len, &t->err) < 0) {
		(void)err_wrap(&t->err, "answer");
		fail(t);
		return 0;
	}
	return len;
}

static size_t on_body(char *bytes, size_t size, size_t n, void *arg)
{
	struct http_transfer *t = arg;
	size_t len = size * n;

	moved(t);
	if (t->gone || t->failed || t->cut)
		return 0;
	if (!len)
		return 0;
	if (!t->on_body || t->resp.status / 100 != 2)
		return keep_body(t, bytes, len);
	switch (t->on_body(t->on_body_arg, &t->resp, bytes, len, &t->err)) {
	case HTTP_CONTINUE:
		return t->gone ? 0 : len;
	case HTTP_PAUSE:
		t->receive_paused = true;
		return CURL_WRITEFUNC_PAUSE;
	case HTTP_ABORT:
		break;
	}
	fail(t);
	return 0;
}

static size_t on_upload(char *out, size_t size, size_t n, void *arg)
{
	struct http_transfer *t = arg;
	size_t len = 0;

	moved(t);
	if (t->gone || t->failed)
		return CURL_READFUNC_ABORT;
	switch (t->upload(t->upload_arg, out, size * n, &len, &t->err)) {
	case HTTP_CONTINUE:
		return t->gone ? CURL_READFUNC_ABORT : len;
	case HTTP_PAUSE:
		t->upload_paused = true;
		return CURL_READFUNC_PAUSE;
	case HTTP_ABORT:
		break;
	}
	fail(t);
	return CURL_READFUNC_ABORT;
}

/* Judges the address before a packet goes there; other addresses of the name may still be tried. */
static curl_socket_t on_open(void *arg, curlsocktype purpose, struct curl_sockaddr *addr)
{
	struct http_transfer *t = arg;
	const struct sockaddr *sa = &addr->addr;

	(void)purpose;
	if (sa->sa_family == AF_INET || sa->sa_family == AF_INET6) {
		char peer[HTTP_PEER_SIZE];
		enum address_class class = address_class(sa);
		peer_text(sa, peer);
		if (!t->proxied && class < t->least) {
			t->address_refused = true;
			(void)err_set(&t->err, ERR_REFUSED,
				      "%s is a %s address, which is not allowed here", peer,
				      address_class_name(class));
			return CURL_SOCKET_BAD;
		}
		memcpy(t->connecting_to, peer, sizeof peer);
	}
	return socket(addr->family, addr->socktype | SOCK_CLOEXEC, addr->protocol);
}

/* Judges again with the connection made: a kept one was opened under another request's rule. */
static int on_connected(void *arg, char *ip, char *local_ip, int port, int local_port)
{
	struct http_transfer *t = arg;
	enum address_class class;

	(void)local_ip;
	(void)local_port;
	(void)port;
	if (t->gone)
		return CURL_PREREQFUNC_ABORT;
	moved(t);
	if (t->proxied || t->unix_socket)
		return CURL_PREREQFUNC_OK;
	if (!address_class_of_text(ip, &class))
		class = ADDRESS_NEVER;
	if (class >= t->least)
		return CURL_PREREQFUNC_OK;
	(void)err_set(&t->err, ERR_REFUSED, "%s is a %s address, which is not allowed here", ip,
		      address_class_name(class));
	fail(t);
	return CURL_PREREQFUNC_ABORT;
}

void http_set_callbacks(struct http_transfer *t)
{
	/* Setting a callback cannot fail. */
	(void)curl_easy_setopt(t->easy, CURLOPT_HEADERFUNCTION, on_header);
	(void)curl_easy_setopt(t->easy, CURLOPT_HEADERDATA, t);
	(void)curl_easy_setopt(t->easy, CURLOPT_WRITEFUNCTION, on_body);
	(void)curl_easy_setopt(t->easy, CURLOPT_WRITEDATA, t);
	(void)curl_easy_setopt(t->easy, CURLOPT_OPENSOCKETFUNCTION, on_open);
	(void)curl_easy_setopt(t->easy, CURLOPT_OPENSOCKETDATA, t);
	(void)curl_easy_setopt(t->easy, CURLOPT_PREREQFUNCTION, on_connected);
	(void)curl_easy_setopt(t->easy, CURLOPT_PREREQDATA, t);
	if (t->upload) {
		(void)curl_easy_setopt(t->easy, CURLOPT_READFUNCTION, on_upload);
		(void)curl_easy_setopt(t->easy, CURLOPT_READDATA, t);
	}
}
