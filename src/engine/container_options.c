#include "engine/container_options.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>

/* What JSON's numbers carry exactly (RFC 8259 §6). */
#define INTEGER_MAX ((INT64_C(1) << 53) - 1)

#define NANO INT64_C(1000000000)
#define NANO_DIGITS 9

int option_config_string(struct container_builder *b, const struct container_option *o,
			 const char *text, struct err *err)
{
	(void)err; /* any string will do */
	json_set_str(b->body, o->key, text);
	return 0;
}

int option_host_item(struct container_builder *b, const struct container_option *o,
		     const char *text, struct err *err)
{
	(void)err; /* the daemon knows which names there are */
	json_add_str(json_ensure_array(b->host, o->key), text);
	return 0;
}

int option_host_true(struct container_builder *b, const struct container_option *o,
		     const char *text, struct err *err)
{
	(void)text;
	(void)err; /* present is all there is */
	json_set_bool(b->host, o->key, true);
	return 0;
}

int option_integer(const char *text, int64_t *out, struct err *err)
{
	char *end;

	errno = 0;
	intmax_t v = strtoimax(text, &end, 10);
	if (end == text || *end || isspace((unsigned char)*text) || errno || v > INTEGER_MAX ||
	    v < -INTEGER_MAX)
		return err_set(err, ERR_USAGE, "\"%s\" is no whole number", text);
	*out = v;
	return 0;
}

/* The exponent of 1024 that a unit stands for ("", "b", "k", "kb", "KiB" …), or -1. */
static int unit_power(const char *unit)
{
	static const char letters[] = "bkmgtp";
	const char *at = *unit ? strchr(letters, tolower((unsigned char)*unit)) : letters;

	if (!at || !*at)
		return -1;
	if (!*unit || !unit[1])
		return (int)(at - letters);
	if (at == letters) /* nothing follows "b" */
		return -1;
	return strcasecmp(unit + 1, "b") == 0 || strcasecmp(unit + 1, "ib") == 0
		       ? (int)(at - letters)
		       : -1;
}

/* go-units RAMInBytes: "512m", "1.5g", "64 MiB", "1024". */
static int bytes_parse(const char *text, int64_t *out, struct err *err)
{
	size_t digits = strspn(text, "0123456789.");
	const char *unit = text + digits;
	char *end;

	double v = strtod(text, &end);
	if (*unit == ' ')
		unit++;
	int power = unit_power(unit);
	if (!digits || end != text + digits || power < 0)
		return err_set(err, ERR_USAGE, "\"%s\" is no size; write 512m or 1.5g", text);
	for (; power > 0; power--)
		v *= 1024;
	if (v > (double)INTEGER_MAX)
		return err_set(err, ERR_USAGE, "\"%s\" is too large", text);
	*out = (int64_t)v;
	return 0;
}

int option_host_bytes(struct container_builder *b, const struct container_option *o,
		      const char *text, struct err *err)
{
	int64_t bytes = 0;

	if (bytes_parse(text, &bytes, err) < 0)
		return -1;
	json_set_int(b->host, o->key, bytes);
	return 0;
}

/*
 * "1.5" as 1500000000; digits behind the ninth would be lost, so they are refused, as Docker does.
 */
int option_cpus(struct container_builder *b, const struct container_option *o, const char *text,
		struct err *err)
{
	size_t whole = strspn(text, "0123456789");
	const char *dot = text[whole] == '.' ? text + whole : NULL;
	size_t fraction = dot ? strspn(dot + 1, "0123456789") : 0;
	int64_t nano = 0;

	if (!(whole + fraction) || text[whole + (dot ? 1 : 0) + fraction])
		return err_set(err, ERR_USAGE, "\"%s\" is no number of CPUs; write 1.5", text);
	while (fraction && dot[fraction] == '0')
		fraction--;
	if (fraction > NANO_DIGITS)
		return err_set(err, ERR_USAGE, "\"%s\" has more than nine decimals", text);
	for (size_t i = 0; i < whole; i++)
		if ((nano = nano * 10 + (text[i] - '0')) > INTEGER_MAX / NANO)
			return err_set(err, ERR_USAGE, "\"%s\" is too large", text);
	for (size_t i = 1; i <= NANO_DIGITS; i++)
		nano = nano * 10 + (i <= fraction ? dot[i] - '0' : 0);
	json_set_int(b->host, o->key, nano);
	return 0;
}

/* "" resets the image's entrypoint: Docker takes [""] for that. */
int option_entrypoint(struct container_builder *b, const struct container_option *o,
		      const char *text, struct err *err)
{
	(void)err; /* any string will do */
	json_remove(b->body, o->key);
	json_add_str(json_ensure_array(b->body, o->key), text);
	return 0;
}

int option_restart(struct container_builder *b, const struct container_option *o, const char *text,
		   struct err *err)
{
	static const struct {
		const char *name;
		bool retries;
	} policies[] = { { "no", false },
			 { "on-failure", true },
			 { "always", false },
			 { "unless-stopped", false } };
	struct json *policy;
	int64_t retries = 0;

