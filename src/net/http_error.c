#include "net/http_internal.h"

#include <ctype.h>
#include <errno.h>

#include "base/mem.h"

/* strerror's text as the middle of a sentence: "connection refused". */
static const char *errno_text(int errnum, char out[64])
{
	const char *text = strerrordesc_np(errnum);

	(void)snprintf(out, 64, "%s", text ? text : "unknown error");
	if (out[0] && !isupper((unsigned char)out[1]))
		out[0] = (char)tolower((unsigned char)out[0]);
	return out;
}

static int connect_error(struct http_transfer *t, struct err *err)
{
	const char *where = t->unix_socket ? t->unix_socket : t->connecting_to;
	char why[64];
	long errnum = 0;

	if (t->address_refused && !t->connecting_to[0]) {
		*err = t->err;
		return -1;
	}
	if (curl_easy_getinfo(t->easy, CURLINFO_OS_ERRNO, &errnum) != CURLE_OK)
		errnum = 0;
	(void)err_set(err, ERR_NETWORK, "connect to %s: %s", where[0] ? where : t->url.host,
		      errnum ? errno_text((int)errnum, why) : "no connection");
	err->errnum = (int)errnum;
	return -1;
}

static int timeout_error(struct http_transfer *t, struct err *err)
{
	curl_off_t begun_us = 0;
	int64_t limit_ms = t->connect_timeout_ms;

	/* Zero until the request could be sent. */
	if (curl_easy_getinfo(t->easy, CURLINFO_PRETRANSFER_TIME_T, &begun_us) != CURLE_OK)
		begun_us = 0;
	if (begun_us > 0)
		return err_set(err, ERR_TIMEOUT, "no whole answer in %lld ms",
			       (long long)t->total_timeout_ms);
	if (t->total_timeout_ms > 0 && t->total_timeout_ms < limit_ms)
		limit_ms = t->total_timeout_ms;
	if (!t->connecting_to[0] && !t->unix_socket)
		return err_set(err, ERR_TIMEOUT, "resolve %s: no answer in %lld ms", t->url.host,
			       (long long)limit_ms);
	return err_set(err, ERR_TIMEOUT, "connect to %s: no answer in %lld ms",
		       t->unix_socket ? t->unix_socket : t->connecting_to, (long long)limit_ms);
}

/* curl's sentence without what we say ourselves. */
static const char *tls_reason(const struct http_transfer *t)
{
	static const char *const prefixes[] = { "SSL certificate problem: ", "SSL: " };
	const char *rest;

	for (size_t i = 0; i < ARRAY_LEN(prefixes); i++) {
		rest = skip_prefix(t->error_text, prefixes[i]);
		if (rest)
			return rest;
	}
	/* "OpenSSL/3.0.22: error:0A00010B:SSL routines::wrong version number" */
	rest = strstr(t->error_text, "error:") ? strstr(t->error_text, "::") : NULL;
	if (rest)
		return rest + 2;
	return t->error_text[0] ? t->error_text : "handshake failed";
}

static int untrusted_hint(const struct http_transfer *t, struct err *err)
{
	return err_hint(err,
			"if this is a private CA or an inspecting proxy, put its certificate into the file "
			"that AWS_CA_BUNDLE or SSL_CERT_FILE names (now %s)",
			t->http->ca_bundle);
}

static int certificate_error(struct http_transfer *t, struct err *err)
{
	(void)err_set(err, ERR_REFUSED, "TLS: %s", tls_reason(t));
	if (strstr(t->error_text, "issuer") || strstr(t->error_text, "self-signed") ||
	    strstr(t->error_text, "self signed"))
		return untrusted_hint(t, err);
	if (strstr(t->error_text, "expired") || strstr(t->error_text, "not yet valid"))
		return err_hint(err, "check this machine's clock, then the server's certificate");
	return -1;
}

/* OpenSSL names its own errors "error:…" or ends in their text; a cut connection has an errno or none. */
static int handshake_error(struct http_transfer *t, struct err *err)
{
	bool protocol = strstr(t->error_text, "error:") != NULL;

	/* A CA of the right name with another key: curl tells the first error of the check, "…asn1…::EVP lib". */
	if (protocol && !strstr(t->error_text, "SSL routines")) {
		(void)err_set(err, ERR_REFUSED, "TLS: the certificate's signature cannot be verified (%s)",
			      tls_reason(t));
		return untrusted_hint(t, err);
	}
	return err_set(err, protocol ? ERR_PROTOCOL : ERR_NETWORK, "TLS: %s", tls_reason(t));
}

