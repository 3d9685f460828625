#include "agent/login.h"

#include <errno.h>

#include "aws/ecr.h"
#include "base/fs.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/log.h"

#define DOCKER_HUB_AUTH_KEY "https://index.docker.io/v1/"

static void trim_newline(struct buf *b)
{
	while (b->len && (b->data[b->len - 1] == '\n' || b->data[b->len - 1] == '\r'))
		b->data[--b->len] = '\0';
}

static int password_from_file(const char *path, struct secret *out, struct err *err)
{
	CLEANUP(buf_wipe) struct buf text = BUF_INIT(PASSWORD_MAX_BYTES);

	if (fs_read(path, &text, err) < 0) {
		err->kind = ERR_CONFIG;
		return -1;
	}
	trim_newline(&text);
	if (!text.len)
		return err_set(err, ERR_CONFIG, "%s is empty", path);
	secret_set(out, text.data, text.len);
	return 0;
}

static int password_from_env(const char *name, struct secret *out, struct err *err)
{
	const char *value = getenv(name);

	if (!value || !*value)
		return err_set(err, ERR_CONFIG, "the variable %s is not set", name);
	secret_set(out, value, strlen(value));
	return 0;
}

static const struct {
	const char *prefix;
	int (*read)(const char *rest, struct secret *out, struct err *err);
} sources[] = {
	{ "file:", password_from_file },
	{ "env:", password_from_env },
};

static int read_password(const char *source, struct secret *out, struct err *err)
{
	for (size_t i = 0; i < ARRAY_LEN(sources); i++) {
		const char *rest = skip_prefix(source, sources[i].prefix);
		if (!rest)
			continue;
		if (sources[i].read(rest, out, err) < 0)
			return err_wrap(err, "--registry-password");
		return 0;
	}
	/* The value is not shown: it may be the password itself. */
	err_set(err, ERR_CONFIG, "--registry-password: neither file:PATH nor env:NAME");
	return err_hint(err, "name where the password is, not the password: it would show in the process list");
}

static int from_options(const struct options *o, struct registry_login *out, struct err *err)
{
	const char *user = opt_str(o, OPT_REGISTRY_USER), *source = opt_str(o, OPT_REGISTRY_PASSWORD);

	if (!user && !source)
		return 1;
	if (!user || !source)
		return err_set(err, ERR_CONFIG, "--registry-user and --registry-password go together");
	if (read_password(source, &out->password, err) < 0)
		return -1;
	out->user = xstrdup(user);
	return 0;
}

int login_check(const struct options *options, struct err *err)
{
	struct registry_login login = { 0 };
	int result = from_options(options, &login, err);

	registry_login_clear(&login);
	return result < 0 ? -1 : 0;
}

/* $DOCKER_CONFIG/config.json, $HOME/.docker/config.json, /root/.docker/config.json (user data has no HOME). */
static int read_docker_config(struct buf *out, char **path_out, struct err *err)
{
	const char *dir = getenv("DOCKER_CONFIG"), *home = getenv("HOME");
	CLEANUP(freep) char *in_dir = dir ? xasprintf("%s/config.json", dir) : NULL;
	CLEANUP(freep) char *in_home = home && *home ? xasprintf("%s/.docker/config.json", home) : NULL;
	const char *paths[] = { in_dir, in_home, "/root/.docker/config.json" };

	for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
		if (!paths[i])
			continue;
		if (fs_read(paths[i], out, err) == 0) {
			*path_out = xstrdup(paths[i]);
			return 0;
		}
		if (err->kind != ERR_NOT_FOUND)
			return -1;
		if (dir)
			break; /* $DOCKER_CONFIG replaces the others, as for docker */
	}
	err_clear(err);
	return 1;
}

