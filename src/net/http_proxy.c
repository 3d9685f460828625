#include "net/http_proxy.h"

#include <arpa/inet.h>
#include <strings.h>

#include "base/secret.h"
#include "net/address.h"

#define HOST_MAX 256 /* RFC 1035 §2.3.4: names end at 255 */

static char *first_set(const char *const names[], size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const char *value = getenv(names[i]);
		if (value)
			/* Set but empty: none, on purpose. */
			return value[0] ? xstrdup(value) : NULL;
	}
	return NULL;
}

void http_proxies_set_no_proxy(struct http_proxies *p, const char *list)
{
	strv_free(&p->no_proxy);
	while (*(list += strspn(list, ", \t"))) {
		size_t n = strcspn(list, ", \t");
		strv_take(&p->no_proxy, xstrndup(list, n));
		list += n;
	}
}

void http_proxies_from_env(struct http_proxies *out)
{
	static const char *const https[] = { "https_proxy", "HTTPS_PROXY", "all_proxy",
					     "ALL_PROXY" };
	static const char *const http[] = { "http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY" };
	static const char *const none[] = { "no_proxy", "NO_PROXY" };
	CLEANUP(freep) char *list = first_set(none, ARRAY_LEN(none));

	*out = (struct http_proxies){
		.https = first_set(https, ARRAY_LEN(https)),
		.http = first_set(http, ARRAY_LEN(http)),
	};
	if (list)
		http_proxies_set_no_proxy(out, list);
}

void http_proxies_free(struct http_proxies *p)
{
	/* Proxy URLs may hold a password. */
	wipep(&p->http);
	wipep(&p->https);
	strv_free(&p->no_proxy);
	*p = (struct http_proxies){ 0 };
}

/* The bytes of a literal address: 4, 16, or 0 for a name. */
static unsigned int address_bytes(const char *text, uint8_t out[16])
{
	if (inet_pton(AF_INET, text, out) == 1)
		return 4;
	return inet_pton(AF_INET6, text, out) == 1 ? 16 : 0;
}

static bool in_block(const char *host, const char *net, const char *bits_text)
{
	uint8_t a[16], b[16];
	unsigned int n = address_bytes(host, a);
	char *end;
	unsigned long bits = strtoul(bits_text, &end, 10);

	if (!n || address_bytes(net, b) != n || *end || end == bits_text || bits > 8 * n)
		return false;
	if (memcmp(a, b, bits / 8) != 0)
		return false;
	return bits % 8 == 0 || (a[bits / 8] ^ b[bits / 8]) >> (8 - bits % 8) == 0;
}

static bool in_domain(const char *host, const char *domain)
{
	size_t h = strlen(host), d;

	domain += domain[0] == '.';
	d = strlen(domain);
	if (!d || h < d || strcasecmp(host + h - d, domain) != 0)
		return false;
	return h == d || host[h - d - 1] == '.';
}

/* Cuts ":port" off an entry; false when it names another port. "::1" has no port. */
static bool cut_port(char *entry, uint16_t port)
{
	char *colon = strrchr(entry, ':');

	if (entry[0] == '[') {
		char *close = strchr(entry, ']');
		if (!close)
			return false;
		colon = close[1] == ':' ? close + 1 : NULL;
		*close = '\0';
		memmove(entry, entry + 1, strlen(entry));
	} else if (colon && strchr(entry, ':') != colon) {
		colon = NULL;
	}
	if (!colon)
		return true;
	*colon = '\0';
	return strtoul(colon + 1, NULL, 10) == port;
}

static bool matches(const char *entry, const char *host, uint16_t port)
{
	char copy[HOST_MAX];
	char *slash;

	if (streq(entry, "*"))
		return true;
	if (strlen(entry) >= sizeof copy)
		return false;
	memcpy(copy, entry, strlen(entry) + 1);
	slash = strchr(copy, '/');
	if (slash) {
		*slash = '\0';
		return in_block(host, copy, slash + 1);
	}
	return cut_port(copy, port) && in_domain(host, copy);
}

const char *http_proxy_for(const struct http_proxies *p, const struct http_url *url)
{
	const char *proxy = url->tls ? p->https : p->http;
	char host[HOST_MAX];
	size_t n = strlen(url->host);

	if (!proxy || host_is_loopback(url->host) || n >= sizeof host)
		return NULL;
	memcpy(host, url->host, n + 1);
	if (host[0] == '[') {
		memmove(host, host + 1, n);
		host[strcspn(host, "]")] = '\0';
	}
	for (size_t i = 0; i < p->no_proxy.n; i++)
		if (matches(p->no_proxy.v[i], host, url->port))
			return NULL;
	return proxy;
}
