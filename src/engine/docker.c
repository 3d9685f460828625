#include "engine/docker.h"

#include <ctype.h>
#include <sys/un.h>

#include "base/mem.h"
#include "base/secret.h"
#include "engine/containerd.h"
#include "engine/docker_internal.h"
#include "engine/load_temporary.h"

#define ANSWER_MAX_DEPTH 64
#define ANSWER_MAX_NODES 1000000 /* 16 MiB of /images/json hold about a third of it */

#define GIVE_BACK_MS 5000

#define TCP_PORT_DEFAULT "2375" /* registered with IANA for Docker without TLS */

static int parse_unix(const char *path, struct docker *d, struct err *err)
{
	const struct sockaddr_un address;

	if (*path != '/')
		return err_set(err, ERR_CONFIG, "%s: the path is not absolute", d->host);
	if (strlen(path) >= sizeof address.sun_path)
		return err_set(err, ERR_CONFIG, "%s: longer than %zu bytes", d->host,
			       sizeof address.sun_path - 1);
	d->socket = xstrdup(path);
	d->is_default = streq(path, "/var/run/docker.sock") || streq(path, "/run/docker.sock");
	d->base = xstrdup("http://docker");
	return 0;
}

/* HOST or HOST:PORT. Docker without TLS is root for whoever reaches it: only our own machine. */
static int parse_tcp(const char *text, struct docker *d, struct err *err)
{
	const char *host_end = *text == '[' ? strchrnul(text, ']') + 1 : strchrnul(text, ':');
	size_t len = *text == '[' && !strchr(text, ']') ? strlen(text) : (size_t)(host_end - text);
	CLEANUP(freep) char *host = xstrndup(text, len);
	const char *port = text[len] == ':' ? text + len + 1 : TCP_PORT_DEFAULT;

	if ((text[len] && text[len] != ':') || !*port || strlen(port) > 5 ||
	    port[strspn(port, "0123456789")])
		return err_set(err, ERR_CONFIG, "%s: not tcp://HOST:PORT", d->host);
	if (!host_is_loopback(host)) {
		(void)err_set(err, ERR_CONFIG, "%s: not on this machine", d->host);
		return err_hint(err, "berth works with the Docker of its own instance");
	}
	d->base = xasprintf("http://%s:%s", host, port);
	return 0;
}

int docker_new(struct http *http, struct loop *loop, const char *host, struct docker **out,
	       struct err *err)
{
	static const struct {
		const char *scheme;
		int (*parse)(const char *rest, struct docker *d, struct err *err);
	} schemes[] = { { "unix://", parse_unix }, { "tcp://", parse_tcp } };
	struct docker *d = xcalloc(1, sizeof *d);
	int result =
		err_set(err, ERR_CONFIG, "%s: neither unix:///PATH nor tcp://127.0.0.1:PORT", host);

	*d = (struct docker){ .http = http, .loop = loop, .host = xstrdup(host) };
	for (size_t i = 0; i < ARRAY_LEN(schemes); i++) {
		const char *rest = skip_prefix(host, schemes[i].scheme);
		if (rest)
			result = schemes[i].parse(rest, d, err);
	}
	if (result < 0) {
		docker_free(d);
		return err_wrap(err, "--docker-host");
	}
	err_clear(err);
	*out = d;
	return 0;
}

void docker_set_containerd(struct docker *d, const char *socket)
{
	free(d->containerd_socket);
	d->containerd_socket = xstrdup(socket);
}

/* Also after a signal. What is left in spite of it expires, or the next start takes it. */
static void give_back(struct docker *d)
{
	bool has_lease = d->containerd && containerd_lease(d->containerd);
	struct err ignored;

	if (!has_lease && !d->has_temporaries)
		return;
	loop_uncancel(d->loop);
	if (d->has_temporaries && load_temporary_remove(d, true, GIVE_BACK_MS, &ignored) < 0)
		err_clear(&ignored);
	if (has_lease &&
	    containerd_lease_delete(d->containerd, containerd_lease(d->containerd), false, GIVE_BACK_MS, &ignored) < 0)
		err_clear(&ignored);
}

void docker_free(struct docker *d)
{
	if (!d)
		return;
	give_back(d);
	containerd_free(d->containerd);
	free(d->containerd_socket);
	free(d->host);
	free(d->socket);
	free(d->base);
	free(d);
}

const struct docker_info *docker_info(const struct docker *d)
{
	return &d->info;
}

char *docker_escape(const char *s)
{
	static const char digits[] = "0123456789ABCDEF";
	char *out = xmalloc(3 * strlen(s) + 1), *p = out;

	for (; *s; s++) {
		unsigned char c = (unsigned char)*s;
		if ((c < 0x80 && isalnum(c)) || strchr("-._~", c)) {
			*p++ = (char)c;
			continue;
		}
		*p++ = '%';
		*p++ = digits[c >> 4];
		*p++ = digits[c & 15];
	}
	*p = '\0';
	return out;
}

