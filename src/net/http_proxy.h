/* Which proxy a request goes through, from the usual variables of the environment. Pure but for reading them. */
#ifndef BERTH_NET_HTTP_PROXY_H
#define BERTH_NET_HTTP_PROXY_H

#include "base/mem.h"
#include "net/http_url.h"

struct http_proxies {
	char *http, *https;   /* proxy URLs, or NULL */
	struct strv no_proxy; /* "*", hosts, ".domains", addresses, CIDR blocks; each may end in ":port" */
};

/* HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY; the lower-case names win, as in curl. */
void http_proxies_from_env(struct http_proxies *out);
/* list: separated by commas or spaces. */
void http_proxies_set_no_proxy(struct http_proxies *p, const char *list);
void http_proxies_free(struct http_proxies *p);

/* The proxy's URL, or NULL to connect directly. Never one for loopback hosts. */
const char *http_proxy_for(const struct http_proxies *p, const struct http_url *url);

#endif