/* "transfer closed with 1000 bytes remaining to read", "Recv failure: Connection reset by peer" */
static int cut_error(struct http_transfer *t, struct err *err)
{
	return err_set(err, ERR_NETWORK, "%s",
		       t->error_text[0] ? t->error_text : "the connection was cut");
}

static int resolve_error(struct http_transfer *t, struct err *err)
{
	return err_set(err, ERR_NETWORK, "resolve %s: no address found", t->url.host);
}

static int proxy_error(struct http_transfer *t, struct err *err)
{
	(void)err_set(err, ERR_NETWORK, "proxy: %s", t->error_text);
	return err_hint(err, "check HTTPS_PROXY, HTTP_PROXY and NO_PROXY");
}

static int ca_file_error(struct http_transfer *t, struct err *err)
{
	(void)err_set(err, ERR_CONFIG, "TLS: cannot read certificates from %s", t->http->ca_bundle);
	return err_hint(err, "AWS_CA_BUNDLE and SSL_CERT_FILE must name a PEM file");
}

static int url_error(struct http_transfer *t, struct err *err)
{
	return err_set(err, ERR_REFUSED, "%s", t->error_text[0] ? t->error_text : "unusable URL");
}

static int protocol_error(struct http_transfer *t, struct err *err)
{
	return err_set(err, ERR_PROTOCOL, "%s",
		       t->error_text[0] ? t->error_text : "not an HTTP answer");
}

/*
 * Said of a header line larger than curl's own 100 KiB, which a peer may send as it
 * likes: no reason to abort, as for memory of ours. Where memory really is gone, the
 * next allocation of ours tells.
 */
static int size_error(struct http_transfer *t, struct err *err)
{
	(void)t;
	return err_set(err, ERR_LIMIT, "a header larger than libcurl takes");
}

static const struct {
	CURLcode code;
	int (*say)(struct http_transfer *t, struct err *err);
} codes[] = {
	{ CURLE_COULDNT_RESOLVE_HOST, resolve_error },
	{ CURLE_COULDNT_RESOLVE_PROXY, proxy_error },
	{ CURLE_PROXY, proxy_error },
	{ CURLE_COULDNT_CONNECT, connect_error },
	{ CURLE_OPERATION_TIMEDOUT, timeout_error },
	{ CURLE_PEER_FAILED_VERIFICATION, certificate_error },
	{ CURLE_SSL_CONNECT_ERROR, handshake_error },
	{ CURLE_SSL_CIPHER, handshake_error },
	{ CURLE_SSL_CACERT_BADFILE, ca_file_error },
	{ CURLE_URL_MALFORMAT, url_error },
	{ CURLE_UNSUPPORTED_PROTOCOL, protocol_error }, /* HTTP/0.9 */
	{ CURLE_WEIRD_SERVER_REPLY, protocol_error },
	{ CURLE_BAD_CONTENT_ENCODING, protocol_error },
	{ CURLE_OUT_OF_MEMORY, size_error },
	{ CURLE_PARTIAL_FILE, cut_error },
	{ CURLE_GOT_NOTHING, cut_error },
	{ CURLE_RECV_ERROR, cut_error },
	{ CURLE_SEND_ERROR, cut_error },
	{ CURLE_HTTP2, cut_error },
	{ CURLE_HTTP2_STREAM, cut_error },
};

int http_curl_error(struct http_transfer *t, CURLcode rc, struct err *err)
{
	size_t i = 0;

	if (t->failed) {
		*err = t->err;
		return err_wrap(err, "%s", t->display);
	}
	while (i < ARRAY_LEN(codes) && codes[i].code != rc)
		i++;
	if (i < ARRAY_LEN(codes))
		(void)codes[i].say(t, err);
	else
		(void)err_set(err, ERR_NETWORK, "%s",
			      t->error_text[0] ? t->error_text : curl_easy_strerror(rc));
	return err_wrap(err, "%s", t->display);
}
