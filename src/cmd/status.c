#include "cmd/cmd.h"

#include <errno.h>
#include <unistd.h>

#include "agent/board.h"
#include "agent/context.h"
#include "agent/deployment.h"
#include "agent/record.h"
#include "agent/switch.h"
#include "base/clock.h"
#include "base/fs.h"
#include "engine/container.h"

#define STATUS_FILE_MAX_BYTES (64 * KIB)
#define WATCH_INTERVAL_MS 500
#define HISTORY_ROWS 5 /* in text; all with --json */
#define ERASE_SCREEN "\033[H\033[J"

/* What the running `berth up` last said, or NULL when none runs. */
static struct json *running_status(const struct options *o, const char *name)
{
	const char *run_dir = opt_str(o, OPT_RUN_DIR);
	CLEANUP(freep) char *lock = xasprintf("%s/%s.lock", run_dir, name);
	CLEANUP(freep) char *path = xasprintf("%s/%s.json", run_dir, name);
	CLEANUP(buf_free) struct buf text = BUF_INIT(STATUS_FILE_MAX_BYTES);
	struct json *doc = NULL;
	struct err ignored; /* absent or half-written by a stranger: as if none ran */

	if (!fs_locked(lock) || fs_read(path, &text, &ignored) < 0 ||
	    json_parse(buf_str(&text), text.len, &json_default_limits, &doc, &ignored) < 0)
		return NULL;
	return doc;
}

/* No `berth up` runs: the container's own labels say what it is. */
static struct json *status_from_labels(const struct container_state *c)
{
	struct json *o = json_new_object();

	json_set_str(o, "status", "unattended");
	json_set_str(o, "reason", "no `berth up` runs here: nobody probes, /healthz does not answer");
	json_set_str(o, "image", c->label_image);
	json_set_str(o, "digest", c->label_digest);
	return o;
}

/* When and by what it was put there, as far as state.json knows. */
static void set_origin(struct json *o, const struct json *history, const struct container_state *c)
{
	for (const struct json *row = json_first(history); row && c->label_digest; row = json_next(row)) {
		if (json_string(json_get(row, "failure")) ||
		    !streq(json_string(json_get(row, "digest")), c->label_digest) ||
		    !streq(json_string(json_get(row, "config")), c->label_config))
			continue;
		json_set_str(o, "deployed", json_string(json_get(row, "at")));
		json_set_str(o, "by", json_string(json_get(row, "by")));
		return;
	}
}

static void set_container(struct json *o, const struct json *history, const struct container_state *c)
{
	struct json *v = json_ensure_object(o, "docker");
	char when[CLOCK_RFC3339_SIZE];

	json_set_str(v, "id", c->id);
	json_set_str(v, "image_id", c->image_id);
	json_set_str(v, "state", c->status);
	json_set_int(v, "exit_code", c->exit_code);
	json_set_int(v, "restart_count", c->restart_count);
	json_set_str(v, "generation", c->label_generation);
	if (*c->health)
		json_set_str(v, "health", c->health);
	if (c->started_ms > 0) {
		clock_rfc3339(c->started_ms, when);
		json_set_str(v, "started", when);
	}
	set_origin(v, history, c);
}

/* NAME-next or NAME-prev, if it is there and ours. */
static void set_sibling(struct json *o, const char *key, struct context *ctx, const char *name, const char *suffix,
			const struct json *history)
{
	CLEANUP(container_state_clear) struct container_state state = { 0 };
	CLEANUP(freep) char *sibling = xasprintf("%s-%s", name, suffix);
	struct err ignored; /* it is not there, or Docker is not: said elsewhere */

	if (container_inspect(ctx->docker, sibling, &state, &ignored) < 0 || !streq(state.label_name, name))
		return;
	struct json *v = json_ensure_object(o, key);
	json_set_str(v, "container", sibling);
	json_set_str(v, "image", state.label_image);
	json_set_str(v, "digest", state.label_digest);
	json_set_str(v, "generation", state.label_generation);
	json_set_str(v, "state", state.status);
	set_origin(v, history, &state);
}

/* Who is at work now, and how it went before. */
static void set_deployments(struct json *o, const struct options *options, const char *name)
{
	const char *state_dir = opt_str(options, OPT_STATE_DIR);
	CLEANUP(deploy_lock_close) struct deploy_lock lock = DEPLOY_LOCK_NONE;
	struct json *last = record_last_deployment(state_dir, name, false);
	struct json *failed = record_last_deployment(state_dir, name, true);

	lock.path = xasprintf("%s/deploying/%s", opt_str(options, OPT_RUN_DIR), name);
	if (deploy_lock_is_others(&lock)) {
		CLEANUP(freep) char *holder = deploy_lock_holder(&lock);
		json_set_str(o, "deploying", holder);
	}
	if (last)
		json_set(o, "last_deployment", last);
	if (failed)
		json_set(o, "last_failure", failed);
}

