#include "base/mem.h"
#include "engine/container.h"
#include "engine/container_internal.h"

void copy_text(char *out, size_t size, const char *text)
{
	(void)snprintf(out, size, "%s", text ? text : "");
}

static bool digits(const char *text, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (text[i] < '0' || text[i] > '9')
			return false;
	return true;
}

/* "Z" or "+02:00"; the minutes that local time is ahead, or -1 for nonsense in *ok. */
static int zone_minutes(const char *text, bool *ok)
{
	int hours, minutes;

	*ok = true;
	if (streq(text, "Z"))
		return 0;
	*ok = (*text == '+' || *text == '-') && strlen(text) == 6 && digits(text + 1, 2) &&
	      text[3] == ':' && digits(text + 4, 2) &&
	      sscanf(text + 1, "%2d:%2d", &hours, &minutes) == 2;
	if (!*ok)
		return 0;
	return (*text == '-' ? -1 : 1) * (hours * 60 + minutes);
}

int64_t time_parse(const char *text)
{
	struct tm tm = { 0 };
	char *rest;
	int64_t ms = 0;
	bool zoned;

	if (!text || !digits(text, 4) || !(rest = strptime(text, "%Y-%m-%dT%H:%M:%S", &tm)) ||
	    tm.tm_year < 70)
		return 0;
	if (*rest == '.') {
		int64_t unit = 100;
		for (rest++; digits(rest, 1); rest++, unit /= 10)
			ms += (*rest - '0') * unit;
	}
	int64_t ahead = zone_minutes(rest, &zoned);
	return zoned ? (timegm(&tm) - ahead * 60) * (int64_t)1000 + ms : 0;
}

static void read_health(const struct json *health, struct container_state *s)
{
	const char *status = json_string(json_get(health, "Status"));
	const struct json *last = NULL;

	/* Docker says "none" with, Podman "" without a HEALTHCHECK. */
	copy_text(s->health, sizeof s->health, streq(status, "none") ? "" : status);
	for (const struct json *v = json_first(json_get(health, "Log")); v; v = json_next(v))
		last = v;
	const char *output = json_string(json_get(last, "Output"));
	if (output) {
		output += strspn(output, " \r\n\t");
		(void)snprintf(s->health_log, sizeof s->health_log, "%.*s",
			       (int)strcspn(output, "\r\n"), output);
	}
}

static int read_state(const struct json *state, struct container_state *s, struct err *err)
{
	int64_t exit_code = 0;
	const char *status = NULL, *started = NULL;

	if (json_str(state, "Status", &status, err) < 0 ||
	    json_opt_str(state, "StartedAt", &started, err) < 0 ||
	    json_opt_bool(state, "Running", &s->running, err) < 0 ||
	    json_opt_bool(state, "Restarting", &s->restarting, err) < 0 ||
	    json_opt_bool(state, "OOMKilled", &s->oom_killed, err) < 0 ||
	    json_opt_int(state, "ExitCode", INT32_MIN, INT32_MAX, &exit_code, err) < 0)
		return -1;
	copy_text(s->status, sizeof s->status, status);
	s->exit_code = (int)exit_code;
	s->started_ms = time_parse(started);
	read_health(json_get(state, "Health"), s);
	return 0;
}

static const char *network_address(const struct json *network)
{
	const char *address = json_string(json_get(network, "IPAddress"));

	if (!address || !*address)
		address = json_string(json_get(network, "GlobalIPv6Address"));
	return address && *address ? address : NULL;
}

/* On the network that the container was made for, else on the first that gave it one. */
static const char *own_address(const struct json *inspect, const char *mode)
{
	const struct json *networks = json_get(json_get(inspect, "NetworkSettings"), "Networks");
	const char *address =
		network_address(json_get(networks, streq(mode, "default") ? "bridge" : mode));

	for (const struct json *v = json_first(networks); v && !address; v = json_next(v))
		address = network_address(v);
	return address;
}

