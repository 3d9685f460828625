#include "oci/registry_internal.h"

#include "base/mem.h"

/* Tries of a document: with the waits in between, about 8 s against a registry that is overloaded. */
#define DOCUMENT_ATTEMPTS 5
/* All that a tag may point at, best known first; a registry that converts schema 1 must not. */
static const char accepted[] = "application/vnd.oci.image.index.v1+json, "
			       "application/vnd.docker.distribution.manifest.list.v2+json, "
			       "application/vnd.oci.image.manifest.v1+json, "
			       "application/vnd.docker.distribution.manifest.v2+json";

void registry_login_clear(struct registry_login *l)
{
	free(l->user);
	secret_clear(&l->password);
	*l = (struct registry_login){ 0 };
}

/* https, but plain http for a registry on this machine: no network in between, and nobody has certificates there. */
static int base_url(const struct reference *ref, struct http_url *out, struct err *err)
{
	CLEANUP(freep) char *https = xasprintf("https://%s/", reference_api_host(ref));
	CLEANUP(freep) char *http = xasprintf("http://%s/", reference_api_host(ref));
	struct http_url url = { 0 };

	if (http_url_parse(https, &url, err) < 0)
		return err_wrap(err, "registry %s", ref->host);
	if (host_is_loopback(url.host)) {
		http_url_free(&url);
		if (http_url_parse(http, &url, err) < 0)
			return err_wrap(err, "registry %s", ref->host);
	}
	*out = url;
	return 0;
}

int registry_new(struct http *http, struct loop *loop, const struct registry_config *config,
		 struct registry **out, struct err *err)
{
	struct http_url base;
	struct registry *r;

	if (base_url(config->ref, &base, err) < 0)
		return -1;
	r = xcalloc(1, sizeof *r);
	*r = (struct registry){
		.http = http,
		.loop = loop,
		.base = base,
		.ask_login = config->login,
		.ask_login_arg = config->login_arg,
		.challenge.scheme = config->basic_at_once ? CHALLENGE_BASIC : CHALLENGE_NONE,
	};
	reference_copy(&r->ref, config->ref);
	*out = r;
	return 0;
}

void registry_free(struct registry *r)
{
	if (!r)
		return;
	while (r->walks)
		walk_cancel(r->walks);
	auth_clear(r);
	http_url_free(&r->base);
	reference_free(&r->ref);
	free(r);
}

void document_free(struct document *d)
{
	free(d->bytes);
	*d = (struct document){ 0 };
}

/* One document to fetch, for net_retry(). */
struct wanted {
	struct registry *r;
	struct walk_request req;
	const char *what; /* for messages */
	struct http_response *resp;
};

static int get_once(void *arg, struct err *err)
{
	struct wanted *w = arg;
	struct http_response resp = { .retry_after_ms = -1 };
	bool elsewhere;

	if (registry_get(w->r, &w->req, &resp, &elsewhere, err) < 0)
		return -1;
	if (resp.status != 200) {
		(void)registry_status_error(w->r, &resp, w->what, elsewhere, err);
		http_response_free(&resp);
		return -1;
	}
	*w->resp = resp;
	return 0;
}

static int get(struct registry *r, const char *what, const char *path, const char *accept,
	       size_t max_bytes, struct http_response *resp, struct err *err)
{
	struct wanted w = {
		.r = r,
		.what = what,
		.resp = resp,
		.req = { .path = path,
			 .accept = accept,
			 .max_body_bytes = max_bytes,
			 .total_timeout_ms = DOCUMENT_TIMEOUT_MS,
			 .stall_timeout_ms = DOCUMENT_STALL_MS,
			 .may_ask_login = true },
	};

	return net_retry(r->loop, DOCUMENT_ATTEMPTS, get_once, &w, err);
}

static int check_digest(const struct digest *got, const char *want, const char *who,
			struct err *err)
{
	struct digest d;

	if (digest_parse(want, strlen(want), &d, err) < 0)
		return err_wrap(err, "%s", who);
	if (digest_equal(got, &d))
		return 0;
	return err_set(err, ERR_REFUSED, "digest mismatch: the bytes are %s, %s says %s", got->text,
		       who, d.text);
}

