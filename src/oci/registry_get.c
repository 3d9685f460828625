#include "oci/registry_internal.h"

#include "base/mem.h"

struct getting {
	struct walk *walk;
	bool done, failed, elsewhere;
	struct http_response *resp;
	struct err *err;
};

static void on_got(void *arg, struct http_response *resp, bool elsewhere, const struct err *err)
{
	struct getting *g = arg;

	g->done = true;
	g->walk = NULL;
	g->elsewhere = elsewhere;
	g->failed = err != NULL;
	if (err) {
		*g->err = *err;
		return;
	}
	*g->resp = *resp;
	*resp = (struct http_response){ .retry_after_ms = -1 };
}

static bool got_or_waits(void *arg)
{
	const struct getting *g = arg;

	return g->done || walk_waits_for_login(g->walk);
}

static int give_login(struct registry *r, struct walk *w, struct err *err)
{
	struct registry_login login = { 0 };

	if (r->ask_login(r->ask_login_arg, r->login_known, &login, err) < 0) {
		registry_login_clear(&login);
		err->waited_out = true; /* the callback tries again as often as makes sense */
		return err_wrap(err, "login to %s", r->ref.host);
	}
	registry_login_clear(&r->login);
	r->login = login;
	r->login_known = true;
	walk_login_given(w);
	return 0;
}

int registry_get(struct registry *r, const struct walk_request *req, struct http_response *resp,
		 bool *elsewhere, struct err *err)
{
	struct getting g = { .resp = resp, .err = err };

	g.walk = walk_start(r, req, on_got, &g);
	while (!g.done) {
		if (loop_wait(r->loop, got_or_waits, &g, -1, err) < 0 ||
		    (!g.done && give_login(r, g.walk, err) < 0)) {
			walk_cancel(g.walk);
			return -1;
		}
	}
	*elsewhere = g.elsewhere;
	return g.failed ? -1 : 0;
}