/* Docker's keys: "host", "https://host", "https://host/v1/"; its own hub under an old URL. */
static const struct json *find_auth(const struct json *auths, const char *host)
{
	CLEANUP(freep) char *url = xasprintf("https://%s", host);
	CLEANUP(freep) char *v1 = xasprintf("https://%s/v1/", host);
	CLEANUP(freep) char *v2 = xasprintf("https://%s/v2/", host);
	const char *keys[] = { streq(host, "docker.io") ? DOCKER_HUB_AUTH_KEY : host, url, v1, v2 };

	for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
		const struct json *auth = json_get(auths, keys[i]);
		if (auth)
			return auth;
	}
	return NULL;
}

static int split_auth(const char *text, struct registry_login *out, struct err *err)
{
	CLEANUP(buf_wipe) struct buf plain = BUF_INIT(PASSWORD_MAX_BYTES);

	if (base64_decode(text, strlen(text), &plain, err) < 0)
		return -1;
	while (plain.len && !plain.data[plain.len - 1])
		plain.len--; /* docker itself trims trailing NULs */
	const char *colon = plain.len ? memchr(plain.data, ':', plain.len) : NULL;
	if (!colon)
		return err_set(err, ERR_CONFIG, "not user:password");
	out->user = xstrndup(plain.data, (size_t)(colon - plain.data));
	secret_set(&out->password, colon + 1, plain.len - (size_t)(colon + 1 - plain.data));
	return 0;
}

static int from_docker_config(const char *host, struct registry_login *out, struct err *err)
{
	CLEANUP(buf_wipe) struct buf text = BUF_INIT(1 * MIB);
	CLEANUP(freep) char *path = NULL;
	CLEANUP(json_freep) struct json *doc = NULL;
	const struct json *auths = NULL;
	const char *encoded = NULL;

	int found = read_docker_config(&text, &path, err);
	if (found != 0)
		return found;
	if (json_parse(buf_str(&text), text.len, &json_default_limits, &doc, err) < 0 ||
	    json_opt_object(doc, "auths", &auths, err) < 0)
		goto bad;
	const struct json *auth = find_auth(auths, host);
	if (!auth)
		return 1;
	if (json_opt_str(auth, "auth", &encoded, err) < 0)
		goto bad;
	if (!encoded || !*encoded)
		return 1; /* kept in a credential store: not ours to ask */
	if (split_auth(encoded, out, err) == 0)
		return 0;
bad:
	err->kind = ERR_CONFIG;
	return err_wrap(err, "%s", path);
}

static int from_ecr(struct context *c, const struct ecr_host *host, struct registry_login *out, struct err *err)
{
	CLEANUP(secret_clear) struct secret user = { 0 };

	if (ecr_login(c->http, c->loop, c->credentials, host, &user, &out->password, err) == 0) {
		out->user = xstrdup(secret_str(&user));
		return 0;
	}
	if (!host->is_public || err->kind == ERR_CANCELLED)
		return -1;
	log_info("public.ecr.aws: going on without login (%s)", err->msg);
	err_clear(err);
	return 0;
}

bool login_is_basic(const struct reference *ref)
{
	struct ecr_host ecr;

	return ecr_host_parse(ref->host, &ecr) && !ecr.is_public;
}

int login_registry(void *arg, bool refresh, struct registry_login *out, struct err *err)
{
	struct login *l = arg;
	struct ecr_host ecr;

	registry_login_clear(out);
	int result = from_options(l->context->options, out, err);
	if (result > 0 && ecr_host_parse(l->ref->host, &ecr))
		result = from_ecr(l->context, &ecr, out, err);
	else if (result > 0)
		result = from_docker_config(l->ref->host, out, err);
	(void)refresh; /* each source is read anew; the AWS layer renews what expires */
	if (result < 0)
		return -1;
	login_clear(l);
	l->last.user = out->user ? xstrdup(out->user) : NULL;
	secret_copy(&l->last.password, &out->password);
	return 0;
}

void login_clear(struct login *l)
{
	registry_login_clear(&l->last);
}