int docker_parse(char *bytes, size_t len, size_t max_bytes, struct json **out, struct err *err)
{
	const struct json_limits limits = { max_bytes, ANSWER_MAX_DEPTH, ANSWER_MAX_NODES };

	/*
	 * A container's own output comes along, in health logs: no byte of it may make its inspect
	 * unreadable.
	 */
	for (char *p = bytes, *end = bytes + len; p && (p = memchr(p, '\\', (size_t)(end - p)));
	     p += 2) {
		if (end - p >= 6 && memcmp(p, "\\u0000", 6) == 0)
			memcpy(p, "\\ufffd", 6);
		if (end - p < 2)
			break;
	}
	return json_parse(bytes, len, &limits, out, err);
}

int docker_transport_error(struct err *err)
{
	if (err->kind == ERR_CANCELLED)
		return -1;
	return err_wrap(err, "Docker"); /* the message names the socket */
}

bool docker_disk_is_full(struct err *err)
{
	if (!strcasestr(err->msg, "no space left on device"))
		return false;
	(void)err_hint(err, "make room in Docker's data directory, or give it a larger volume");
	return true;
}

bool docker_is_passing(const char *message)
{
	static const char *const words[] = {
		": unavailable",
		"client connection is closing",
		"containerd.sock: connect: ",
		"context canceled",
		"error reading from server: EOF",
		"failed to send write: ", /* to containerd's content store */
		"failed to update store for object type", /* of networks: closed before the containers are */
		"transport is closing",
	};

	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (strstr(message, words[i]))
			return true;
	return false;
}

int docker_status_error(const struct http_response *r, struct err *err)
{
	static const struct {
		long status;
		enum err_kind kind;
	} kinds[] = {
		{ 401, ERR_DENIED },
		{ 403, ERR_DENIED },
		{ 404, ERR_NOT_FOUND },
		{ 409, ERR_CONFLICT },
	};
	CLEANUP(json_freep) struct json *answer = NULL;
	CLEANUP(freep) char *body = xstrndup(buf_str(&r->body), r->body.len);
	enum err_kind kind = r->status >= 400 ? ERR_FAILED : ERR_PROTOCOL;
	const char *message = NULL;
	struct err ignored;

	for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
		if (kinds[i].status == r->status)
			kind = kinds[i].kind;
	if (docker_parse(body, strlen(body), DOCKER_ERROR_MAX_BYTES, &answer, &ignored) == 0)
		message = json_string(json_get(answer, "message"));
	else
		message = body; /* a proxy before the socket, or no Docker at all */
	if (!message || !*message)
		return err_set(err, kind, "Docker answered with status %ld", r->status);
	size_t len = strlen(message);
	while (len && isspace((unsigned char)message[len - 1]))
		len--;
	(void)err_set(err, kind, "%.*s", (int)(len < sizeof err->msg ? len : sizeof err->msg), message);
	return r->status >= 500 && docker_is_passing(message) ? err_retry(err, 0) : -1;
}

struct http_request docker_request(const struct docker *d, const char *method, const char *path,
				   bool unversioned, char **url)
{
	*url = unversioned ? xasprintf("%s%s", d->base, path)
			   : xasprintf("%s/v%s%s", d->base, d->info.api, path);
	return (struct http_request){
		.method = method,
		.url = *url,
		.unix_socket = d->socket,
		.max_body_bytes = DOCKER_ERROR_MAX_BYTES,
		.no_proxy = true,
		.http1_only = true,
	};
}

int docker_do(struct docker *d, const struct docker_exchange *x, struct http_response *resp,
	      struct err *err)
{
	static const struct http_header json_header = { "Content-Type", "application/json" };
	CLEANUP(freep) char *url = NULL;
	/* Wiped: an environment may be in it. */
	CLEANUP(wipep) char *body = x->body ? json_print(x->body, false) : NULL;
	struct http_request request = docker_request(d, x->method, x->path, x->unversioned, &url);

	if (body) {
		request.headers = &json_header;
		request.n_headers = 1;
		request.body = body;
		request.body_len = strlen(body);
	}
	if (!x->on_body)
		request.max_body_bytes = DOCKER_ANSWER_MAX_BYTES;
	request.on_body = x->on_body;
	request.on_body_arg = x->on_body_arg;
	request.total_timeout_ms = x->timeout_ms;
	if (http_do(d->http, &request, resp, err) < 0)
		return docker_transport_error(err);
	if ((resp->status >= 200 && resp->status < 300) || resp->status == 304)
		return 0;
	(void)docker_status_error(resp, err);
	http_response_free(resp);
	return -1;
}

int docker_call_for(struct docker *d, const char *method, const char *path, const struct json *body,
		    int64_t timeout_ms, struct json **out, struct err *err)
{
	const struct docker_exchange x = {
		.method = method, .path = path, .body = body, .timeout_ms = timeout_ms
	};
	CLEANUP(http_response_free) struct http_response resp = { 0 };

	if (docker_do(d, &x, &resp, err) < 0)
		return -1;
	if (!out)
		return 0;
	*out = NULL;
	if (!resp.body.len || resp.status == 304)
		return 0;
	if (docker_parse(resp.body.data, resp.body.len, DOCKER_ANSWER_MAX_BYTES, out, err) < 0)
		return docker_transport_error(err);
	return 0;
}

int docker_call(struct docker *d, const char *method, const char *path, const struct json *body,
		struct json **out, struct err *err)
{
	return docker_call_for(d, method, path, body, DOCKER_TIMEOUT_MS, out, err);
}
