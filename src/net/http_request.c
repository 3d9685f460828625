#include "net/http_internal.h"

#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/secret.h"

#define CONNECT_TIMEOUT_MS 10000
#define RECEIVE_BUFFER_BYTES ((long)(128 * KIB)) /* one read; also what a paused transfer holds */
#define UPLOAD_BUFFER_BYTES ((long)(256 * KIB))

/*
 * A setopt of 7.85 or later fails for lack of memory, or because the library
 * was built without the feature: configure and this check keep those out.
 */
#define SET(t, option, value) \
	do { \
		if (curl_easy_setopt((t)->easy, option, value) != CURLE_OK) \
			return err_set(err, ERR_SYSTEM, "libcurl lacks " #option); \
	} while (0)

/* RFC 9110 §5.6.2 */
static bool is_token(const char *s)
{
	if (!s[0])
		return false;
	for (; *s; s++)
		if (!strchr("!#$%&'*+-.^_`|~0123456789"
			    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ",
			    *s))
			return false;
	return true;
}

/* Values derived from what a peer said must not be able to add a header of their own. */
static int check_header(const struct http_header *h, struct err *err)
{
	if (!is_token(h->name))
		return err_set(err, ERR_REFUSED, "unusable header name");
	for (const char *p = h->value; *p; p++)
		if (((unsigned char)*p < 0x20 && *p != '\t') || *p == 0x7f)
			return err_set(err, ERR_REFUSED, "control byte in the header %s", h->name);
	return 0;
}

static void add_line(struct http_transfer *t, const char *line)
{
	struct curl_slist *list = curl_slist_append(t->headers, line);

	if (!list)
		abort(); /* out of memory */
	t->headers = list;
}

static int set_headers(struct http_transfer *t, const struct http_request *req, struct err *err)
{
	bool has_type = false;

	for (size_t i = 0; i < req->n_headers; i++) {
		const struct http_header *h = &req->headers[i];
		CLEANUP(wipep) char *line = NULL;
		if (check_header(h, err) < 0)
			return -1;
		/* curl's notation: "Name;" sends the header with an empty value. */
		line = h->value[0] ? xasprintf("%s: %s", h->name, h->value)
				   : xasprintf("%s;", h->name);
		add_line(t, line);
		has_type = has_type || strcasecmp(h->name, "content-type") == 0;
	}
	add_line(t, "Expect:"); /* no 100-continue: a second lost on peers that do not know it */
	if (!has_type)
		add_line(t, "Content-Type:"); /* not curl's x-www-form-urlencoded */
	if (req->upload)
		add_line(t, "Transfer-Encoding: chunked");
	SET(t, CURLOPT_HTTPHEADER, t->headers);
	SET(t, CURLOPT_HEADEROPT, (long)CURLHEADER_SEPARATE); /* none of them to a proxy */
	return 0;
}

static int set_method(struct http_transfer *t, const struct http_request *req, struct err *err)
{
	bool post = streq(req->method, "POST");
	bool sends = post || req->body || streq(req->method, "PUT");

	if (req->upload) {
		/* A stream cannot be sent again, which curl does when a kept connection turns out dead. */
		SET(t, CURLOPT_FRESH_CONNECT, 1L);
		SET(t, CURLOPT_FORBID_REUSE, 1L);
		SET(t, CURLOPT_POST, 1L);
		SET(t, CURLOPT_UPLOAD_BUFFERSIZE, UPLOAD_BUFFER_BYTES);
	} else if (sends) {
		SET(t, CURLOPT_POSTFIELDS, req->body ? req->body : "");
		SET(t, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)req->body_len);
	} else if (streq(req->method, "HEAD")) {
		SET(t, CURLOPT_NOBODY, 1L);
		return 0;
	} else {
		SET(t, CURLOPT_HTTPGET, 1L);
	}
	if (!(post && (sends || req->upload)) && !(streq(req->method, "GET") && !sends))
		SET(t, CURLOPT_CUSTOMREQUEST, req->method);
	return 0;
}

static int set_tls(struct http_transfer *t, struct err *err)
{
	SET(t, CURLOPT_SSL_VERIFYPEER, 1L);
	SET(t, CURLOPT_SSL_VERIFYHOST, 2L);
	SET(t, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2); /* or later */
	SET(t, CURLOPT_CAINFO, t->http->ca_bundle);
	SET(t, CURLOPT_CAPATH, NULL);
	if (t->url.tls && !t->http->ca_bundle) {
		(void)err_set(err, ERR_CONFIG, "TLS: no CA certificates found on this machine");
		return err_hint(
			err,
			"install ca-certificates, or set SSL_CERT_FILE or AWS_CA_BUNDLE to a PEM file "
			"(looked for /etc/ssl/certs/ca-certificates.crt, "
			"/etc/pki/tls/certs/ca-bundle.crt, /etc/ssl/ca-bundle.pem, "
			"/etc/ssl/cert.pem)");
	}
	return 0;
}

/* Through a proxy nobody sees the address connected to: a literal one can still be judged. */
static int check_proxied(const struct http_transfer *t, struct err *err)
{
	enum address_class class;

	if (address_class_of_text(t->url.host, &class) && class < t->least)
		return err_set(err, ERR_REFUSED, "%s is a %s address", t->url.host,
			       address_class_name(class));
	return 0;
}

