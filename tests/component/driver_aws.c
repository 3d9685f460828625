/*
 * Calls the AWS layer as the commands do, for tests that need one of its steps
 * alone. Prints no secret: passwords and keys as their SHA-256.
 *
 *   driver_aws get PATIENCE_MS PATH...   each path of IMDS, by one client
 *   driver_aws credentials [N]           "SOURCE ID SECRET-SHA256", N times (the last with refresh)
 *   driver_aws login HOST                "USER PASSWORD-SHA256"
 */
#include "aws/ecr.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/mem.h"

#define PATIENCE_MS 4000

struct clients {
	struct loop *loop;
	struct http *http;
	struct imds *imds;
	struct credentials *credentials;
};

static int open_clients(struct clients *c, int64_t patience_ms, struct err *err)
{
	const struct http_config config = { .user_agent = "berth-test" };

	if (loop_new(&c->loop, err) < 0 || http_new(c->loop, &config, &c->http, err) < 0 ||
	    imds_new(c->http, c->loop, patience_ms, &c->imds, err) < 0)
		return -1;
	c->credentials = credentials_new(c->http, c->loop, c->imds);
	return 0;
}

static void close_clients(struct clients *c)
{
	credentials_free(c->credentials);
	imds_free(c->imds);
	if (c->http)
		http_free(c->http);
	if (c->loop)
		loop_free(c->loop);
}

static int get(char **argv, struct err *err)
{
	CLEANUP(close_clients) struct clients c = { 0 };

	if (open_clients(&c, strtoll(argv[0], NULL, 10), err) < 0)
		return -1;
	for (char **path = argv + 1; *path; path++) {
		CLEANUP(buf_free) struct buf answer = BUF_INIT(IMDS_ANSWER_MAX_BYTES);

		if (imds_get(c.imds, *path, &answer, err) < 0)
			return -1;
		puts(buf_str(&answer));
	}
	return 0;
}

static int credentials(char **argv, struct err *err)
{
	CLEANUP(close_clients) struct clients c = { 0 };
	long times = argv[0] ? strtol(argv[0], NULL, 10) : 1;

	if (open_clients(&c, PATIENCE_MS, err) < 0)
		return -1;
	for (long i = 1; i <= times; i++) {
		CLEANUP(aws_credentials_clear) struct aws_credentials keys = { 0 };
		char hash[SHA256_HEX_SIZE];

		if (credentials_get(c.credentials, i > 1 && i == times, &keys, err) < 0)
			return -1;
		sha256_hex_of(keys.secret_access_key.bytes, keys.secret_access_key.len, hash);
		printf("%s\t%s\t%s\n", keys.source, keys.access_key_id, hash);
	}
	return 0;
}

static int login(char **argv, struct err *err)
{
	CLEANUP(close_clients) struct clients c = { 0 };
	CLEANUP(secret_clear) struct secret user = { 0 };
	CLEANUP(secret_clear) struct secret password = { 0 };
	char hash[SHA256_HEX_SIZE];
	struct ecr_host host;

	if (!argv[0] || !ecr_host_parse(argv[0], &host))
		return err_set(err, ERR_USAGE, "not a host of ECR: %s", argv[0] ? argv[0] : "(none)");
	if (open_clients(&c, PATIENCE_MS, err) < 0 ||
	    ecr_login(c.http, c.loop, c.credentials, &host, &user, &password, err) < 0)
		return -1;
	sha256_hex_of(password.bytes, password.len, hash);
	printf("%s\t%s\n", secret_str(&user), hash);
	return 0;
}

static const struct {
	const char *name;
	int (*run)(char **argv, struct err *err);
	int least_args;
} steps[] = { { "get", get, 2 }, { "credentials", credentials, 0 }, { "login", login, 1 } };

int main(int argc, char **argv)
{
	struct err err = { 0 };

	for (size_t i = 0; argc > 1 && i < ARRAY_LEN(steps); i++) {
		if (!streq(argv[1], steps[i].name) || argc - 2 < steps[i].least_args)
			continue;
		if (steps[i].run(argv + 2, &err) == 0)
			return 0;
		log_err(LOG_LEVEL_ERROR, &err);
		return err_exit_code(&err);
	}
	(void)err_set(&err, ERR_USAGE, "get, credentials or login"); /* the exit code says it */
	log_err(LOG_LEVEL_ERROR, &err);
	return err_exit_code(&err);
}
