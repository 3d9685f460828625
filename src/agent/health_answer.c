/* What the endpoint answers: a table of paths. */
#include "agent/health_internal.h"

#include <inttypes.h>

#include "base/build_info.h"
#include "base/clock.h"
#include "base/mem.h"

#define BODY_MAX_BYTES (16 * KIB)

/* Prometheus text format: backslash, quote and newline of a label value are escaped. */
static char *label_escape(const char *s)
{
	char *out = xmalloc(2 * strlen(s) + 1), *p = out;

	for (; *s; s++) {
		if (*s == '\\' || *s == '"')
			*p++ = '\\';
		*p++ = *s == '\n' ? ' ' : *s;
	}
	*p = '\0';
	return out;
}

static int metrics_body(const struct snapshot *s, struct buf *b, struct err *err)
{
	CLEANUP(freep) char *image = label_escape(s->image);
	CLEANUP(freep) char *container = label_escape(s->container);

	if (buf_printf(b, err,
		       "# HELP berth_info What serves.\n# TYPE berth_info gauge\n"
		       "berth_info{version=\"%s\",image=\"%s\",digest=\"%s\",container=\"%s\",store=\"%s\"} 1\n"
		       "# HELP berth_ready 1 while /healthz answers 200.\n# TYPE berth_ready gauge\nberth_ready %d\n"
		       "# HELP berth_status 1 for the status that /healthz names.\n# TYPE berth_status gauge\n",
		       build_version, image, s->digest, container, s->store, s->status == BOARD_READY) < 0)
		return -1;
	for (int i = 0; i < BOARD_STATUSES; i++)
		if (buf_printf(b, err, "berth_status{status=\"%s\"} %d\n", board_status_name((enum board_status)i),
			       (int)s->status == i) < 0)
			return -1;

	const struct {
		const char *name, *type, *help;
		double value;
	} rows[] = {
		{ "berth_start_time_seconds", "gauge", "When berth started.", (double)s->started_ms / 1e3 },
		{ "berth_status_since_seconds", "gauge", "When the status last changed.", (double)s->since_ms / 1e3 },
		{ "berth_ready_after_seconds", "gauge", "From berth's start to the first ready; 0: not yet.",
		  (double)s->ready_after_ms / 1e3 },
		{ "berth_pull_bytes", "gauge", "Compressed bytes received by the last pull.", (double)s->pull_bytes },
		{ "berth_pull_seconds", "gauge", "Duration of the last pull.", (double)s->pull_ms / 1e3 },
		{ "berth_probes_passed_total", "counter", "Probes that passed.", (double)s->probes_passed },
		{ "berth_probes_failed_total", "counter", "Probes that failed.", (double)s->probes_failed },
		{ "berth_container_restarts", "gauge", "Restarts of the container by Docker.", s->restart_count },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (buf_printf(b, err, "# HELP %s %s\n# TYPE %s %s\n%s %.15g\n", rows[i].name, rows[i].help,
			       rows[i].name, rows[i].type, rows[i].name, rows[i].value) < 0)
			return -1;
	return 0;
}

static int healthz_body(const struct snapshot *s, struct buf *b, struct err *err)
{
	struct json *o = board_json(s, false);
	CLEANUP(freep) char *text = json_print(o, false);

	json_free(o);
	return buf_printf(b, err, "%s\n", text);
}

static int livez_body(const struct snapshot *s, struct buf *b, struct err *err)
{
	(void)s;
	return buf_printf(b, err, "{\"status\":\"alive\"}\n");
}

static const struct {
	const char *path;
	const char *content_type;
	int (*body)(const struct snapshot *s, struct buf *b, struct err *err);
	bool follows_status; /* 503 unless ready */
} pages[] = {
	{ "/healthz", "application/json", healthz_body, true },
	{ "/livez", "application/json", livez_body, false },
	{ "/metrics", "text/plain; version=0.0.4; charset=utf-8", metrics_body, false },
};

static enum MHD_Result respond(struct MHD_Connection *c, unsigned int status, const char *type, const char *body,
			       size_t len)
{
	struct MHD_Response *r = MHD_create_response_from_buffer(len, (void *)(uintptr_t)body, MHD_RESPMEM_MUST_COPY);

	if (!r)
		return MHD_NO;
	enum MHD_Result ok = MHD_add_response_header(r, "Content-Type", type);
	if (ok)
		ok = MHD_add_response_header(r, "Cache-Control", "no-store");
	if (ok && status == MHD_HTTP_METHOD_NOT_ALLOWED)
		ok = MHD_add_response_header(r, "Allow", "GET, HEAD");
	if (ok)
		ok = MHD_add_response_header(r, "Connection", "close");
	if (ok)
		ok = MHD_queue_response(c, status, r);
	MHD_destroy_response(r);
	return ok;
}

static enum MHD_Result respond_line(struct MHD_Connection *c, unsigned int status, const char *line)
{
	return respond(c, status, "text/plain; charset=utf-8", line, strlen(line));
}

/* "http://host/healthz" is "/healthz": a server has to take the absolute form too (RFC 9112 section 3.2.2). */
static const char *path_of(const char *url)
{
	const char *authority = skip_prefix(url, "http://");

	return authority ? authority + strcspn(authority, "/") : url;
}

enum MHD_Result health_answer(void *cls, struct MHD_Connection *connection, const char *url, const char *method,
			      const char *version, const char *upload, size_t *upload_len, void **state)
{
	CLEANUP(buf_free) struct buf body = BUF_INIT(BODY_MAX_BYTES);
	const char *path = path_of(url);
	struct snapshot s;
	struct err err;

	(void)version, (void)upload, (void)upload_len, (void)state;
	if (!streq(method, "GET") && !streq(method, "HEAD"))
		return respond_line(connection, MHD_HTTP_METHOD_NOT_ALLOWED, "only GET and HEAD\n");
	for (size_t i = 0; i < ARRAY_LEN(pages); i++) {
		if (!streq(path, pages[i].path))
			continue;
		board_read(cls, &s);
		if (pages[i].body(&s, &body, &err) < 0)
			return respond_line(connection, MHD_HTTP_INTERNAL_SERVER_ERROR, "too large\n");
		bool ok = !pages[i].follows_status || s.status == BOARD_READY;
		return respond(connection, ok ? MHD_HTTP_OK : MHD_HTTP_SERVICE_UNAVAILABLE, pages[i].content_type,
			       buf_str(&body), body.len);
	}
	return respond_line(connection, MHD_HTTP_NOT_FOUND, "/healthz, /livez and /metrics are here\n");
}
