#include "net/http_internal.h"

#include <unistd.h>

#include "base/mem.h"

static char *find_ca_bundle(const struct http_config *config)
{
	static const char *const variables[] = { "AWS_CA_BUNDLE", "SSL_CERT_FILE" };
	static const char *const paths[] = {
		"/etc/ssl/certs/ca-certificates.crt", /* Debian, Ubuntu, Alpine */
		"/etc/pki/tls/certs/ca-bundle.crt",   /* Amazon Linux, Fedora */
		"/etc/ssl/ca-bundle.pem",             /* SUSE */
		"/etc/ssl/cert.pem",
	};

	if (config->ca_bundle)
		return xstrdup(config->ca_bundle);
	for (size_t i = 0; i < ARRAY_LEN(variables); i++) {
		const char *value = getenv(variables[i]);
		if (value && value[0])
			return xstrdup(value);
	}
	for (size_t i = 0; i < ARRAY_LEN(paths); i++)
		if (access(paths[i], R_OK) == 0)
			return xstrdup(paths[i]);
	return NULL;
}

int http_new(struct loop *loop, const struct http_config *config, struct http **out,
	     struct err *err)
{
	static bool initialised;
	struct http *http;

	if (!initialised && curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		return err_set(err, ERR_SYSTEM, "libcurl cannot be initialised");
	initialised = true;
	http = xcalloc(1, sizeof *http);
	*http = (struct http){
		.loop = loop,
		.multi = curl_multi_init(),
		.ca_bundle = find_ca_bundle(config),
		.user_agent = xstrdup(config->user_agent),
		.trace = config->trace,
		.trace_arg = config->trace_arg,
	};
	if (!http->multi)
		abort(); /* out of memory */
	http_proxies_from_env(&http->proxies);
	http_multi_open(http);
	*out = http;
	return 0;
}

void http_free(struct http *http)
{
	if (!http)
		return;
	http_multi_close(http);
	http_proxies_free(&http->proxies);
	free(http->ca_bundle);
	free(http->user_agent);
	free(http);
}

struct loop *http_loop(const struct http *http)
{
	return http->loop;
}

void http_note(const struct http *http, const char *fmt, ...)
{
	va_list args;

	if (!http->trace)
		return;
	va_start(args, fmt);
	CLEANUP(freep) char *line = xvasprintf(fmt, args);
	va_end(args);
	http->trace(http->trace_arg, line);
}

CURL *http_easy_take(struct http *http)
{
	CURL *easy = http->n_idle ? http->idle[--http->n_idle] : curl_easy_init();

	if (!easy)
		abort(); /* out of memory */
	return easy;
}

void http_easy_give(struct http *http, CURL *easy, bool good)
{
	if (!good || http->n_idle == HTTP_IDLE_MAX) {
		curl_easy_cleanup(easy);
		return;
	}
	curl_easy_reset(easy); /* forgets all options, keeps c-ares */
	http->idle[http->n_idle++] = easy;
}

void http_easies_free(struct http *http)
{
	while (http->n_idle)
		curl_easy_cleanup(http->idle[--http->n_idle]);
}

static void link_in(struct http_transfer *t)
{
	t->next = t->http->transfers;
	if (t->next)
		t->next->prev = t;
	t->http->transfers = t;
}

int http_start(struct http *http, const struct http_request *req, http_done_fn *done, void *arg,
	       struct http_transfer **out, struct err *err)
{
	struct http_transfer *t;

	if (http_transfer_new(http, req, done, arg, &t, err) < 0)
		return -1;
	link_in(t);
	http_watch_stall(t);
	http_kick(http);
	*out = t;
	return 0;
}

void http_resume(struct http_transfer *t)
{
	if (t->gone)
		return;
	t->want_resume = true;
	http_kick(t->http);
}

void http_cancel(struct http_transfer *t)
{
	if (!t || t->gone)
		return;
	t->gone = true;
	if (t->http->depth == 0)
		http_transfer_destroy(t);
}

struct waiting {
	bool done, failed;
	struct http_response *resp;
	struct err *err;
};

static void on_done(void *arg, struct http_response *resp, const struct err *err)
{
	struct waiting *w = arg;

	w->done = true;
	w->failed = err != NULL;
	if (err) {
		*w->err = *err;
		return;
	}
	*w->resp = *resp;
	*resp = (struct http_response){ .retry_after_ms = -1 };
}

static bool is_done(void *arg)
{
	return ((struct waiting *)arg)->done;
}

int http_do(struct http *http, const struct http_request *req, struct http_response *resp,
	    struct err *err)
{
	struct waiting w = { .resp = resp, .err = err };
	struct http_transfer *t;

	if (http_start(http, req, on_done, &w, &t, err) < 0)
		return -1;
	if (loop_wait(http->loop, is_done, &w, -1, err) < 0) {
		http_cancel(t);
		return -1;
	}
	return w.failed ? -1 : 0;
}
