#include "aws/imds_watch.h"

#include "aws/imds_internal.h"
#include "base/clock.h"
#include "base/mem.h"

#define ATTEMPT_MS 2000 /* an answer takes milliseconds */
#define OUTAGE_FIRST_MS 1000

struct imds_watch {
	struct imds *m;
	struct imds_watch_settings settings;
	struct http_transfer *transfer;
	struct loop_timer *timer;
	size_t at;            /* the path that is asked for */
	bool renewed;         /* in this round a token that was not taken has been replaced */
	unsigned int outages; /* rounds without an answer, in a row */
	int64_t asked_ms;
};

static void step(struct imds_watch *w);

static void on_timer(void *arg)
{
	struct imds_watch *w = arg;

	w->timer = NULL;
	w->at = 0;
	w->renewed = false;
	step(w);
}

static void end_round(struct imds_watch *w, const struct err *err)
{
	int64_t pause_ms = IMDS_WATCH_INTERVAL_MS;

	w->outages = err ? w->outages + 1 : 0;
	if (err) {
		pause_ms = w->outages > 6 ? IMDS_WATCH_OUTAGE_MAX_MS
					  : (int64_t)OUTAGE_FIRST_MS << (w->outages - 1);
		pause_ms =
			pause_ms > IMDS_WATCH_OUTAGE_MAX_MS ? IMDS_WATCH_OUTAGE_MAX_MS : pause_ms;
	}
	w->timer = loop_timer_start(w->m->loop, pause_ms, on_timer, w);
	w->settings.round(w->settings.arg, err);
}

static void on_token(void *arg, struct http_response *resp, const struct err *failure)
{
	struct imds_watch *w = arg;
	struct err err;

	w->transfer = NULL;
	int taken = failure ? -1 : imds_take_token(w->m, resp, w->asked_ms, &err);
	if (!failure)
		buf_wipe(&resp->body);
	if (taken < 0)
		end_round(w, failure ?: &err);
	else
		step(w);
}

static void on_answer(void *arg, struct http_response *resp, const struct err *failure)
{
	struct imds_watch *w = arg;
	struct err err;

	w->transfer = NULL;
	if (failure) {
		end_round(w, failure);
		return;
	}
	if (resp->status == 401 && !w->renewed) {
		w->renewed = true;
		secret_clear(&w->m->token);
	} else if (resp->status == 200 || resp->status == 404) {
		w->settings.answered(w->settings.arg, w->at++,
				     resp->status == 200 ? buf_str(&resp->body) : NULL);
	} else {
		imds_judge(resp, w->settings.paths[w->at], &err);
		end_round(w, &err);
		return;
	}
	step(w);
}

static int ask(struct imds_watch *w, const char *method, const char *url,
	       const struct http_header *header, http_done_fn *done, struct err *err)
{
	const struct http_request req = {
		.method = method,
		.url = url,
		.headers = header,
		.n_headers = 1,
		.max_body_bytes = IMDS_ANSWER_MAX_BYTES,
		.connect_timeout_ms = ATTEMPT_MS,
		.total_timeout_ms = ATTEMPT_MS,
		.least = ADDRESS_NEVER, /* as in imds.c */
		.no_proxy = true,
	};

	w->asked_ms = clock_mono_ms();
	return http_start(w->m->http, &req, done, w, &w->transfer, err);
}

/* The next request of this round, or its end. */
static void step(struct imds_watch *w)
{
	bool token = imds_needs_token(w->m);
	struct err err;

	if (w->at == w->settings.n) {
		end_round(w, NULL);
		return;
	}
	CLEANUP(freep)
	char *url = token ? xasprintf("%s" TOKEN_PATH, w->m->settings.base)
			  : imds_url(w->m, w->settings.paths[w->at], &err);
	const struct http_header header = { token ? TTL_HEADER : TOKEN_HEADER,
					    token ? TTL_TEXT : secret_str(&w->m->token) };
	if (!url ||
	    ask(w, token ? "PUT" : "GET", url, &header, token ? on_token : on_answer, &err) < 0)
		end_round(w, &err);
}

struct imds_watch *imds_watch_start(struct imds *m, const struct imds_watch_settings *settings)
{
	if (m->settings.disabled)
		return NULL;
	struct imds_watch *w = xcalloc(1, sizeof *w);
	*w = (struct imds_watch){ .m = m, .settings = *settings };
	w->timer = loop_timer_start(m->loop, 0, on_timer, w);
	return w;
}

void imds_watch_stop(struct imds_watch *w)
{
	if (!w)
		return;
	if (w->transfer)
		http_cancel(w->transfer);
	loop_timer_cancel(w->timer);
	free(w);
}