/* The switch, when clients are led by it. */
static void set_switch(struct json *o, struct context *ctx, const char *name)
{
	CLEANUP(switch_state_clear) struct switch_state s = { 0 };
	struct err ignored; /* an unreadable record is mended by whoever deploys */
	char when[CLOCK_RFC3339_SIZE];

	if (switch_list(ctx->loop, opt_str(ctx->options, OPT_RUN_DIR), name, true, &s, &ignored) < 0 || !s.exists)
		return;
	struct json *v = json_ensure_object(o, "switch");
	clock_rfc3339(s.moved_ms, when);
	json_set_str(v, "container", *s.target.container ? s.target.container : NULL);
	json_set_str(v, "address", *s.target.address ? s.target.address : NULL);
	json_set_str(v, "moved", when);
	json_set_str(v, "nat", switch_nat_name(s.nat));
	json_set_str(v, "chain", *s.chain ? s.chain : NULL);
	json_set_str(v, "iptables", *s.flavour ? s.flavour : NULL);
	json_set_bool(v, "listening", s.listening);
	json_set_str(v, "problem", *s.listen_problem ? s.listen_problem : NULL);
	struct json *ports = json_ensure_array(v, "ports");
	for (size_t i = 0; i < s.n; i++) {
		const struct switch_endpoint *e = &s.endpoints[i];
		CLEANUP(freep) char *text = xasprintf("%s%s%u:%u/%s", e->host_ip, *e->host_ip ? ":" : "", e->host_port,
						      e->container_port, e->udp ? "udp" : "tcp");
		json_add_str(ports, text);
	}
}

/* Asks Docker itself: what berth thinks and what is can differ, and both are worth showing. */
static int collect(struct context *ctx, const char *name, struct json **out, struct err *err)
{
	CLEANUP(container_state_clear) struct container_state state = { 0 };
	struct json *o = running_status(ctx->options, name);
	struct err docker_err = { 0 };
	CLEANUP(json_freep) struct json *history = record_deployments(opt_str(ctx->options, OPT_STATE_DIR), name);
	bool there = docker_connect(ctx->docker, &docker_err) == 0 &&
		     container_inspect(ctx->docker, name, &state, &docker_err) == 0;

	if (docker_err.kind == ERR_CANCELLED || (!o && !there)) {
		*err = docker_err;
		json_free(o);
		return err->kind == ERR_NOT_FOUND ? err_set(err, ERR_NOT_FOUND, "no service %s here", name) : -1;
	}
	bool attended = o != NULL;
	if (!o)
		o = status_from_labels(&state);
	json_set_str(o, "container", name);
	json_set_bool(o, "attended", attended);
	if (there) {
		set_container(o, history, &state);
		set_sibling(o, "candidate", ctx, name, "next", history);
		set_sibling(o, "previous", ctx, name, "prev", history);
	} else {
		json_set_str(o, "docker_error", docker_err.msg);
	}
	set_deployments(o, ctx->options, name);
	set_switch(o, ctx, name);
	json_set(o, "history", STEAL(history));
	*out = o;
	return 0;
}

static const char *text_of(const struct json *o, const char *name)
{
	return json_string(json_get(o, name)) ?: "-";
}

/* "80:3000/tcp 443:3000/tcp to 172.17.0.3; nat leads (iptables-nft, BERTH-web), listening" and a newline, or "". */
static char *switch_text(const struct json *v)
{
	const char *problem = json_string(json_get(v, "problem")), *chain = json_string(json_get(v, "chain"));
	bool listening = false;
	struct err ignored; /* our own document */
	char *text = xstrdup("");

	if (!v)
		return text;
	for (const struct json *p = json_first(json_get(v, "ports")); p; p = json_next(p)) {
		char *longer = xasprintf("%s%s ", text, json_string(p));
		free(text);
		text = longer;
	}
	(void)!json_opt_bool(v, "listening", &listening, &ignored);
	CLEANUP(freep) char *ports = text;
	return xasprintf("switch     %sto %s; nat %s%s%s%s, %s%s%s\n", ports, text_of(v, "address"), text_of(v, "nat"),
			 chain ? " (" : "", chain ?: "", chain ? ")" : "", listening ? "listening" : "nobody listens",
			 problem ? ": " : "", problem ?: "");
}

/* ", deployed 2026-01-02T03:04:05Z by deploy", or "". */
static char *origin_text(const struct json *v)
{
	const char *by = json_string(json_get(v, "by"));

	return by ? xasprintf(", deployed %s by %s", text_of(v, "deployed"), by) : xstrdup("");
}

/* "previous   web-prev: sha256:…, exited, generation 3, deployed … by up" and a newline, or "". */
static char *sibling_text(const char *title, const struct json *v)
{
	CLEANUP(freep) char *origin = origin_text(v);

	return v ? xasprintf("%-10s %s: %s, %s, generation %s%s\n", title, text_of(v, "container"),
			     text_of(v, "digest"), text_of(v, "state"), text_of(v, "generation"), origin)
		 : xstrdup("");
}

