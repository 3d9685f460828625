#include "oci/registry_internal.h"

#include <inttypes.h>

#include "base/mem.h"

/* One GET on its way: from the registry, over redirects, to the host that answers. */
struct walk {
	struct registry *r;
	struct walk *prev, *next;
	struct walk_request req; /* strings are ours */
	walk_done_fn *done;
	void *arg;

	struct loop_timer *start_timer;
	struct http_transfer *transfer;
	struct http_url at; /* where the request goes */
	enum address_class least;
	unsigned int hops;
	bool own;                /* `at` is the registry's origin: credentials may go there */
	unsigned int generation; /* of the authorization that was sent; 0: none */
	unsigned int rejections;
	bool waits_for_token, waits_for_login;
	bool token_is_in; /* its turn in walks_token_done() */
};

void walk_place_clear(struct walk_place *p)
{
	http_url_free(&p->url);
	*p = (struct walk_place){ 0 };
}

static void url_copy(struct http_url *to, const struct http_url *from)
{
	http_url_free(to);
	*to = *from;
	to->text = xstrdup(from->text);
	to->host = xstrdup(from->host);
}

static void walk_free(struct walk *w)
{
	if (w->prev)
		w->prev->next = w->next;
	else
		w->r->walks = w->next;
	if (w->next)
		w->next->prev = w->prev;
	loop_timer_cancel(w->start_timer);
	http_url_free(&w->at);
	free((char *)w->req.path);
	free((char *)w->req.accept);
	free(w);
}

/* The last thing done to w. */
static void finish(struct walk *w, struct http_response *resp, const struct err *err)
{
	walk_done_fn *done = w->done;
	void *arg = w->arg;
	bool elsewhere = !w->own;

	walk_free(w);
	done(arg, resp, elsewhere, err);
}

static void fail(struct walk *w, const struct err *err)
{
	struct http_response none = { .retry_after_ms = -1 };

	finish(w, &none, err);
}

static void on_answer(void *arg, struct http_response *resp, const struct err *failure);

static int send_request(struct walk *w, struct err *err)
{
	const struct walk_request *q = &w->req;
	struct http_header headers[3];
	char range[64];
	struct http_request req = {
		.method = "GET",
		.url = w->at.text,
		.headers = headers,
		.max_body_bytes = q->max_body_bytes,
		.on_body = q->on_body,
		.on_body_arg = q->on_body_arg,
		.total_timeout_ms = q->total_timeout_ms,
		.stall_timeout_ms = q->stall_timeout_ms,
		.least = w->least,
		.http1_only = q->http1_only,
	};

	if (q->accept)
		headers[req.n_headers++] = (struct http_header){ "Accept", q->accept };
	if (q->offset > 0 || q->end > 0) {
		int n = snprintf(range, sizeof range, "bytes=%" PRId64 "-", q->offset);
		if (q->end > 0)
			(void)snprintf(range + n, sizeof range - (size_t)n, "%" PRId64, q->end - 1);
		headers[req.n_headers++] = (struct http_header){ "Range", range };
	}
	w->generation = 0;
	if (w->own && secret_is_set(&w->r->authorization)) {
		headers[req.n_headers++] =
			(struct http_header){ "Authorization", secret_str(&w->r->authorization) };
		w->generation = w->r->generation;
	}
	return http_start(w->r->http, &req, on_answer, w, &w->transfer, err);
}

/* Goes on as the login says. */
static void take_step(struct walk *w, enum auth_step step, struct err *err)
{
	switch (step) {
	case AUTH_SEND:
		if (send_request(w, err) < 0)
			fail(w, err);
		return;
	case AUTH_WAIT:
		w->waits_for_token = true;
		return;
	case AUTH_NEED_LOGIN:
		w->waits_for_login = true;
		if (w->req.may_ask_login)
			return;
		/* Asking may wait, which nobody may do inside the loop. */
		(void)auth_denied(w->r, w->r->ref.repository, err);
		fail(w, err);
		return;
	case AUTH_FAILED:
		fail(w, err);
		return;
	}
}

static void go(struct walk *w)
{
	struct err err;

	take_step(w, w->own ? auth_prepare(w->r, &err) : AUTH_SEND, &err);
}

