/* What the HTTP client reads by itself: header lines, dates, URLs and redirects. The first byte chooses. */
#include "fuzz.h"

#include "net/http_internal.h"
#include "oci/redirect.h"

static void header_lines(const char *text, size_t len)
{
	struct http_transfer t = { .resp = { .headers = BUF_INIT(HTTP_HEADERS_MAX_BYTES),
					     .retry_after_ms = -1 } };
	struct err err = { 0 };

	for (const char *end = text + len; text < end;) {
		const char *lf = memchr(text, '\n', (size_t)(end - text));
		size_t n = lf ? (size_t)(lf - text) + 1 : (size_t)(end - text);
		if (http_header_line(&t, text, n, &err) < 0) {
			MUST(err.kind == ERR_PROTOCOL || err.kind == ERR_LIMIT);
			break;
		}
		text += n;
	}
	MUST(t.header_lines <= HTTP_HEADERS_MAX + 1);
	MUST(t.resp.retry_after_ms >= -1 && t.resp.retry_after_ms <= 60000);
	MUST(!memchr(buf_str(&t.resp.headers), '\r', t.resp.headers.len));
	free(http_header_get(&t.resp, "location"));
	free(http_header_all(&t.resp, "www-authenticate"));
	http_response_free(&t.resp);
}

static void date(const char *text)
{
	int64_t ms = http_retry_after_parse(text, 784111777000);

	MUST(ms >= -1 && ms <= 60000);
}

static void check_url(const struct http_url *u)
{
	struct err err;
	CLEANUP(http_url_free) struct http_url again = { 0 };

	MUST(u->host[0] && strlen(u->text) <= HTTP_URL_MAX_BYTES);
	MUST(skip_prefix(u->text, "https://") || skip_prefix(u->text, "http://"));
	for (const char *p = u->text; *p; p++)
		MUST((unsigned char)*p > 0x20 && *p != 0x7f);
	/* What is judged is what is connected to: reading it again gives the same. */
	MUST(http_url_parse(u->text, &again, &err) == 0);
	MUST(http_url_same_origin(u, &again));
}

static void url(const char *text)
{
	CLEANUP(http_url_free) struct http_url u = { 0 };
	CLEANUP(freep) char *shown = http_url_display(text);
	struct err err = { 0 };

	MUST(!strpbrk(shown, "?#"));
	if (http_url_parse(text, &u, &err) < 0)
		MUST(err.kind == ERR_REFUSED && err.msg[0]);
	else
		check_url(&u);
}

/* A public registry over TLS sends us to `text`: never to plain http, nor inside. */
static void redirect(const char *text)
{
	static char base[] = "https://ghcr.io/v2/o/n/blobs/x", host[] = "ghcr.io";
	const struct http_url registry = { .text = base, .host = host, .port = 443, .tls = true };
	const struct redirect_source source = { .registry = &registry,
						.from = &registry,
						.from_class = ADDRESS_PUBLIC };
	CLEANUP(http_url_free) struct http_url to = { 0 };
	enum address_class least, class;
	struct err err = { 0 };

	if (redirect_target(&source, text, &to, &least, &err) < 0) {
		MUST(err.kind == ERR_REFUSED && err.msg[0]);
		return;
	}
	check_url(&to);
	MUST(to.tls);
	MUST(least == ADDRESS_PUBLIC || http_url_same_origin(&to, &registry));
	MUST(!address_class_of_text(to.host, &class) || class == ADDRESS_PUBLIC);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	CLEANUP(freep) char *text = NULL;

	if (!size)
		return 0;
	text = xstrndup((const char *)data + 1, size - 1);
	switch (data[0]) {
	case 'h':
		header_lines((const char *)data + 1, size - 1);
		break;
	case 'd':
		date(text);
		break;
	case 'u':
		url(text);
		break;
	default:
		redirect(text);
	}
	return 0;
}