/* The newest rows, one a line. */
static char *history_text(const struct json *rows)
{
	char *text = xstrdup("");
	size_t n = 0;

	for (const struct json *row = json_first(rows); row && n < HISTORY_ROWS; row = json_next(row), n++) {
		const char *failure = json_string(json_get(row, "failure"));
		char *longer = xasprintf("%s%-10s %s %s: %.19s, %s%s\n", text, n ? "" : "history", text_of(row, "at"),
					 text_of(row, "by"), text_of(row, "digest"), text_of(row, "strategy"),
					 failure ? ": failed" : "");
		free(text);
		text = longer;
	}
	return text;
}

/* Lines that are there only when there is something to say. */
static char *generations_text(const struct json *o)
{
	const struct json *failed = json_get(o, "last_failure");
	const char *holder = json_string(json_get(o, "deploying"));
	CLEANUP(freep) char *before = sibling_text("previous", json_get(o, "previous"));
	CLEANUP(freep) char *candidate = sibling_text("candidate", json_get(o, "candidate"));
	CLEANUP(freep) char *history = history_text(json_get(o, "history"));
	CLEANUP(freep) char *failure = failed ? xasprintf("failure    %s, %s: %s\n", text_of(failed, "at"),
							  text_of(failed, "digest"), text_of(failed, "failure"))
					      : NULL;

	return xasprintf("%s%s%s%s%s%s%s", holder ? "at work    " : "", holder ?: "", holder ? "\n" : "", candidate,
			 before, failure ?: "", history);
}

static char *as_text(const struct json *o)
{
	const struct json *docker = json_get(o, "docker");
	const char *reason = json_string(json_get(o, "reason"));
	CLEANUP(freep) char *generations = generations_text(o), *route = switch_text(json_get(o, "switch"));
	CLEANUP(freep) char *origin = origin_text(docker);
	int64_t restarts = 0;
	struct err ignored; /* our own document */

	(void)!json_opt_int(docker, "restart_count", 0, INT32_MAX, &restarts, &ignored);
	return xasprintf("status     %s%s%s\nphase      %s\nsince      %s\nimage      %s\ndigest     %s\n"
			 "container  %s: %s, started %s, %lld restarts, generation %s%s\n%s%s",
			 text_of(o, "status"), reason ? ": " : "", reason ?: "", text_of(o, "phase"),
			 text_of(o, "since"), text_of(o, "image"), text_of(o, "digest"), text_of(o, "container"),
			 docker ? text_of(docker, "state") : text_of(o, "docker_error"),
			 docker ? text_of(docker, "started") : "-", (long long)restarts,
			 docker ? text_of(docker, "generation") : "-", origin, route, generations);
}

static void show(const struct options *o, struct json *status, char **last)
{
	char *text = opt_flag(o, OPT_JSON) ? json_print(status, !opt_flag(o, OPT_WATCH)) : as_text(status);

	if (!*last || !streq(*last, text)) {
		bool redraw = opt_flag(o, OPT_WATCH) && !opt_flag(o, OPT_JSON) && isatty(STDOUT_FILENO);
		printf("%s%s\n", redraw ? ERASE_SCREEN : "", text);
		(void)fflush(stdout); /* main() looks at the stream's error at the end */
	}
	free(*last);
	*last = text;
}

static int verdict(const struct json *status, struct err *err)
{
	const char *word = text_of(status, "status"), *reason = json_string(json_get(status, "reason"));

	if (streq(word, "ready"))
		return 0;
	return err_set(err, ERR_FAILED, "%s is not ready: %s%s%s", text_of(status, "container"), word,
		       reason ? ": " : "", reason ?: "");
}

static int run(struct context *c, const char *name, struct err *err)
{
	CLEANUP(freep) char *last = NULL;
	bool watch = opt_flag(c->options, OPT_WATCH);

	for (;;) {
		CLEANUP(json_freep) struct json *status = NULL;
		if (collect(c, name, &status, err) < 0)
			return -1;
		show(c->options, status, &last);
		if (!watch)
			return verdict(status, err);
		if (loop_sleep(c->loop, WATCH_INTERVAL_MS, err) < 0) {
			err_clear(err); /* ^C is how one leaves */
			return 0;
		}
	}
}

/* Who holds a lock is seen by whoever may open it: to others a running `berth up` would be none. */
static int check_sight(const struct options *o, const char *name, struct err *err)
{
	const char *run_dir = opt_str(o, OPT_RUN_DIR);
	CLEANUP(freep) char *serving = xasprintf("%s/%s.lock", run_dir, name);
	CLEANUP(freep) char *deploying = xasprintf("%s/deploying/%s", run_dir, name);
	const char *const locks[] = { serving, deploying };

	for (size_t i = 0; i < ARRAY_LEN(locks); i++)
		if (access(locks[i], R_OK) < 0 && errno == EACCES) {
			err_set(err, ERR_DENIED, "what runs here is for root to see: %s cannot be opened", locks[i]);
			return err_hint(err, "run it as root");
		}
	return 0;
}

int cmd_status(const struct invocation *in, struct err *err)
{
	CLEANUP(freep) char *name = NULL;
	struct context c;

	if (cmd_service_name(&in->options, &name, err) < 0 || check_sight(&in->options, name, err) < 0 ||
	    context_open(&c, &in->options, 0, err) < 0)
		return -1;
	int result = run(&c, name, err);
	context_close(&c);
	return result;
}