static void to_registry(struct walk *w)
{
	struct err err;

	http_url_free(&w->at);
	/* Made of a reference and a digest or tag that were parsed: nothing in it can be refused. */
	if (http_url_resolve(&w->r->base, w->req.path, &w->at, &err) < 0)
		abort();
	w->least =
		ADDRESS_LOOPBACK; /* the operator chose it; only link-local is out of the question */
	w->own = true;
	w->hops = 0;
}

static bool is_redirect(long status)
{
	return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

static int follow(struct walk *w, const struct http_response *resp, struct err *err)
{
	const struct redirect_source source = { .registry = &w->r->base,
						.from = &w->at,
						.from_class = resp->peer_class };
	CLEANUP(freep) char *location = http_header_get(resp, "location");
	struct http_url to = { 0 };

	if (++w->hops > REGISTRY_REDIRECTS_MAX)
		return err_set(err, ERR_REFUSED, "more than %d redirects", REGISTRY_REDIRECTS_MAX);
	if (!location)
		return err_set(err, ERR_PROTOCOL, "redirect without a Location");
	if (redirect_target(&source, location, &to, &w->least, err) < 0)
		return -1;
	http_url_free(&w->at);
	w->at = to;
	w->own = http_url_same_origin(&w->at, &w->r->base);
	if (w->req.place && !w->own) {
		walk_place_clear(w->req.place);
		*w->req.place = (struct walk_place){ .known = true, .least = w->least };
		url_copy(&w->req.place->url, &w->at);
	}
	return 0;
}

/* ECR says 403 when the password's twelve hours are over: once, a new one may help. */
static bool login_is_stale(const struct walk *w, const struct http_response *resp)
{
	return resp->status == 403 && w->own && w->generation && w->req.may_ask_login &&
	       w->r->challenge.scheme == CHALLENGE_BASIC && !w->rejections;
}

static void on_answer(void *arg, struct http_response *resp, const struct err *failure)
{
	struct walk *w = arg;
	struct err err;

	w->transfer = NULL;
	if (failure) {
		finish(w, resp, failure);
	} else if (resp->status == 401 && w->own) {
		take_step(w, auth_challenged(w->r, resp, w->generation, &w->rejections, &err),
			  &err);
	} else if (login_is_stale(w, resp)) {
		w->rejections++;
		take_step(w, AUTH_NEED_LOGIN, &err);
	} else if (is_redirect(resp->status)) {
		if (follow(w, resp, &err) < 0)
			fail(w, &err);
		else
			go(w);
	} else {
		finish(w, resp, NULL);
	}
}

static void on_start(void *arg)
{
	struct walk *w = arg;

	w->start_timer = NULL;
	go(w);
}

struct walk *walk_start(struct registry *r, const struct walk_request *req, walk_done_fn *done,
			void *arg)
{
	struct walk *w = xcalloc(1, sizeof *w);

	*w = (struct walk){ .r = r, .next = r->walks, .req = *req, .done = done, .arg = arg };
	w->req.path = xstrdup(req->path);
	w->req.accept = xstrdup(req->accept);
	if (w->next)
		w->next->prev = w;
	r->walks = w;
	if (req->place && req->place->known) {
		url_copy(&w->at, &req->place->url);
		w->least = req->place->least;
	} else {
		to_registry(w);
	}
	/* In a later turn, so that done is never called before this returns. */
	w->start_timer = loop_timer_start(r->loop, 0, on_start, w);
	return w;
}

void walk_resume(struct walk *w)
{
	if (w->transfer)
		http_resume(w->transfer);
}

void walk_cancel(struct walk *w)
{
	if (!w)
		return;
	http_cancel(w->transfer);
	walk_free(w);
}

void walks_token_done(struct registry *r, const struct err *failure)
{
	struct walk *w = r->walks;
	struct err err;

	/* Each step may end other walks, or start some that wait for the next token. */
	for (struct walk *all = w; all; all = all->next)
		all->token_is_in = all->waits_for_token;
	while (w) {
		if (!w->token_is_in) {
			w = w->next;
			continue;
		}
		w->token_is_in = w->waits_for_token = false;
		if (failure) {
			err = *failure;
			take_step(w, AUTH_FAILED, &err);
		} else {
			take_step(w, AUTH_SEND, &err);
		}
		w = r->walks;
	}
}

bool walk_waits_for_login(const struct walk *w)
{
	return w->waits_for_login;
}

void walk_login_given(struct walk *w)
{
	struct err err;

	w->waits_for_login = false;
	take_step(w, auth_login_given(w->r, &err), &err);
}
