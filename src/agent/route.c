#include "agent/route.h"

#include <arpa/inet.h>
#include <sys/socket.h>

#include "agent/generation.h"
#include "base/clock.h"
#include "base/log.h"

#define STEP_MS 50
#define DRAIN_SHARE 4 /* each pause is so many times as long as the counting before it: conntrack may be long */
#define FREE_PATIENCE_MS 5000 /* the listener lets go of its ports within milliseconds */
#define FREE_STEP_MS 10

struct endpoints {
	struct switch_endpoint *v;
	size_t n;
};

static void endpoints_clear(struct endpoints *e)
{
	free(e->v);
}

int route_open(struct deployment *d, bool listen, struct err *err)
{
	const struct switch_settings settings = {
		.loop = d->context->loop,
		.run_dir = opt_str(d->context->options, OPT_RUN_DIR),
		.name = d->name,
		.listen = listen,
	};

	return switch_open(&settings, &d->table, err);
}

bool route_is_switched(const struct container_state *s)
{
	return generation_label(s, LABEL_PUBLISH) != NULL;
}

/* Of -p texts. */
static int parse(const struct strv *publish, struct endpoints *out, struct err *err)
{
	CLEANUP(freep) struct published_port *ports = NULL;
	size_t n = 0;

	for (size_t i = 0; i < publish->n; i++)
		if (publish_parse(publish->v[i], &ports, &n, err) < 0)
			return -1;
	return switch_endpoints(ports, n, &out->v, &out->n, err);
}

/* "80:3000,443:3000" */
static int parse_label(const struct container_state *s, struct endpoints *out, struct err *err)
{
	CLEANUP(strv_free) struct strv publish = { 0 };
	const char *text = generation_label(s, LABEL_PUBLISH) ?: "";

	while (*text) {
		size_t len = strcspn(text, ",");
		strv_take(&publish, xstrndup(text, len));
		text += len + (text[len] == ',');
	}
	return parse(&publish, out, err) < 0 ? err_wrap(err, "label " LABEL_PUBLISH " of %s", s->name) : 0;
}

void route_problem(struct deployment *d, char out[256])
{
	CLEANUP(endpoints_clear) struct endpoints e = { 0 };
	struct err err;

	*out = '\0';
	if (parse(&d->spec.publish, &e, &err) < 0)
		(void)snprintf(out, 256, "%.255s", err.msg);
}

int route_check_free(struct deployment *d, struct err *err)
{
	CLEANUP(endpoints_clear) struct endpoints e = { 0 };

	return parse(&d->spec.publish, &e, err) < 0 ? -1 : switch_check_free(d->table, e.v, e.n, err);
}

static int lead(struct deployment *d, const struct container_state *s, enum switch_busy busy, struct err *err)
{
	CLEANUP(endpoints_clear) struct endpoints e = { 0 };
	struct switch_target target = { 0 };

	if (parse_label(s, &e, err) < 0)
		return -1;
	memcpy(target.container, s->id, sizeof target.container);
	memcpy(target.address, s->address, sizeof target.address);
	return switch_move(d->table, e.v, e.n, &target, busy, err);
}

int route_lead(struct deployment *d, const char *name, enum switch_busy busy, struct err *err)
{
	CLEANUP(container_state_clear) struct container_state state = { 0 };

	if (container_inspect(d->context->docker, name, &state, err) < 0)
		return -1;
	return route_is_switched(&state) ? lead(d, &state, busy, err) : route_leave(d, err);
}