/*
 * A manifest sent as something else altogether comes from something else altogether:
 * a captive portal, a proxy's page. Static file servers know only the generic types.
 */
static int check_content_type(const char *type, struct err *err)
{
	static const char *const generic[] = { "application/json", "application/octet-stream",
					       "binary/octet-stream", "text/plain" };
	size_t len = strcspn(type, "; ");

	if (media_type_find(type, len))
		return 0;
	for (size_t i = 0; i < ARRAY_LEN(generic); i++)
		if (strlen(generic[i]) == len && strncasecmp(type, generic[i], len) == 0)
			return 0;
	return err_set(err, ERR_REFUSED, "sent as \"%.80s\", which no manifest is", type);
}

/* Fills *out from an answer; its body becomes the document's. */
static int take_manifest(const char *key, struct http_response *resp, struct document *out,
			 struct err *err)
{
	CLEANUP(freep) char *type = http_header_get(resp, "content-type");
	CLEANUP(freep) char *told = http_header_get(resp, "docker-content-digest");
	CLEANUP(json_freep) struct json *doc = NULL;
	struct document d = { .len = resp->body.len };

	digest_of(buf_str(&resp->body), resp->body.len, &d.descriptor.digest);
	d.descriptor.size = (int64_t)resp->body.len;
	if (strchr(key, ':') &&
	    check_digest(&d.descriptor.digest, key, "the name asked for", err) < 0)
		return -1;
	if (told && check_digest(&d.descriptor.digest, told, "Docker-Content-Digest", err) < 0)
		return -1;
	if (json_parse(buf_str(&resp->body), resp->body.len, &json_default_limits, &doc, err) < 0 ||
	    (json_get(doc, "mediaType") && type && check_content_type(type, err) < 0) ||
	    document_media_type(doc, type, &d.descriptor.media, err) < 0)
		return -1;
	d.bytes = STEAL(resp->body.data);
	resp->body = BUF_INIT(0);
	*out = d;
	return 0;
}

int registry_manifest(struct registry *r, const char *key, struct document *out, struct err *err)
{
	const char *at = strchr(key, ':') ? "@" : ":"; /* a tag has no colon */
	CLEANUP(freep) char *path = xasprintf("/v2/%s/manifests/%s", r->ref.repository, key);
	CLEANUP(freep) char *what = xasprintf("%s/%s%s%s", r->ref.host, r->ref.repository, at, key);
	CLEANUP(http_response_free) struct http_response resp = { .retry_after_ms = -1 };

	if (get(r, what, path, accepted, MANIFEST_MAX_BYTES, &resp, err) < 0)
		return -1;
	if (take_manifest(key, &resp, out, err) < 0)
		return err_wrap(err, "%s", what);
	return 0;
}

static int get_small_blob(struct registry *r, const struct descriptor *d,
			  struct http_response *resp, struct err *err)
{
	CLEANUP(freep) char *path = xasprintf("/v2/%s/blobs/%s", r->ref.repository, d->digest.text);
	struct digest got;

	if (get(r, d->digest.text, path, NULL, (size_t)d->size, resp, err) < 0)
		return -1;
	digest_of(buf_str(&resp->body), resp->body.len, &got);
	if (digest_equal(&got, &d->digest))
		return 0;
	http_response_free(resp);
	return err_set(err, ERR_REFUSED, "digest mismatch: the bytes of %s are %s", d->digest.text,
		       got.text);
}

int registry_small_blob(struct registry *r, const struct descriptor *d, struct document *out,
			struct err *err)
{
	CLEANUP(http_response_free) struct http_response resp = { .retry_after_ms = -1 };

	/* Spoiled on the way once: asked for once more. */
	if (get_small_blob(r, d, &resp, err) < 0 &&
	    (err->kind != ERR_REFUSED || get_small_blob(r, d, &resp, err) < 0))
		return -1;
	*out = (struct document){ .descriptor = *d, .len = resp.body.len };
	out->bytes = resp.body.data ? STEAL(resp.body.data) : xstrdup("");
	resp.body = BUF_INIT(0);
	return 0;
}

int registry_resolve_top(struct registry *r, struct document *out, struct err *err)
{
	return registry_manifest(r, reference_manifest_key(&r->ref), out, err);
}
