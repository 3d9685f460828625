#include "oci/reference.h"

#include "base/mem.h"
#include "oci/digest.h"

/*
 * The grammar and the familiar forms are those of distribution/reference, which
 * docker and containerd use. What docker reads and fails on only later is refused
 * here: a port outside 1 to 65535, an upper-case word that docker takes for a host
 * ("Foo/bar"), a dotted first component that no host can be ("foo_bar.com/x").
 */
#define HUB_HOST "docker.io"
#define HUB_INDEX_HOST "index.docker.io"
#define HUB_API_HOST "registry-1.docker.io"
#define HUB_OFFICIAL "library/"
#define DEFAULT_TAG "latest"

#define TAG_MAX_CHARS 128   /* distribution-spec: [a-zA-Z0-9_][a-zA-Z0-9._-]{0,127} */
#define IDENTIFIER_CHARS 64 /* an image ID that docker would take for one */

static const char digits[] = "0123456789";
static const char lower[] = "abcdefghijklmnopqrstuvwxyz0123456789";
static const char alphanumeric[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";

/* A piece of the text. */
struct part {
	const char *at;
	size_t len;
};

static struct part part_of(const char *s)
{
	return (struct part){ s, strlen(s) };
}

static bool one_of(char c, const char *set)
{
	return c && strchr(set, c);
}

static bool all_of(struct part p, const char *set)
{
	for (size_t i = 0; i < p.len; i++)
		if (!one_of(p.at[i], set))
			return false;
	return p.len > 0;
}

static bool has(struct part p, char c)
{
	return memchr(p.at, c, p.len);
}

/* Splits at the first c: *head before it, *rest behind it. False and unchanged when there is none.
 */
static bool cut(struct part *rest, char c, struct part *head)
{
	const char *at = memchr(rest->at, c, rest->len);

	if (!at)
		return false;
	*head = (struct part){ rest->at, (size_t)(at - rest->at) };
	*rest = (struct part){ at + 1, rest->len - head->len - 1 };
	return true;
}

static bool valid_host_label(struct part p)
{
	if (!p.len || !one_of(p.at[0], alphanumeric) || !one_of(p.at[p.len - 1], alphanumeric))
		return false;
	for (size_t i = 0; i < p.len; i++)
		if (p.at[i] != '-' && !one_of(p.at[i], alphanumeric))
			return false;
	return true;
}

static bool valid_port(struct part p)
{
	unsigned long port = 0;

	if (!all_of(p, digits))
		return false;
	for (size_t i = 0; i < p.len && port <= 65535; i++)
		port = port * 10 + (unsigned long)(p.at[i] - '0');
	return port >= 1 && port <= 65535;
}

/* name[:port] or [IPv6][:port]; an IPv6 address is only checked for its characters, as upstream
 * does. */
static bool valid_host(struct part p)
{
	struct part head;

	if (p.len && p.at[0] == '[') {
		p = (struct part){ p.at + 1, p.len - 1 };
		if (!cut(&p, ']', &head) || !all_of(head, "0123456789abcdefABCDEF:"))
			return false;
		return !p.len ||
		       (p.at[0] == ':' && valid_port((struct part){ p.at + 1, p.len - 1 }));
	}
	struct part name = p;
	if (cut(&p, ':', &name) && !valid_port(p))
		return false;
	while (cut(&name, '.', &head))
		if (!valid_host_label(head))
			return false;
	return valid_host_label(name);
}

/* alpha-numeric runs, between them one of: ".", "_", "__", "-"... */
static bool valid_path_component(struct part p)
{
	size_t i = 0;

	for (;;) {
		size_t from = i;
		while (i < p.len && one_of(p.at[i], lower))
			i++;
		if (i == from)
			return false;
		if (i == p.len)
			return true;
		char separator = p.at[i];
		from = i;
		while (i < p.len && p.at[i] == separator)
			i++;
		size_t n = i - from;
		if (!one_of(separator, "._-") || (separator == '.' && n > 1) ||
		    (separator == '_' && n > 2))
			return false;
	}
}

static int check_path(struct part path, struct err *err)
{
	struct part rest = path, component;
	bool more;

	for (size_t i = 0; i < path.len; i++)
		if (path.at[i] >= 'A' && path.at[i] <= 'Z')
			return err_set(err, ERR_USAGE, "repository \"%.*s\" is not lower-case",
				       (int)path.len, path.at);
	if (path.len > REPOSITORY_MAX_BYTES)
		return err_set(err, ERR_USAGE,
			       "repository of %zu characters; at most %d are allowed", path.len,
			       REPOSITORY_MAX_BYTES);
	if (!path.len)
		return err_set(err, ERR_USAGE, "the repository is missing");
	do {
		more = cut(&rest, '/', &component);
		if (!more)
			component = rest;
		if (!valid_path_component(component))
			return err_set(err, ERR_USAGE,
				       "\"%.*s\" cannot be part of a repository's name",
				       (int)component.len, component.at);
	} while (more);
	return 0;
}

static int check_tag(struct part tag, struct err *err)
{
	if (tag.len < 1 || tag.len > TAG_MAX_CHARS)
		return err_set(err, ERR_USAGE, "a tag has 1 to %d characters, not %zu",
			       TAG_MAX_CHARS, tag.len);
	for (size_t i = 0; i < tag.len; i++)
		if (!one_of(tag.at[i], alphanumeric) && tag.at[i] != '_' &&
		    (!i || !one_of(tag.at[i], ".-")))
			return err_set(err, ERR_USAGE, "\"%.*s\" is not a tag", (int)tag.len,
				       tag.at);
	return 0;
}

static bool is_localhost(struct part p)
{
	return p.len == strlen("localhost") && strncasecmp(p.at, "localhost", p.len) == 0;
}

/*
 * What stands before the first slash is a host when it is "localhost", has a dot
 * or a colon, or (docker's way) has an upper-case letter: repositories have none.
 */
static bool is_host(struct part p)
{
	for (size_t i = 0; i < p.len; i++)
		if (p.at[i] >= 'A' && p.at[i] <= 'Z')
			return true;
	return is_localhost(p) || has(p, '.') || has(p, ':');
}

static int check_host(struct part host, struct err *err)
{
	if (!valid_host(host))
		return err_set(err, ERR_USAGE, "\"%.*s\" is not a host with an optional port",
			       (int)host.len, host.at);
	if (!is_localhost(host) && !has(host, '.') && !has(host, ':'))
		return err_set(err, ERR_USAGE,
			       "\"%.*s\" is neither lower-case nor a host with a dot or a port",
			       (int)host.len, host.at);
	return 0;
}

static char *lower_case(struct part p)
{
	char *s = xstrndup(p.at, p.len);

	for (char *c = s; *c; c++)
		if (*c >= 'A' && *c <= 'Z')
			*c = (char)(*c | 0x20);
	return s;
}

static int parse_name(struct part name, struct reference *out, struct err *err)
{
	struct part path = name, host;

	if (!cut(&path, '/', &host) || !is_host(host)) {
		path = name;
		host = part_of(HUB_HOST);
	}
	if (check_host(host, err) < 0 || check_path(path, err) < 0)
		return -1;
	out->host = lower_case(host);
	if (streq(out->host, HUB_INDEX_HOST)) {
		free(out->host);
		out->host = xstrdup(HUB_HOST);
	}
	bool official = streq(out->host, HUB_HOST) && !has(path, '/');
	out->repository = xasprintf("%s%.*s", official ? HUB_OFFICIAL : "", (int)path.len, path.at);
	return 0;
}

static int parse_tag(struct part *name, struct reference *out, struct err *err)
{
	/* A tag's colon is behind the last slash; one before it belongs to the host's port. */
	const char *slash = memrchr(name->at, '/', name->len);
	struct part tag = *name, head;

	if (slash)
		tag = (struct part){ slash + 1, (size_t)(name->at + name->len - slash - 1) };
	if (!cut(&tag, ':', &head))
		return 0;
	if (check_tag(tag, err) < 0)
		return -1;
	out->tag = xstrndup(tag.at, tag.len);
	name->len -= tag.len + 1;
	return 0;
}

static int parse_digest(struct part *name, struct reference *out, struct err *err)
{
	struct part rest = *name;
	struct digest d;

	if (!cut(&rest, '@', name))
		return 0;
	if (digest_parse(rest.at, rest.len, &d, err) < 0) {
		err->kind = ERR_USAGE; /* it stands on the command line */
		return -1;
	}
	out->digest = xstrdup(d.text);
	return 0;
}

static int parse(const char *text, struct reference *out, struct err *err)
{
	struct part name = part_of(text);

	if (name.len == IDENTIFIER_CHARS && all_of(name, "0123456789abcdef"))
		return err_set(err, ERR_USAGE, "this is an image ID, not a name");
	if (strstr(text, "://"))
		return err_set(err, ERR_USAGE, "an image's name has no \"https://\"");
	if (parse_digest(&name, out, err) < 0 || parse_tag(&name, out, err) < 0 ||
	    parse_name(name, out, err) < 0)
		return -1;
	if (!out->tag && !out->digest)
		out->tag = xstrdup(DEFAULT_TAG);
	return 0;
}

int reference_parse(const char *text, struct reference *out, struct err *err)
{
	CLEANUP(reference_free) struct reference ref = { 0 };
	size_t len = strlen(text);

	if (!len)
		return err_set(err, ERR_USAGE, "image: the name is empty");
	if (len > REFERENCE_MAX_BYTES)
		return err_set(err, ERR_USAGE, "image: %zu characters; at most %d are read", len,
			       REFERENCE_MAX_BYTES);
	if (parse(text, &ref, err) < 0)
		return err_wrap(err, "image \"%.160s\"", text);
	*out = ref;
	ref = (struct reference){ 0 };
	return 0;
}

void reference_free(struct reference *ref)
{
	free(ref->host);
	free(ref->repository);
	free(ref->tag);
	free(ref->digest);
	*ref = (struct reference){ 0 };
}

void reference_copy(struct reference *to, const struct reference *from)
{
	*to = (struct reference){
		.host = xstrdup(from->host),
		.repository = xstrdup(from->repository),
		.tag = xstrdup(from->tag),
		.digest = xstrdup(from->digest),
	};
}

static char *joined(const struct reference *ref, const char *host, const char *repository)
{
	return xasprintf("%s%s%s%s%s%s%s", host, *host ? "/" : "", repository, ref->tag ? ":" : "",
			 ref->tag ? ref->tag : "", ref->digest ? "@" : "",
			 ref->digest ? ref->digest : "");
}

char *reference_str(const struct reference *ref)
{
	return joined(ref, ref->host, ref->repository);
}

char *reference_familiar(const struct reference *ref)
{
	if (!streq(ref->host, HUB_HOST))
		return reference_str(ref);
	const char *official = skip_prefix(ref->repository, HUB_OFFICIAL);
	return joined(ref, "", official && !strchr(official, '/') ? official : ref->repository);
}

const char *reference_manifest_key(const struct reference *ref)
{
	return ref->digest ? ref->digest : ref->tag;
}

const char *reference_api_host(const struct reference *ref)
{
	return streq(ref->host, HUB_HOST) ? HUB_API_HOST : ref->host;
}

const char *reference_name(const struct reference *ref)
{
	const char *slash = strrchr(ref->repository, '/');

	return slash ? slash + 1 : ref->repository;
}