/* On this host a connection is accepted or refused at once, unless a rule of somebody's drops it. */
static bool accepts(const struct switch_endpoint *e)
{
	bool v6 = strchr(e->host_ip, ':') != NULL;
	struct sockaddr_in6 six = { .sin6_family = AF_INET6,
				    .sin6_port = htons(e->host_port),
				    .sin6_addr = IN6ADDR_LOOPBACK_INIT };
	struct sockaddr_in four = { .sin_family = AF_INET,
				    .sin_port = htons(e->host_port),
				    .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	const struct timeval patience = { .tv_sec = 1 };
	CLEANUP(closep) int fd = socket(v6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	/* "", 0.0.0.0 and :: are every address, loopback too. */
	if (v6 && !streq(e->host_ip, "::"))
		(void)inet_pton(AF_INET6, e->host_ip, &six.sin6_addr);
	else if (*e->host_ip && !streq(e->host_ip, "0.0.0.0"))
		(void)inet_pton(AF_INET, e->host_ip, &four.sin_addr);
	return fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience) == 0 &&
	       connect(fd, v6 ? (void *)&six : (void *)&four, v6 ? sizeof six : sizeof four) == 0;
}

bool route_is_open(const struct container_state *s)
{
	CLEANUP(endpoints_clear) struct endpoints e = { 0 };
	struct err ignored; /* it was read when the switch moved there */

	if (parse_label(s, &e, &ignored) < 0)
		return false;
	for (size_t i = 0; i < e.n; i++)
		if (!e.v[i].udp && !accepts(&e.v[i]))
			return false;
	return true;
}

static int read_switch(struct deployment *d, struct switch_state *out, struct err *err)
{
	return switch_list(d->context->loop, opt_str(d->context->options, OPT_RUN_DIR), d->name, false, out, err);
}

bool route_is_unminded(struct deployment *d)
{
	CLEANUP(switch_state_clear) struct switch_state s = { 0 };
	struct err ignored;

	return read_switch(d, &s, &ignored) == 0 && s.exists && !s.listening;
}

/* The listener is another process, which has to be quick enough for the container that wants its ports. */
int route_leave(struct deployment *d, struct err *err)
{
	CLEANUP(switch_state_clear) struct switch_state s = { 0 };
	int64_t deadline_ms = clock_mono_ms() + FREE_PATIENCE_MS;

	if (read_switch(d, &s, err) < 0)
		err_clear(err); /* unreadable: removing it is the cure */
	else if (!s.exists)
		return 0;
	if (switch_remove(d->table, err) < 0)
		return -1;
	while (switch_check_free(d->table, s.endpoints, s.n, err) < 0) {
		if (err->kind != ERR_CONFLICT || clock_mono_ms() >= deadline_ms)
			return -1;
		if (loop_sleep(d->context->loop, FREE_STEP_MS, err) < 0)
			return -1;
	}
	return 0;
}

void route_target(struct deployment *d, char id[65])
{
	CLEANUP(switch_state_clear) struct switch_state s = { 0 };
	struct err ignored; /* what cannot be read leads nowhere */

	*id = '\0';
	if (read_switch(d, &s, &ignored) == 0 && s.exists)
		memcpy(id, s.target.container, sizeof s.target.container);
}

/* What a container's or a create body's HostConfig has Docker publish; host_port 0: Docker chooses. */
static void docker_ports(const struct json *host_config, struct endpoints *out)
{
	const struct json *bindings = json_get(host_config, "PortBindings");

	for (const struct json *v = json_first(bindings); v; v = json_next(v)) {
		unsigned long port = strtoul(json_name(v), NULL, 10);
		for (const struct json *b = json_first(v); b && port > 0 && port <= UINT16_MAX; b = json_next(b)) {
			unsigned long host_port = strtoul(json_string(json_get(b, "HostPort")) ?: "", NULL, 10);
			out->v = xreallocarray(out->v, out->n + 1, sizeof *out->v);
			out->v[out->n++] = (struct switch_endpoint){
				.container_port = (uint16_t)port,
				.host_port = host_port <= UINT16_MAX ? (uint16_t)host_port : 0,
				.udp = strstr(json_name(v), "/udp") != NULL,
			};
		}
	}
}

static bool publishes(const struct endpoints *e, const struct switch_endpoint *wanted)
{
	for (size_t i = 0; i < e->n; i++)
		if (!e->v[i].udp && e->v[i].host_port == wanted->host_port)
			return true;
	return false;
}

uint16_t route_lost_port(const struct container_state *s, const struct json *body)
{
	CLEANUP(endpoints_clear) struct endpoints old = { 0 }, new = { 0 };
	uint16_t lost = 0;
	struct err ignored; /* it was read when the switch moved there */

	docker_ports(json_get(body, "HostConfig"), &new);
	if (!route_is_switched(s))
		docker_ports(json_get(s->inspect, "HostConfig"), &old);
	else if (parse_label(s, &old, &ignored) < 0)
		return 0;
	for (size_t i = 0; i < old.n; i++) {
		if (old.v[i].udp || !old.v[i].host_port)
			continue;
		if (publishes(&new, &old.v[i]))
			return 0;
		lost = lost ? lost : old.v[i].host_port;
	}
	return lost;
}

/* Clients from outside come by rules, ours or Docker's, unless the record says that there are none here. */
static bool is_rewritten(struct deployment *d)
{
	CLEANUP(switch_state_clear) struct switch_state s = { 0 };
	struct err ignored; /* what cannot be read says nothing of the sort */

	return read_switch(d, &s, &ignored) < 0 || !s.exists || *s.flavour;
}

static int count(struct deployment *d, const struct container_state *s, size_t *out, struct err *err)
{
	CLEANUP(endpoints_clear) struct endpoints e = { 0 };

	if (!strchr(s->address, '.'))
		return err_set(err, ERR_FAILED, "%s has no address of its own", s->name);
	docker_ports(json_get(s->inspect, "HostConfig"), &e);
	return switch_connections(e.v, e.n, s->address, e.n && is_rewritten(d), out, err);
}

size_t route_connections(struct deployment *d, const struct container_state *s, bool *told)
{
	struct err err;
	size_t n;

	if (count(d, s, &n, &err) == 0)
		return n;
	if (!*told)
		log_warning("connections cannot be counted, and are waited for: %s", err.msg);
	*told = true;
	return 1;
}

int route_drain(struct deployment *d, const struct container_state *old, size_t *left, struct err *err)
{
	return route_drain_within(d, old, INT64_MAX, left, err);
}

int route_drain_within(struct deployment *d, const struct container_state *old, int64_t patience_ms, size_t *left,
		       struct err *err)
{
	int64_t most_ms = opt_number(d->context->options, OPT_DRAIN_TIMEOUT);
	int64_t deadline_ms = clock_mono_ms() + (patience_ms < most_ms ? patience_ms : most_ms);

	bool told = false;

	*left = 0;
	if (!old->running || !strchr(old->address, '.'))
		return 0;
	/* None twice: one that the listener was opening is not seen yet. */
	for (int none = 0; none < 2;) {
		int64_t began_ms = clock_mono_ms();
		*left = route_connections(d, old, &told);
		none = *left ? 0 : none + 1;
		int64_t now_ms = clock_mono_ms(), pause_ms = DRAIN_SHARE * (now_ms - began_ms);
		if (now_ms >= deadline_ms)
			break;
		d->context->last_progress_ms = now_ms;
		if (loop_sleep(d->context->loop, pause_ms > STEP_MS ? pause_ms : STEP_MS, err) < 0)
			return -1;
	}
	if (switch_forget_udp(old->address, err) < 0)
		log_debug("%s", err->msg);
	err_clear(err);
	return 0;
}

bool route_is_lost(struct deployment *d, const struct container_state *s)
{
	CLEANUP(switch_state_clear) struct switch_state state = { 0 };
	struct err ignored; /* all the same */

	if (!s->inspect || !route_is_switched(s) || !s->running || !*s->address)
		return false;
	return read_switch(d, &state, &ignored) < 0 || !state.exists;
}

static int where(void *arg, const char *container, char address[46], struct err *err)
{
	CLEANUP(container_state_clear) struct container_state state = { 0 };
	struct deployment *d = arg;

	*address = '\0';
	if (!*container)
		return 0;
	if (container_inspect(d->context->docker, container, &state, err) < 0) {
		if (err->kind != ERR_NOT_FOUND)
			return -1;
		err_clear(err);
		return 0;
	}
	if (state.running)
		memcpy(address, state.address, sizeof state.address);
	return 0;
}

int route_check(struct deployment *d, struct err *err)
{
	const char *mended;

	if (switch_check(d->table, where, d, &mended, err) < 0)
		return -1;
	if (mended)
		log_notice("the switch is right again: %s", mended);
	return 0;
}

int route_settle(struct deployment *d, struct err *err)
{
	CLEANUP(container_state_clear) struct container_state state = { 0 };
	char target[65];

	if (container_inspect(d->context->docker, d->name, &state, err) < 0)
		return -1;
	if (!route_is_switched(&state))
		return route_leave(d, err);
	route_target(d, target);
	if (!state.running || !*state.address || streq(target, state.id))
		return route_check(d, err); /* one that is restarted has an address later: then the check moves it */
	log_info("the switch leads to %s", d->name);
	return lead(d, &state, SWITCH_BUSY_WAITS, err);
}
