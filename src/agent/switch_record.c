#include <arpa/inet.h>

#include "agent/nat.h"
#include "agent/switch_internal.h"
#include "base/fs.h"
#include "base/json.h"

static const struct json_limits limits = { SWITCH_FILE_MAX_BYTES, 4, (size_t)8 * SWITCH_ENDPOINTS_MAX };

void switch_record_clear(struct switch_record *r)
{
	free(r->endpoints);
	*r = (struct switch_record){ 0 };
}

void switch_paths_make(const char *run_dir, const char *name, struct switch_paths *out)
{
	*out = (struct switch_paths){
		.directory = xasprintf("%s/switch", run_dir),
		.record = xasprintf("%s/switch/%s.json", run_dir, name),
		.lock = xasprintf("%s/switch/%s.lock", run_dir, name),
		.follower = xasprintf("%s/switch/%s.listener", run_dir, name),
		.follower_lock = xasprintf("%s/switch/%s.listening", run_dir, name),
	};
}

void switch_paths_clear(struct switch_paths *p)
{
	free(p->directory);
	free(p->record);
	free(p->lock);
	free(p->follower);
	free(p->follower_lock);
	*p = (struct switch_paths){ 0 };
}

static int text_of(const struct json *o, const char *name, char *out, size_t size, struct err *err)
{
	const char *s;

	if (json_str(o, name, &s, err) < 0)
		return -1;
	if (strlen(s) >= size)
		return err_set(err, ERR_PROTOCOL, "%s: too long", name);
	(void)snprintf(out, size, "%s", s);
	return 0;
}

static int parse_endpoint(const struct json *v, struct switch_endpoint *out, struct err *err)
{
	int64_t host_port, container_port;
	struct switch_endpoint e = { 0 };
	struct in6_addr scratch;
	char proto[4];

	if (text_of(v, "host_ip", e.host_ip, sizeof e.host_ip, err) < 0 ||
	    text_of(v, "proto", proto, sizeof proto, err) < 0 ||
	    json_int(v, "host_port", 1, UINT16_MAX, &host_port, err) < 0 ||
	    json_int(v, "container_port", 1, UINT16_MAX, &container_port, err) < 0)
		return -1;
	if (*e.host_ip && inet_pton(AF_INET, e.host_ip, &scratch) != 1 && inet_pton(AF_INET6, e.host_ip, &scratch) != 1)
		return err_set(err, ERR_PROTOCOL, "host_ip: no IP address");
	e.udp = streq(proto, "udp");
	if (!e.udp && !streq(proto, "tcp"))
		return err_set(err, ERR_PROTOCOL, "proto: neither tcp nor udp");
	e.host_port = (uint16_t)host_port;
	e.container_port = (uint16_t)container_port;
	*out = e;
	return 0;
}

static int parse_endpoints(const struct json *list, struct switch_record *r, struct err *err)
{
	if (json_count(list) > SWITCH_ENDPOINTS_MAX)
		return err_set(err, ERR_PROTOCOL, "too many endpoints");
	r->endpoints = xcalloc(json_count(list) + 1, sizeof *r->endpoints);
	for (const struct json *v = json_first(list); v; v = json_next(v))
		if (parse_endpoint(v, &r->endpoints[r->n++], err) < 0)
			return -1;
	return 0;
}

int switch_record_parse(const char *text, size_t len, struct switch_record *out, struct err *err)
{
	CLEANUP(json_freep) struct json *root = NULL;
	CLEANUP(switch_record_clear) struct switch_record r = { 0 };
	const struct json *list;
	struct in_addr scratch;

	if (json_parse(text, len, &limits, &root, err) < 0 ||
	    json_int(root, "serial", 1, INT64_C(1) << 52, &r.serial, err) < 0 ||
	    json_int(root, "moved_ms", 0, INT64_C(1) << 52, &r.moved_ms, err) < 0 ||
	    text_of(root, "container", r.target.container, sizeof r.target.container, err) < 0 ||
	    text_of(root, "address", r.target.address, sizeof r.target.address, err) < 0 ||
	    text_of(root, "flavour", r.flavour, sizeof r.flavour, err) < 0 ||
	    json_array(root, "endpoints", &list, err) < 0 || parse_endpoints(list, &r, err) < 0)
		return -1;
	if (*r.target.address && inet_pton(AF_INET, r.target.address, &scratch) != 1)
		return err_set(err, ERR_PROTOCOL, "address: no IPv4 address");
	if (r.flavour[strspn(r.flavour, "abcdefghijklmnopqrstuvwxyz-")])
		return err_set(err, ERR_PROTOCOL, "flavour: no name of a program");
	*out = r;
	r = (struct switch_record){ 0 };
	return 0;
}

