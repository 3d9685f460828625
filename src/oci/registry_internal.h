/* What the files of the registry client share. Nobody else but blob.c includes this. */
#ifndef BERTH_OCI_REGISTRY_INTERNAL_H
#define BERTH_OCI_REGISTRY_INTERNAL_H

#include "oci/challenge.h"
#include "oci/redirect.h"
#include "oci/registry.h"

#define DOCUMENT_TIMEOUT_MS 60000 /* 8 MiB in a minute: 140 KB/s */
#define DOCUMENT_STALL_MS 20000
#define TOKEN_TIMEOUT_MS 30000
/* Answers of 401 to a token just fetched, until we believe it (HOSTILE "auth": at most 2 fetches). */
#define TOKEN_REJECTIONS_MAX 2

struct registry {
	struct http *http;
	struct loop *loop;
	struct reference ref;
	struct http_url base; /* "https://registry-1.docker.io/" */
	registry_login_fn *ask_login;
	void *ask_login_arg;

	/* registry_auth.c */
	bool login_known;
	struct registry_login login;
	struct challenge challenge; /* the last one that could be answered */
	struct http_url realm;      /* of a Bearer challenge, judged */
	enum address_class realm_least;
	struct secret authorization; /* the header's value; unset: none */
	unsigned int generation;     /* counts authorizations: which one a request carried */
	int64_t token_dies_ms;       /* clock_mono_ms(); 0: no limit known */
	struct http_transfer *token_transfer;
	int64_t token_asked_ms;

	struct walk *walks; /* registry_walk.c */
};

/* Where the bytes of a blob were found: a redirect's end, with what may be connected to there. */
struct walk_place {
	bool known;
	struct http_url url;
	enum address_class least;
};
void walk_place_clear(struct walk_place *p);

/* One GET: login, redirects and all. */
struct walk_request {
	const char *path;   /* "/v2/NAME/manifests/KEY" */
	const char *accept; /* or NULL */
	int64_t offset;     /* > 0: Range from there */
	int64_t end;        /* > 0: Range up to there; the byte behind the last */
	size_t max_body_bytes;
	http_body_fn *on_body; /* 2xx only; or NULL */
	void *on_body_arg;
	int64_t total_timeout_ms, stall_timeout_ms;
	bool http1_only;
	bool may_ask_login;       /* the caller is registry_get(): the login callback may wait */
	struct walk_place *place; /* or NULL: starts there if known; set to where a 2xx came from */
};

struct walk;
/* elsewhere: the answer is that of a host redirected to. err NULL: any status but 401 and redirects. */
typedef void walk_done_fn(void *arg, struct http_response *resp, bool elsewhere,
			  const struct err *err);

/* Calls done exactly once from the loop, unless cancelled. The request's strings are copied. */
struct walk *walk_start(struct registry *r, const struct walk_request *req, walk_done_fn *done,
			void *arg);
void walk_resume(struct walk *w); /* after HTTP_PAUSE */
void walk_cancel(struct walk *w); /* NULL is fine */
/* With may_ask_login: nothing goes on until r->login is set and the walk is told. It may end therein. */
bool walk_waits_for_login(const struct walk *w);
void walk_login_given(struct walk *w);

/* registry_get.c: walk_start() and wait; asks for the login where it is needed. Main line only. */
int registry_get(struct registry *r, const struct walk_request *req, struct http_response *resp,
		 bool *elsewhere, struct err *err) MUST_CHECK;

/* registry_auth.c: what to do about a 401, or before a request whose token is too old. */
enum auth_step {
	AUTH_SEND,       /* with r->authorization as it is now */
	AUTH_WAIT,       /* a token is on its way: walks_token_done() */
	AUTH_NEED_LOGIN, /* the login callback first */
	AUTH_FAILED
};
/* Before a request. */
enum auth_step auth_prepare(struct registry *r, struct err *err);
/* A 401 from the registry to a request that carried authorization `generation` (0: none). */
enum auth_step auth_challenged(struct registry *r, const struct http_response *resp,
			       unsigned int generation, unsigned int *rejections, struct err *err);
/* After the callback has set r->login. */
enum auth_step auth_login_given(struct registry *r, struct err *err);
/* Gives up all secrets and cancels the token transfer. */
void auth_clear(struct registry *r);
/* "as AWS" or "anonymously". */
const char *auth_who(const struct registry *r, char out[128]);
/* ERR_DENIED in words that name the user, and a hint. */
int auth_denied(const struct registry *r, const char *what, struct err *err);

/* registry_walk.c: the token transfer ended; err NULL: r->authorization is new. */
void walks_token_done(struct registry *r, const struct err *err);

/* registry_error.c: an answer that is not what was wanted → err, with the registry's own words. */
int registry_status_error(const struct registry *r, const struct http_response *resp,
			  const char *what, bool elsewhere, struct err *err);

#endif