static long http_version(const struct http_transfer *t, const struct http_request *req)
{
	return t->url.tls && !req->http1_only ? CURL_HTTP_VERSION_2TLS : CURL_HTTP_VERSION_1_1;
}

static int set_route(struct http_transfer *t, const struct http_request *req, struct err *err)
{
	const char *proxy =
		req->no_proxy || t->unix_socket ? NULL : http_proxy_for(&t->http->proxies, &t->url);

	t->proxied = proxy != NULL;
	SET(t, CURLOPT_PROXY, proxy ? proxy : ""); /* "": not even those of the environment */
	SET(t, CURLOPT_NOPROXY, "");
	if (proxy && check_proxied(t, err) < 0)
		return -1;
	if (t->unix_socket)
		SET(t, CURLOPT_UNIX_SOCKET_PATH, t->unix_socket);
	SET(t, CURLOPT_URL, t->url.text);
	SET(t, CURLOPT_PROTOCOLS_STR, "http,https");
	SET(t, CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
	SET(t, CURLOPT_FOLLOWLOCATION, 0L);
	SET(t, CURLOPT_DISALLOW_USERNAME_IN_URL, 1L);
	SET(t, CURLOPT_HTTP_VERSION, http_version(t, req));
	return 0;
}

static int set_limits(struct http_transfer *t, struct err *err)
{
	SET(t, CURLOPT_NOSIGNAL, 1L);
	/* Without it, dropping a transfer waits for the resolver's thread: the loop would stand still. */
	SET(t, CURLOPT_QUICK_EXIT, 1L);
	SET(t, CURLOPT_CONNECTTIMEOUT_MS, (long)t->connect_timeout_ms);
	SET(t, CURLOPT_TIMEOUT_MS, (long)t->total_timeout_ms); /* 0: none */
	SET(t, CURLOPT_BUFFERSIZE, RECEIVE_BUFFER_BYTES);
	SET(t, CURLOPT_TCP_KEEPALIVE, 1L);
	SET(t, CURLOPT_USERAGENT, t->http->user_agent);
	SET(t, CURLOPT_ERRORBUFFER, t->error_text);
	SET(t, CURLOPT_PRIVATE, t);
	SET(t, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
	SET(t, CURLOPT_HTTP09_ALLOWED, 0L);
	return 0;
}

static int configure(struct http_transfer *t, const struct http_request *req, struct err *err)
{
	if (set_limits(t, err) < 0 || set_method(t, req, err) < 0 || set_headers(t, req, err) < 0 ||
	    set_route(t, req, err) < 0 || set_tls(t, err) < 0)
		return -1;
	http_set_callbacks(t);
	return 0;
}

/* "GET https://host/path", or "GET /path on /run/docker.sock". */
static char *display_of(const struct http_request *req)
{
	CLEANUP(freep) char *url = http_url_display(req->url);
	const char *path = strstr(url, "://");

	if (!req->unix_socket)
		return xasprintf("%s %s", req->method, url);
	path = path ? strchr(path + 3, '/') : NULL;
	return xasprintf("%s %s on %s", req->method, path ? path : "/", req->unix_socket);
}

int http_transfer_new(struct http *http, const struct http_request *req, http_done_fn *done,
		      void *arg, struct http_transfer **out, struct err *err)
{
	struct http_transfer *t = xcalloc(1, sizeof *t);

	*t = (struct http_transfer){
		.http = http,
		.easy = http_easy_take(http),
		.method = xstrdup(req->method),
		.unix_socket = xstrdup(req->unix_socket),
		.display = display_of(req),
		.upload = req->upload,
		.upload_arg = req->upload_arg,
		.on_body = req->on_body,
		.on_body_arg = req->on_body_arg,
		.done = done,
		.done_arg = arg,
		.connect_timeout_ms =
			req->connect_timeout_ms > 0 ? req->connect_timeout_ms : CONNECT_TIMEOUT_MS,
		.total_timeout_ms = req->total_timeout_ms,
		.stall_timeout_ms = req->stall_timeout_ms,
		.least = req->least,
		.started_ms = clock_mono_ms(),
		.moved_ms = clock_mono_ms(),
		.resp = { .body = BUF_INIT(req->max_body_bytes),
			  .headers = BUF_INIT(HTTP_HEADERS_MAX_BYTES),
			  .retry_after_ms = -1 },
	};
	if (http_url_parse(req->url, &t->url, err) < 0 || configure(t, req, err) < 0) {
		(void)err_wrap(err, "%s", t->display);
		http_transfer_free(t);
		return -1;
	}
	*out = t;
	return 0;
}

void http_transfer_free(struct http_transfer *t)
{
	http_easy_give(t->http, t->easy, t->answered);
	for (struct curl_slist *h = t->headers; h; h = h->next)
		explicit_bzero(h->data, strlen(h->data)); /* Authorization */
	curl_slist_free_all(t->headers);
	loop_timer_cancel(t->stall_timer);
	free(t->method);
	http_url_free(&t->url);
	free(t->unix_socket);
	free(t->display);
	http_response_free(&t->resp);
	free(t);
}
