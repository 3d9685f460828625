/*
 * One repository of one registry (OCI distribution-spec, Docker registry v2):
 * login by challenge, manifests, small blobs, and where a large blob's bytes are.
 * Credentials go to the registry's own host and to the token realm, nowhere else.
 */
#ifndef BERTH_OCI_REGISTRY_H
#define BERTH_OCI_REGISTRY_H

#include "base/secret.h"
#include "net/http.h"
#include "oci/manifest.h"
#include "oci/reference.h"

#define TOKEN_MAX_BYTES (64 * KIB)      /* a token answer; GHCR's is 1 KiB, ECR's 4 KiB */
#define REGISTRY_REDIRECTS_MAX 5
#define REGISTRY_ERROR_BODY_MAX (16 * KIB)
#define INDEX_DEPTH_MAX 2 /* index → index → manifest is not made by any tool; index → manifest is */

struct registry_login {
	char *user;             /* NULL: anonymous */
	struct secret password;
};
void registry_login_clear(struct registry_login *l);

/*
 * Asked when the registry challenges. refresh: the last answer was not accepted;
 * fetch anew or fail, after what retries make sense: it is not asked again for the same
 * request. Anonymous is a valid answer (user NULL).
 */
typedef int registry_login_fn(void *arg, bool refresh, struct registry_login *out, struct err *err);

struct registry; /* a session */

struct registry_config {
	const struct reference *ref;    /* copied */
	registry_login_fn *login;
	void *login_arg;
	bool basic_at_once; /* the registry is known to want Basic: no request only to be told so (ECR) */
};

int registry_new(struct http *http, struct loop *loop, const struct registry_config *config, struct registry **out,
		 struct err *err) MUST_CHECK;
void registry_free(struct registry *r);

struct document {
	struct descriptor descriptor;   /* digest computed from bytes, media as told */
	char *bytes;
	size_t len;
};
void document_free(struct document *d);

/*
 * GET /manifests/KEY (a tag or a digest; for a digest the bytes must match).
 * Docker-Content-Digest, when sent, must match too. ERR_NOT_FOUND, ERR_DENIED, ERR_REFUSED, …
 * Retries as net_retry with 5 attempts.
 */
int registry_manifest(struct registry *r, const char *key, struct document *out, struct err *err) MUST_CHECK;

/* A blob that fits in memory (the config): at most d->size bytes, verified. */
int registry_small_blob(struct registry *r, const struct descriptor *d, struct document *out,
			struct err *err) MUST_CHECK;

/* Everything that `pull` has to know of an image: a tag resolved down to its platform. */
struct image {
	struct document top;      /* what the tag points at: an index, or the manifest itself */
	struct document manifest; /* the platform's; for a plain manifest a copy of top */
	struct document config;
	struct manifest parsed;
	struct image_config image_config;
};
void image_free(struct image *image);

/*
 * Resolve: manifest, index choice, config. At most 4 document requests (and what
 * login takes). `top_only` in *want stops after the top document.
 */
int registry_resolve(struct registry *r, const struct platform *platform, struct image *out,
		     struct err *err) MUST_CHECK;
/* Only the top document's digest and bytes: is there anything new? */
int registry_resolve_top(struct registry *r, struct document *out, struct err *err) MUST_CHECK;

#endif