static void read_labels(const struct json *labels, struct container_state *s)
{
	const struct {
		const char *name;
		char **out;
	} ours[] = {
		{ "io.berth.image", &s->label_image },
		{ "io.berth.digest", &s->label_digest },
		{ "io.berth.config", &s->label_config },
		{ "io.berth.name", &s->label_name },
		{ "io.berth.generation", &s->label_generation },
	};

	for (size_t i = 0; i < ARRAY_LEN(ours); i++)
		*ours[i].out = xstrdup(json_string(json_get(labels, ours[i].name)));
}

static int fetch(struct docker *d, const char *name, int64_t timeout_ms, struct json **out, struct err *err)
{
	CLEANUP(freep) char *escaped = docker_escape(name);
	CLEANUP(freep) char *path = xasprintf("/containers/%s/json", escaped);

	return docker_call_for(d, "GET", path, NULL, timeout_ms, out, err);
}

static int read_inspect(const struct json *inspect, struct container_state *s, struct err *err)
{
	const struct json *state = NULL, *config = NULL, *host = NULL;
	const char *id = NULL, *name = NULL, *image = NULL, *mode = NULL;
	int64_t restarts = 0;

	if (json_str(inspect, "Id", &id, err) < 0 || json_str(inspect, "Name", &name, err) < 0 ||
	    json_str(inspect, "Image", &image, err) < 0 ||
	    json_object(inspect, "State", &state, err) < 0 ||
	    json_object(inspect, "Config", &config, err) < 0 ||
	    json_object(inspect, "HostConfig", &host, err) < 0 ||
	    json_opt_str(host, "NetworkMode", &mode, err) < 0 ||
	    json_opt_int(inspect, "RestartCount", 0, INT32_MAX, &restarts, err) < 0 ||
	    read_state(state, s, err) < 0)
		return -1;
	copy_text(s->id, sizeof s->id, id);
	copy_text(s->name, sizeof s->name, *name == '/' ? name + 1 : name);
	/* Podman leaves the algorithm out. */
	(void)snprintf(s->image_id, sizeof s->image_id, "%s%s",
		       strchr(image, ':') ? "" : "sha256:", image);
	s->restart_count = (int)restarts;
	s->host_network = streq(mode, "host");
	copy_text(s->address, sizeof s->address, own_address(inspect, mode ? mode : ""));
	read_labels(json_get(config, "Labels"), s);
	return 0;
}

/*
 * --network container:X: the address is that container's. Failure leaves it empty: X may be gone.
 */
static void borrow_address(struct docker *d, struct container_state *s, int64_t timeout_ms)
{
	const char *mode = json_string(json_get(json_get(s->inspect, "HostConfig"), "NetworkMode"));
	const char *other = mode ? skip_prefix(mode, "container:") : NULL;
	CLEANUP(json_freep) struct json *inspect = NULL;
	struct err ignored;

	if (!other || fetch(d, other, timeout_ms, &inspect, &ignored) < 0)
		return;
	mode = json_string(json_get(json_get(inspect, "HostConfig"), "NetworkMode"));
	s->host_network = streq(mode, "host");
	copy_text(s->address, sizeof s->address, own_address(inspect, mode ? mode : ""));
}

int container_inspect(struct docker *d, const char *name, struct container_state *out, struct err *err)
{
	return container_inspect_for(d, name, DOCKER_TIMEOUT_MS, out, err);
}

int container_inspect_for(struct docker *d, const char *name, int64_t timeout_ms, struct container_state *out,
			  struct err *err)
{
	struct container_state s = { 0 };

	if (fetch(d, name, timeout_ms, &s.inspect, err) < 0)
		return err_wrap(err, "inspect container %s", name);
	if (read_inspect(s.inspect, &s, err) < 0) {
		container_state_clear(&s);
		return err_wrap(err, "inspect container %s: Docker's answer", name);
	}
	borrow_address(d, &s, timeout_ms);
	*out = s;
	return 0;
}

void container_state_clear(struct container_state *s)
{
	free(s->label_image);
	free(s->label_digest);
	free(s->label_config);
	free(s->label_name);
	free(s->label_generation);
	json_free(s->inspect);
	*s = (struct container_state){ 0 };
}
