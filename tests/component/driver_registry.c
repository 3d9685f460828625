/*
 * Pulls from a registry as the commands do, without an engine, for tests of that
 * part alone. Bytes go nowhere; the largest number of them that waited to be read is told.
 *
 *   driver_registry resolve REF [PLATFORM]
 *   driver_registry pull REF [PLATFORM]
 *   driver_registry top REF
 *
 * LOGIN_USER, LOGIN_PASSWORD: the login, else anonymous. READ_DELAY_MS: the reader starts so late.
 * READ_BYTES: the reader takes so many at once, a millisecond apart. SHA256_OF: the index of a blob
 * whose delivered bytes are hashed anew.
 */
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "oci/blob_internal.h"

struct puller {
	struct loop *loop;
	struct http *http;
	struct registry *registry;
	struct image image;
	struct blob_set *blobs;
	size_t at;              /* the blob that is read */
	int64_t left;           /* of it */
	int64_t consumed, peak; /* of all */
	int64_t starts_ms;
	size_t step_bytes;      /* 0: all there is */
	struct loop_timer *timer;
	struct sha256 *hash;
	unsigned int logins;
};

static size_t variable(const char *name)
{
	const char *value = getenv(name);

	return value ? strtoul(value, NULL, 10) : 0;
}

static int log_in(void *arg, bool refresh, struct registry_login *out, struct err *err)
{
	struct puller *p = arg;
	const char *user = getenv("LOGIN_USER"), *password = getenv("LOGIN_PASSWORD");

	(void)err;
	p->logins++;
	printf("login %s\n", refresh ? "again" : "first");
	if (!user)
		return 0;
	out->user = xstrdup(user);
	secret_set(&out->password, password, strlen(password));
	return 0;
}

static void read_some(struct puller *p);

static void on_timer(void *arg)
{
	struct puller *p = arg;

	p->timer = NULL;
	read_some(p);
}

/* Reads in order; true when something was read. */
static bool read_once(struct puller *p)
{
	const void *bytes;
	size_t len;

	if (p->at == p->image.parsed.n_layers || clock_mono_ms() < p->starts_ms)
		return false;
	blob_peek(p->blobs, p->at, &bytes, &len);
	if (p->step_bytes && len > p->step_bytes)
		len = p->step_bytes;
	if (len) {
		sha256_update(p->hash, bytes, len);
		blob_consume(p->blobs, p->at, len);
	}
	p->consumed += (int64_t)len;
	p->left -= (int64_t)len;
	while (p->left == 0 && ++p->at < p->image.parsed.n_layers)
		p->left = p->image.parsed.layers[p->at].size;
	return len > 0;
}

static void read_some(struct puller *p)
{
	int64_t received = 0;

	for (size_t i = 0; i < p->image.parsed.n_layers; i++)
		received += blob_received_bytes(p->blobs, i);
	if (received - p->consumed > p->peak)
		p->peak = received - p->consumed;
	if (p->timer)
		return;
	while (read_once(p))
		if (p->step_bytes)
			break;
	if (p->at < p->image.parsed.n_layers)
		p->timer = loop_timer_start(p->loop, 1, on_timer, p);
}

static void on_blob(void *arg, size_t i)
{
	(void)i;
	read_some(arg);
}

static bool all_ended(void *arg)
{
	const struct puller *p = arg;

	return blob_set_failed(p->blobs) >= 0 || (p->at == p->image.parsed.n_layers && blob_set_verified(p->blobs));
}

static int pull_blobs(struct puller *p, struct err *err)
{
	const struct manifest *m = &p->image.parsed;
	uint8_t raw[SHA256_BYTES];
	char hex[SHA256_HEX_SIZE];

	p->step_bytes = variable("READ_BYTES");
	p->starts_ms = clock_mono_ms() + (int64_t)variable("READ_DELAY_MS");
	p->hash = sha256_new();
	p->at = (size_t)-1;
	while (p->left == 0 && ++p->at < m->n_layers)
		p->left = m->layers[p->at].size;
	if (blob_set_start(p->registry, p->http, p->loop, m->layers, NULL, m->n_layers, on_blob, p, &p->blobs, err) < 0)
		return -1;
	/* As if its readers had starved, that each range of a fast server can be looked at. */
	p->blobs->plan.parallel = variable("PARALLEL");
	if (loop_wait(p->loop, all_ended, p, -1, err) < 0)
		return -1;
	for (size_t i = 0; i < m->n_layers; i++) {
		if (blob_state(p->blobs, i) == BLOB_FAILED) {
			*err = *blob_error(p->blobs, i);
			return -1;
		}
		printf("layer %s %lld\n", m->layers[i].digest.text, (long long)m->layers[i].size);
	}
	sha256_final(p->hash, raw);
	hex_encode(raw, sizeof raw, hex);
	printf("delivered %lld %s\npeak %lld\n", (long long)p->consumed, hex, (long long)p->peak);
	return 0;
}

static int top(struct puller *p, struct err *err)
{
	CLEANUP(document_free) struct document d = { 0 };

	if (registry_resolve_top(p->registry, &d, err) < 0)
		return -1;
	printf("top %s\n", d.descriptor.digest.text);
	return 0;
}

static int pull(struct puller *p, const char *verb, const struct platform *platform, struct err *err)
{
	if (streq(verb, "top"))
		return top(p, err);
	if (registry_resolve(p->registry, platform, &p->image, err) < 0)
		return -1;
	printf("top %s\nmanifest %s\nconfig %s\n", p->image.top.descriptor.digest.text,
	       p->image.manifest.descriptor.digest.text, p->image.config.descriptor.digest.text);
	return streq(verb, "pull") ? pull_blobs(p, err) : 0;
}

static int run(struct puller *p, char **argv, struct err *err)
{
	const struct http_config config = { .user_agent = "berth-test" };
	CLEANUP(reference_free) struct reference ref = { 0 };
	struct platform platform;

	platform_host(&platform);
	if (reference_parse(argv[2], &ref, err) < 0 || (argv[3] && platform_parse(argv[3], &platform, err) < 0))
		return -1;
	const struct registry_config registry = { .ref = &ref, .login = log_in, .login_arg = p };
	if (loop_new(&p->loop, err) < 0 || http_new(p->loop, &config, &p->http, err) < 0 ||
	    registry_new(p->http, p->loop, &registry, &p->registry, err) < 0)
		return -1;
	return pull(p, argv[1], &platform, err);
}

int main(int argc, char **argv)
{
	struct puller p = { 0 };
	struct err err = { 0 };
	int r;

	if (argc < 3)
		return 2;
	r = run(&p, argv, &err);
	if (r < 0) {
		fprintf(stderr, "%s%s\n", err_kind_name(err.kind), err.retryable ? " retryable" : "");
		log_err(LOG_LEVEL_ERROR, &err);
	}
	blob_set_free(p.blobs);
	image_free(&p.image);
	registry_free(p.registry);
	http_free(p.http);
	loop_free(p.loop);
	sha256_free(p.hash);
	return r < 0 ? err_exit_code(&err) : 0;
}