char *switch_record_print(const struct switch_record *r)
{
	CLEANUP(json_freep) struct json *root = json_new_object();
	struct json *list = json_ensure_array(root, "endpoints");

	json_set_int(root, "serial", r->serial);
	json_set_int(root, "moved_ms", r->moved_ms);
	json_set_str(root, "container", r->target.container);
	json_set_str(root, "address", r->target.address);
	json_set_str(root, "flavour", r->flavour);
	for (size_t i = 0; i < r->n; i++) {
		const struct switch_endpoint *e = &r->endpoints[i];
		struct json *v = json_new_object();
		json_set_str(v, "host_ip", e->host_ip);
		json_set_int(v, "host_port", e->host_port);
		json_set_int(v, "container_port", e->container_port);
		json_set_str(v, "proto", e->udp ? "udp" : "tcp");
		json_add(list, v);
	}
	return json_print(root, true);
}

int switch_record_read(const char *path, struct switch_record *out, struct err *err)
{
	CLEANUP(buf_free) struct buf text = BUF_INIT(SWITCH_FILE_MAX_BYTES);

	if (fs_read(path, &text, err) < 0)
		return -1;
	return switch_record_parse(buf_str(&text), text.len, out, err) < 0 ? err_wrap(err, "%s", path) : 0;
}

int switch_record_write(const char *path, const struct switch_record *r, struct err *err)
{
	CLEANUP(freep) char *text = switch_record_print(r);

	return fs_write_atomic(path, text, strlen(text), 0644, err);
}

int switch_follower_read(const char *path, struct switch_follower *out, struct err *err)
{
	CLEANUP(buf_free) struct buf text = BUF_INIT(SWITCH_FILE_MAX_BYTES);
	CLEANUP(json_freep) struct json *root = NULL;
	struct switch_follower f = { 0 };

	if (fs_read(path, &text, err) < 0)
		return -1;
	if (json_parse(buf_str(&text), text.len, &limits, &root, err) < 0 ||
	    json_int(root, "serial", 0, INT64_C(1) << 52, &f.serial, err) < 0 ||
	    text_of(root, "problem", f.problem, sizeof f.problem, err) < 0)
		return err_wrap(err, "%s", path);
	*out = f;
	return 0;
}

int switch_follower_write(const char *path, const struct switch_follower *f, struct err *err)
{
	CLEANUP(json_freep) struct json *root = json_new_object();

	json_set_int(root, "serial", f->serial);
	json_set_str(root, "problem", f->problem);
	CLEANUP(freep) char *text = json_print(root, true);
	return fs_write_atomic(path, text, strlen(text), 0644, err);
}

static bool for_nat(const struct switch_endpoint *e)
{
	return !*e->host_ip || (!strchr(e->host_ip, ':') && !skip_prefix(e->host_ip, "127."));
}

void switch_plan(const char *name, const struct switch_record *r, struct nat_plan *out)
{
	struct err ignored;

	*out = (struct nat_plan){ 0 };
	nat_chain(name, out->chain);
	if (!*r->target.address || nat_bridge(r->target.address, out->bridge, &ignored) < 0)
		return;
	(void)snprintf(out->to, sizeof out->to, "%.15s", r->target.address);
	out->rules = xcalloc(r->n + 1, sizeof *out->rules);
	for (size_t i = 0; i < r->n; i++) {
		const struct switch_endpoint *e = &r->endpoints[i];
		struct nat_rule rule = { .port = e->host_port, .to_port = e->container_port, .udp = e->udp };
		if (!for_nat(e))
			continue;
		if (!streq(e->host_ip, "0.0.0.0"))
			(void)snprintf(rule.address, sizeof rule.address, "%.15s", e->host_ip);
		out->rules[out->n++] = rule;
	}
}