	for (size_t i = 0; i < ARRAY_LEN(policies); i++) {
		const char *rest = skip_prefix(text, policies[i].name);
		if (!rest || (*rest && (*rest != ':' || !policies[i].retries)))
			continue;
		if (*rest && rest[1] &&
		    (option_integer(rest + 1, &retries, err) < 0 || retries < 0 ||
		     retries > INT32_MAX))
			break;
		policy = json_ensure_object(b->host, o->key);
		json_set_str(policy, "Name", policies[i].name);
		json_set_int(policy, "MaximumRetryCount", retries);
		return 0;
	}
	return err_set(err, ERR_USAGE,
		       "\"%s\" is none of no, on-failure[:N], always, unless-stopped", text);
}

/* By name, so that the body lists them sorted, whatever the order of the flags. */
static const char *const ulimit_names[ULIMIT_NAMES] = {
	"core",   "cpu",   "data", "fsize",  "locks",  "memlock",    "msgqueue", "nice",
	"nofile", "nproc", "rss",  "rtprio", "rttime", "sigpending", "stack",
};

static int ulimit_values(const char *text, struct ulimit *out, struct err *err)
{
	CLEANUP(freep) char *copy = xstrdup(text);
	char *colon = strchr(copy, ':');
	struct ulimit u = { .set = true };

	if (colon)
		*colon = '\0';
	if (option_integer(copy, &u.soft, err) < 0 ||
	    option_integer(colon ? colon + 1 : copy, &u.hard, err) < 0)
		return -1;
	if (u.soft < -1 || u.hard < -1)
		return err_set(err, ERR_USAGE, "limits are numbers from 0, or -1 for unlimited");
	if (u.hard != -1 && (u.soft == -1 || u.soft > u.hard))
		return err_set(err, ERR_USAGE, "the soft limit is above the hard one");
	*out = u;
	return 0;
}

int option_ulimit(struct container_builder *b, const struct container_option *o, const char *text,
		  struct err *err)
{
	const char *equals = strchr(text, '=');
	size_t len = equals ? (size_t)(equals - text) : 0;

	(void)o; /* one flag has this form */
	if (!equals)
		return err_set(err, ERR_USAGE, "\"%s\" is not NAME=SOFT[:HARD]", text);
	for (size_t i = 0; i < ULIMIT_NAMES; i++) {
		if (strlen(ulimit_names[i]) != len || memcmp(ulimit_names[i], text, len) != 0)
			continue;
		if (ulimit_values(equals + 1, &b->ulimits[i], err) < 0)
			return err_wrap(err, "%s", text);
		return 0;
	}
	return err_set(err, ERR_USAGE, "\"%.*s\" is no resource limit", (int)len, text);
}

void option_ulimits_end(struct container_builder *b)
{
	for (size_t i = 0; i < ULIMIT_NAMES; i++) {
		if (!b->ulimits[i].set)
			continue;
		struct json *u = json_new_object();
		json_set_str(u, "Name", ulimit_names[i]);
		json_set_int(u, "Soft", b->ulimits[i].soft);
		json_set_int(u, "Hard", b->ulimits[i].hard);
		json_add(json_ensure_array(b->host, "Ulimits"), u);
	}
}

int option_network(struct container_builder *b, const struct container_option *o, const char *text,
		   struct err *err)
{
	if (!*text)
		return err_set(err, ERR_USAGE, "no name given");
	if (strchr(text, '=')) {
		(void)err_set(err, ERR_USAGE,
			      "\"%s\": only host, none, bridge, container:NAME or a network's name",
			      text);
		return err_hint(
			err,
			"put aliases and addresses into --container-json, below NetworkingConfig");
	}
	json_set_str(b->host, o->key, text);
	return 0;
}

static bool is_ip_address(const char *text)
{
	unsigned char raw[sizeof(struct in6_addr)];

	return inet_pton(AF_INET, text, raw) == 1 || inet_pton(AF_INET6, text, raw) == 1;
}

/* "HOST:IP" or "HOST=IP", IP possibly in brackets; the engine gets "HOST:IP". */
int option_add_host(struct container_builder *b, const struct container_option *o, const char *text,
		    struct err *err)
{
	const char *cut = strchr(text, '=') ?: strchr(text, ':');
	size_t host_len = cut ? (size_t)(cut - text) : 0;

	if (!host_len || memchr(text, ':', host_len))
		return err_set(err, ERR_USAGE, "\"%s\" is not HOST:IP", text);
	CLEANUP(freep) char *ip = xstrdup(cut + 1);
	size_t ip_len = strlen(ip);
	if (ip_len > 2 && ip[0] == '[' && ip[ip_len - 1] == ']') {
		ip[ip_len - 1] = '\0';
		memmove(ip, ip + 1, ip_len - 1);
	}
	if (!streq(ip, "host-gateway") && !is_ip_address(ip))
		return err_set(err, ERR_USAGE,
			       "\"%s\": \"%s\" is neither an IP address nor host-gateway", text,
			       ip);
	CLEANUP(freep) char *entry = xasprintf("%.*s:%s", (int)host_len, text, ip);
	json_add_str(json_ensure_array(b->host, o->key), entry);
	return 0;
}
