#include <arpa/inet.h>

#include "base/mem.h"
#include "engine/container.h"
#include "engine/container_options.h"

#define PORT_MAX_DIGITS 5

/* Docker runs a process and several firewall rules for each: 10,000 (media servers) take minutes. */
#define RANGE_MAX_PORTS 16384

struct range {
	uint16_t first, last;
};

static int port_number(const char *text, size_t len, uint16_t *out)
{
	uint32_t v = 0;

	if (!len || len > PORT_MAX_DIGITS)
		return -1;
	for (size_t i = 0; i < len; i++) {
		if (text[i] < '0' || text[i] > '9')
			return -1;
		v = v * 10 + (uint32_t)(text[i] - '0');
	}
	if (v > UINT16_MAX)
		return -1;
	*out = (uint16_t)v;
	return 0;
}

static int port_range(const char *text, size_t len, struct range *out)
{
	const char *dash = memchr(text, '-', len);
	size_t first_len = dash ? (size_t)(dash - text) : len;
	struct range r;

	if (port_number(text, first_len, &r.first) < 0)
		return -1;
	r.last = r.first;
	if (dash && (port_number(dash + 1, len - first_len - 1, &r.last) < 0 || r.last < r.first))
		return -1;
	*out = r;
	return 0;
}

/* "[::1]" and "::1" both stand for ::1, as in Docker's command line. */
static int host_ip(const char *text, size_t len, char out[46])
{
	struct in6_addr v6;
	struct in_addr v4;
	char ip[46];

	if (len >= 2 && text[0] == '[' && text[len - 1] == ']') {
		text++;
		len -= 2;
	}
	if (len >= sizeof ip)
		return -1;
	memcpy(ip, text, len);
	ip[len] = '\0';
	if (inet_pton(AF_INET, ip, &v4) != 1 && inet_pton(AF_INET6, ip, &v6) != 1)
		return -1;
	memcpy(out, ip, len + 1);
	return 0;
}

static const char *last_colon(const char *from, const char *to)
{
	while (to > from)
		if (*--to == ':')
			return to;
	return NULL;
}

/* *end is moved back to the slash. */
static int protocol(const char *text, const char **end, char out[5])
{
	static const char *const known[] = { "tcp", "udp", "sctp" };
	const char *slash = strchr(text, '/');
	const char *name = slash && slash[1] ? slash + 1 : "tcp";

	for (size_t i = 0; i < ARRAY_LEN(known); i++) {
		if (strcasecmp(name, known[i]) != 0)
			continue;
		memcpy(out, known[i], strlen(known[i]) + 1);
		*end = slash ? slash : text + strlen(text);
		return 0;
	}
	return -1;
}

static void append(struct published_port **out, size_t *n, const struct published_port *p)
{
	*out = xreallocarray(*out, *n + 1, sizeof **out);
	(*out)[(*n)++] = *p;
}

int publish_parse(const char *text, struct published_port **out, size_t *n, struct err *err)
{
	struct published_port p = { .host_ip = "" };
	struct range container, host = { 0, 0 };
	const char *end = NULL;

	if (protocol(text, &end, p.proto) < 0)
		return err_set(err, ERR_USAGE, "\"%s\": the protocol is tcp, udp or sctp", text);
	const char *colon = last_colon(text, end);
	const char *port = colon ? colon + 1 : text;
	if (port_range(port, (size_t)(end - port), &container) < 0 || !container.first)
		return err_set(err, ERR_USAGE, "\"%s\": \"%.*s\" is no container port", text,
			       (int)(end - port), port);
	if (colon) {
		const char *before = last_colon(text, colon);
		port = before ? before + 1 : text;
		if (port < colon && port_range(port, (size_t)(colon - port), &host) < 0)
			return err_set(err, ERR_USAGE, "\"%s\": \"%.*s\" is no host port", text,
				       (int)(colon - port), port);
		if (before && before > text &&
		    host_ip(text, (size_t)(before - text), p.host_ip) < 0)
			return err_set(err, ERR_USAGE, "\"%s\": \"%.*s\" is no IP address", text,
				       (int)(before - text), text);
	}
	if (container.last - container.first >= RANGE_MAX_PORTS) {
		(void)err_set(err, ERR_USAGE, "\"%s\": more than %d ports", text, RANGE_MAX_PORTS);
		return err_hint(err, "--network host needs no published ports");
	}
	bool several = container.last > container.first;
	if (several && host.last && host.last - host.first != container.last - container.first)
		return err_set(err, ERR_USAGE, "\"%s\": the two ranges differ in length", text);
	for (uint32_t i = 0; i <= (uint32_t)(container.last - container.first); i++) {
		p.container_port = (uint16_t)(container.first + i);
		p.host_port = host.last ? (uint16_t)(host.first + i) : 0;
		p.host_port_end = several || !host.last ? p.host_port : host.last;
		append(out, n, &p);
	}
	return 0;
}

static void add_port(struct json *body, const struct published_port *p)
{
	CLEANUP(freep) char *key = xasprintf("%u/%s", p->container_port, p->proto);
	CLEANUP(freep) char *host =
		p->host_port_end > p->host_port ? xasprintf("%u-%u", p->host_port, p->host_port_end)
						: xasprintf("%u", p->host_port);
	struct json *binding = json_new_object();

	json_set_str(binding, "HostIp", p->host_ip);
	json_set_str(binding, "HostPort", p->host_port ? host : "");
	json_set(json_ensure_object(body, "ExposedPorts"), key, json_new_object());
	struct json *bindings =
		json_ensure_object(json_ensure_object(body, "HostConfig"), "PortBindings");
	json_add(json_ensure_array(bindings, key), binding);
}

int option_publish(struct container_builder *b, const struct container_option *o, const char *text,
		   struct err *err)
{
	CLEANUP(freep) struct published_port *ports = NULL;
	size_t n = 0;

	(void)o; /* one flag has this form */
	if (publish_parse(text, &ports, &n, err) < 0)
		return -1;
	for (size_t i = 0; i < n; i++)
		add_port(b->body, &ports[i]);
	return 0;
}
