/*
 * Each run option's place in Docker's create body. That `docker run` agrees: tests/component/test_docker_run_parity.py.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fs.h"
#include "base/mem.h"
#include "engine/container.h"

#define STRINGS(...) ((char **)(const char *[]){ __VA_ARGS__, NULL })
#define LIST(...) { .v = STRINGS(__VA_ARGS__), .n = ARRAY_LEN(((const char *[]){ __VA_ARGS__ })) }
#define BODY(members) "{\"HostConfig\":{},\"Image\":\"app\"" members "}"
#define HOST(members) "{\"HostConfig\":{" members "},\"Image\":\"app\"}"

/* want: the body with sorted names; NULL: refused, the message contains `message`. */
static const struct {
	struct container_spec spec;
	const char *want, *message;
} cases[] = {
	{ { 0 }, BODY(""), NULL },

	{ { .publish = LIST("8080:80", "127.0.0.1:53:53/udp") },
	  "{\"ExposedPorts\":{\"53/udp\":{},\"80/tcp\":{}},\"HostConfig\":{\"PortBindings\":{"
	  "\"53/udp\":[{\"HostIp\":\"127.0.0.1\",\"HostPort\":\"53\"}],"
	  "\"80/tcp\":[{\"HostIp\":\"\",\"HostPort\":\"8080\"}]}},\"Image\":\"app\"}", NULL },
	{ { .publish = LIST("80:80", "[::1]:81:80") },
	  "{\"ExposedPorts\":{\"80/tcp\":{}},\"HostConfig\":{\"PortBindings\":{\"80/tcp\":["
	  "{\"HostIp\":\"\",\"HostPort\":\"80\"},{\"HostIp\":\"::1\",\"HostPort\":\"81\"}]}},\"Image\":\"app\"}",
	  NULL },
	{ { .publish = LIST("8000-8010:80") },
	  "{\"ExposedPorts\":{\"80/tcp\":{}},\"HostConfig\":{\"PortBindings\":{\"80/tcp\":["
	  "{\"HostIp\":\"\",\"HostPort\":\"8000-8010\"}]}},\"Image\":\"app\"}", NULL },
	{ { .publish = LIST("80") },
	  "{\"ExposedPorts\":{\"80/tcp\":{}},\"HostConfig\":{\"PortBindings\":{\"80/tcp\":["
	  "{\"HostIp\":\"\",\"HostPort\":\"\"}]}},\"Image\":\"app\"}", NULL },
	{ { .publish = LIST("80:x") }, NULL, "--publish: \"80:x\"" },

	{ { .env = LIST("A=1", "B=", "C=a=b", "IN_ENVIRONMENT", "NOT_SET") },
	  "{\"Env\":[\"A=1\",\"B=\",\"C=a=b\",\"IN_ENVIRONMENT=yes\",\"NOT_SET\"],\"HostConfig\":{},\"Image\":\"app\"}",
	  NULL },
	{ { .env = LIST("A=1", "B=1", "A=2") },
	  "{\"Env\":[\"A=2\",\"B=1\"],\"HostConfig\":{},\"Image\":\"app\"}", NULL },
	{ { .env = LIST("=x") }, NULL, "--env: \"=x\" has no name" },
	{ { .env = LIST("") }, NULL, "--env" },
	{ { .env = LIST("A=\xff") }, NULL, "bad UTF-8" },

	{ { .volumes = LIST("/data:/data", "cache:/var/cache:ro", "/anonymous", "/data:/data") },
	  "{\"HostConfig\":{\"Binds\":[\"/data:/data\",\"cache:/var/cache:ro\"]},\"Image\":\"app\","
	  "\"Volumes\":{\"/anonymous\":{}}}", NULL },
	{ { .volumes = LIST("/data:data") }, NULL, "--volume: \"/data:data\": the path in the container" },
	{ { .volumes = LIST("data") }, NULL, "--volume" },
	{ { .volumes = LIST("") }, NULL, "--volume" },
	{ { .volumes = LIST(":/data") }, NULL, "empty part" },
	{ { .volumes = LIST("/data:") }, NULL, "empty part" },
	{ { .volumes = LIST("/a::ro") }, NULL, "empty part" },
	{ { .volumes = LIST("/a:/b:ro:z") }, NULL, "[SOURCE:]TARGET[:OPTIONS]" },

	{ { .network = "host" }, HOST("\"NetworkMode\":\"host\""), NULL },
	{ { .network = "container:db" }, HOST("\"NetworkMode\":\"container:db\""), NULL },
	{ { .network = "" }, NULL, "--network" },
	{ { .network = "name=x,alias=y" }, NULL, "--network" },

	{ { .restart = "no" }, HOST("\"RestartPolicy\":{\"MaximumRetryCount\":0,\"Name\":\"no\"}"), NULL },
	{ { .restart = "always" }, HOST("\"RestartPolicy\":{\"MaximumRetryCount\":0,\"Name\":\"always\"}"), NULL },
	{ { .restart = "unless-stopped" },
	  HOST("\"RestartPolicy\":{\"MaximumRetryCount\":0,\"Name\":\"unless-stopped\"}"), NULL },
	{ { .restart = "on-failure" },
	  HOST("\"RestartPolicy\":{\"MaximumRetryCount\":0,\"Name\":\"on-failure\"}"), NULL },
	{ { .restart = "on-failure:5" },
	  HOST("\"RestartPolicy\":{\"MaximumRetryCount\":5,\"Name\":\"on-failure\"}"), NULL },
	{ { .restart = "always:5" }, NULL, "--restart: \"always:5\" is none of" },
	{ { .restart = "on-failure:-1" }, NULL, "--restart" },
	{ { .restart = "on-failure:x" }, NULL, "--restart" },
	{ { .restart = "never" }, NULL, "--restart" },
	{ { .restart = "" }, NULL, "--restart" },

	{ { .memory = "512m" }, HOST("\"Memory\":536870912"), NULL },
	{ { .memory = "1.5g" }, HOST("\"Memory\":1610612736"), NULL },
	{ { .memory = "64MiB" }, HOST("\"Memory\":67108864"), NULL },
	{ { .memory = "64 KB" }, HOST("\"Memory\":65536"), NULL },
	{ { .memory = "1048576" }, HOST("\"Memory\":1048576"), NULL },
	{ { .memory = "1048576b" }, HOST("\"Memory\":1048576"), NULL },
	{ { .memory = "2T" }, HOST("\"Memory\":2199023255552"), NULL },
	{ { .memory = "512x" }, NULL, "--memory: \"512x\" is no size" },
	{ { .memory = "512mbb" }, NULL, "--memory" },
	{ { .memory = "512bb" }, NULL, "--memory" },
	{ { .memory = "m" }, NULL, "--memory" },
	{ { .memory = "" }, NULL, "--memory" },
	{ { .memory = "-1" }, NULL, "--memory" },
	{ { .memory = "1.2.3" }, NULL, "--memory" },
	{ { .memory = "." }, NULL, "--memory" },
	{ { .memory = "9999999999999999p" }, NULL, "--memory" },
	{ { .shm_size = "128m" }, HOST("\"ShmSize\":134217728"), NULL },
	{ { .shm_size = "much" }, NULL, "--shm-size" },

	{ { .cpus = "1.5" }, HOST("\"NanoCpus\":1500000000"), NULL },
	{ { .cpus = "2" }, HOST("\"NanoCpus\":2000000000"), NULL },
	{ { .cpus = ".25" }, HOST("\"NanoCpus\":250000000"), NULL },
	{ { .cpus = "0.000000001" }, HOST("\"NanoCpus\":1"), NULL },
	{ { .cpus = "0.5000000000000" }, HOST("\"NanoCpus\":500000000"), NULL },
	{ { .cpus = "0.0000000001" }, NULL, "nine decimals" },
	{ { .cpus = "all" }, NULL, "--cpus" },
	{ { .cpus = "-1" }, NULL, "--cpus" },
	{ { .cpus = "." }, NULL, "--cpus" },
	{ { .cpus = "1.5.5" }, NULL, "--cpus" },
	{ { .cpus = "99999999999999999999" }, NULL, "too large" },

	{ { .user = "1000:1000" }, BODY(",\"User\":\"1000:1000\""), NULL },
	{ { .entrypoint = "/bin/app" }, "{\"Entrypoint\":[\"/bin/app\"],\"HostConfig\":{},\"Image\":\"app\"}", NULL },
	{ { .entrypoint = "" }, "{\"Entrypoint\":[\"\"],\"HostConfig\":{},\"Image\":\"app\"}", NULL },
	{ { .command = STRINGS("serve", "--port=80"), .n_command = 2 },
	  "{\"Cmd\":[\"serve\",\"--port=80\"],\"HostConfig\":{},\"Image\":\"app\"}", NULL },

	{ { .log_driver = "awslogs", .log_opts = LIST("awslogs-group=g", "tag") },
	  HOST("\"LogConfig\":{\"Config\":{\"awslogs-group\":\"g\",\"tag\":\"\"},\"Type\":\"awslogs\"}"), NULL },
	{ { .log_opts = LIST("max-size=10m") }, HOST("\"LogConfig\":{\"Config\":{\"max-size\":\"10m\"}}"), NULL },
	{ { .log_driver = "none", .log_opts = LIST("a=b") }, NULL, "--log-opt" },

	{ { .labels = LIST("a=b", "c", "d=e=f", "a=z") },
	  BODY(",\"Labels\":{\"a\":\"z\",\"c\":\"\",\"d\":\"e=f\"}"), NULL },
	{ { .labels = LIST("=x") }, NULL, "--label" },
	{ { .labels = LIST("a b=c") }, NULL, "white space" },

	{ { .ulimits = LIST("nofile=1024:2048", "core=0", "nofile=65536", "memlock=-1") },
	  HOST("\"Ulimits\":[{\"Hard\":0,\"Name\":\"core\",\"Soft\":0},{\"Hard\":-1,\"Name\":\"memlock\",\"Soft\":-1},"
	       "{\"Hard\":65536,\"Name\":\"nofile\",\"Soft\":65536}]"), NULL },
	{ { .ulimits = LIST("nofile=2048:1024") }, NULL, "soft limit is above" },
	{ { .ulimits = LIST("nofile=-1:1024") }, NULL, "soft limit is above" },
	{ { .ulimits = LIST("nofile") }, NULL, "NAME=SOFT[:HARD]" },
	{ { .ulimits = LIST("nofile=") }, NULL, "--ulimit" },
	{ { .ulimits = LIST("nofile=1:2:3") }, NULL, "--ulimit" },
	{ { .ulimits = LIST("as=1") }, NULL, "\"as\" is no resource limit" },

	{ { .cap_add = LIST("NET_ADMIN"), .cap_drop = LIST("ALL") },
	  HOST("\"CapAdd\":[\"NET_ADMIN\"],\"CapDrop\":[\"ALL\"]"), NULL },
	{ { .read_only = true, .init = true }, HOST("\"Init\":true,\"ReadonlyRootfs\":true"), NULL },
	{ { .tmpfs = LIST("/run", "/tmp:size=64m,mode=1777") },
	  HOST("\"Tmpfs\":{\"/run\":\"\",\"/tmp\":\"size=64m,mode=1777\"}"), NULL },
	{ { .tmpfs = LIST("run") }, NULL, "--tmpfs" },
	{ { .hostname = "web" }, "{\"HostConfig\":{},\"Hostname\":\"web\",\"Image\":\"app\"}", NULL },
	{ { .add_hosts = LIST("db:10.0.0.1", "six:[::1]", "gw:host-gateway", "eq=fe80::1") },
	  HOST("\"ExtraHosts\":[\"db:10.0.0.1\",\"six:::1\",\"gw:host-gateway\",\"eq:fe80::1\"]"), NULL },
	{ { .add_hosts = LIST("db") }, NULL, "HOST:IP" },
	{ { .add_hosts = LIST(":1.2.3.4") }, NULL, "HOST:IP" },
	{ { .add_hosts = LIST("db:example.org") }, NULL, "neither an IP address nor host-gateway" },

	{ { .gpus = "all" },
	  HOST("\"DeviceRequests\":[{\"Capabilities\":[[\"gpu\"]],\"Count\":-1,\"Options\":{}}]"), NULL },
	{ { .gpus = "2" },
	  HOST("\"DeviceRequests\":[{\"Capabilities\":[[\"gpu\"]],\"Count\":2,\"Options\":{}}]"), NULL },
	{ { .gpus = "device=0" },
	  HOST("\"DeviceRequests\":[{\"Capabilities\":[[\"gpu\"]],\"DeviceIDs\":[\"0\"],\"Options\":{}}]"), NULL },
	{ { .gpus = "\"device=0,GPU-1\",\"capabilities=utility,compute\",driver=nvidia,\"options=a=b,c=d\"" },
	  HOST("\"DeviceRequests\":[{\"Capabilities\":[[\"utility\",\"compute\",\"gpu\"]],"
	       "\"DeviceIDs\":[\"0\",\"GPU-1\"],\"Driver\":\"nvidia\",\"Options\":{\"a\":\"b\",\"c\":\"d\"}}]"), NULL },
	{ { .gpus = "driver=nvidia" },
	  HOST("\"DeviceRequests\":[{\"Capabilities\":[[\"gpu\"]],\"Count\":1,\"Driver\":\"nvidia\",\"Options\":{}}]"),
	  NULL },
	{ { .gpus = "some" }, NULL, "neither all nor a number" },
	{ { .gpus = "device=0,device=1" }, NULL, "given twice" },
	{ { .gpus = "all,count=1" }, NULL, "given twice" },
	{ { .gpus = "colour=red" }, NULL, "no such key" },
	{ { .gpus = "\"device=0" }, NULL, "quote is not closed" },
	{ { .gpus = "\"device=0\"x" }, NULL, "behind a quote" },
};

static char *write_file(const char *text)
{
	char *path = xstrdup("/tmp/test_container_body.XXXXXX");
	int fd = mkstemp(path);
	struct err err;

	assert_true(fd >= 0);
	assert_int_equal(fs_write_all(fd, text, strlen(text), &err), 0);
	close(fd);
	return path;
}

static void test_options(void **state)
{
	(void)state;
	setenv("IN_ENVIRONMENT", "yes", 1);
	unsetenv("NOT_SET");
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct container_spec spec = cases[i].spec;
		CLEANUP(json_freep) struct json *body = NULL;
		char hash[SHA256_HEX_SIZE];
		struct err err = { 0 };

		spec.image = "app";
		int result = container_body(&spec, &body, hash, &err);
		if (!cases[i].want) {
			if (result == 0)
				fail_msg("row %zu was accepted: expected \"%s\"", i, cases[i].message);
			if (!strstr(err.msg, cases[i].message))
				fail_msg("row %zu: expected \"%s\", got \"%s\"", i, cases[i].message, err.msg);
			assert_true(err.kind == ERR_USAGE || err.kind == ERR_CONFIG);
			continue;
		}
		if (result < 0)
			fail_msg("row %zu: %s", i, err.msg);
		CLEANUP(freep) char *got = json_print_sorted(body);
		if (!streq(got, cases[i].want))
			fail_msg("row %zu:\nexpected %s\n     got %s", i, cases[i].want, got);
	}
}

/* want NULL: refused with that message. */
static const struct {
	const char *file, *want;
} env_files[] = {
	{ "", "null" },
	{ "A=1\nB=2\n", "[\"A=1\",\"B=2\"]" },
	{ "A=1\r\nB=2\r\n", "[\"A=1\",\"B=2\"]" },
	{ "A=1", "[\"A=1\"]" },
	{ "\xef\xbb\xbf" "A=1\n", "[\"A=1\"]" },
	{ "# comment\n\n  \n\t#also\n  A= spaces kept \n", "[\"A= spaces kept \"]" },
	{ "A=\"quoted\" # no comment\n", "[\"A=\\\"quoted\\\" # no comment\"]" },
	{ "IN_ENVIRONMENT\nNOT_SET\nA=\n", "[\"IN_ENVIRONMENT=yes\",\"A=\"]" },
	{ "=x\n", NULL },
	{ "A=1\nB C=2\n", NULL },
	{ "A\t=2\n", NULL },
	{ "A=\xc3\x28\n", NULL },
};

static void test_env_file(void **state)
{
	(void)state;
	setenv("IN_ENVIRONMENT", "yes", 1);
	for (size_t i = 0; i < ARRAY_LEN(env_files); i++) {
		CLEANUP(freep) char *path = write_file(env_files[i].file);
		CLEANUP(json_freep) struct json *body = NULL;
		struct container_spec spec = { .image = "app", .env_files = LIST(path) };
		char hash[SHA256_HEX_SIZE];
		struct err err = { 0 };
		int result = container_body(&spec, &body, hash, &err);

		unlink(path);
		if (!env_files[i].want) {
			assert_int_equal(result, -1);
			assert_int_equal(err.kind, ERR_CONFIG);
			continue;
		}
		if (result < 0)
			fail_msg("file %zu: %s", i, err.msg);
		const struct json *env = json_get(body, "Env");
		CLEANUP(freep) char *got = env && json_count(env) ? json_print(env, false) : xstrdup("null");
		if (!streq(got, env_files[i].want))
			fail_msg("file %zu: expected %s, got %s", i, env_files[i].want, got);
	}
}

static void test_env_overrides_files(void **state)
{
	CLEANUP(freep) char *path = write_file("A=file\n");
	CLEANUP(json_freep) struct json *body = NULL;
	struct container_spec spec = { .image = "app", .env = LIST("A=flag"), .env_files = LIST(path) };
	char hash[SHA256_HEX_SIZE];
	struct err err = { 0 };

	(void)state;
	assert_int_equal(container_body(&spec, &body, hash, &err), 0);
	unlink(path);
	CLEANUP(freep) char *got = json_print(json_get(body, "Env"), false);
	assert_string_equal(got, "[\"A=file\",\"A=flag\"]");
}

static void test_missing_files_are_named(void **state)
{
	const struct container_spec specs[] = {
		{ .image = "app", .env_files = LIST("/nonexistent") },
		{ .image = "app", .container_json = "/nonexistent" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(specs); i++) {
		CLEANUP(json_freep) struct json *body = NULL;
		char hash[SHA256_HEX_SIZE];
		struct err err = { 0 };
		assert_int_equal(container_body(&specs[i], &body, hash, &err), -1);
		assert_int_equal(err.kind, ERR_CONFIG);
		assert_non_null(strstr(err.msg, "/nonexistent does not exist"));
	}
}

/* The file and the body it gives with --user 1 --memory 1g; NULL: refused. */
static const struct {
	const char *file, *want;
} patches[] = {
	{ "{}", "{\"HostConfig\":{\"Memory\":1073741824},\"Image\":\"app\",\"User\":\"1\"}" },
	{ "{\"User\":null,\"Tty\":true}", "{\"HostConfig\":{\"Memory\":1073741824},\"Image\":\"app\",\"Tty\":true}" },
	{ "{\"HostConfig\":{\"Privileged\":true,\"Memory\":5}}",
	  "{\"HostConfig\":{\"Memory\":5,\"Privileged\":true},\"Image\":\"app\",\"User\":\"1\"}" },
	{ "[]", NULL },
	{ "", NULL },
	{ "{\"a\":1,\"a\":2}", NULL },
	{ "{} trailing", NULL },
};

static void test_container_json(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(patches); i++) {
		CLEANUP(freep) char *path = write_file(patches[i].file);
		CLEANUP(json_freep) struct json *body = NULL;
		struct container_spec spec = { .image = "app", .user = "1", .memory = "1g", .container_json = path };
		char hash[SHA256_HEX_SIZE];
		struct err err = { 0 };
		int result = container_body(&spec, &body, hash, &err);

		unlink(path);
		if (!patches[i].want) {
			assert_int_equal(result, -1);
			assert_int_equal(err.kind, ERR_CONFIG);
			assert_non_null(strstr(err.msg, "--container-json"));
			continue;
		}
		if (result < 0)
			fail_msg("file %zu: %s", i, err.msg);
		CLEANUP(freep) char *got = json_print_sorted(body);
		assert_string_equal(got, patches[i].want);
	}
}

static void hash_of(struct container_spec spec, char out[SHA256_HEX_SIZE])
{
	CLEANUP(json_freep) struct json *body = NULL;
	struct err err = { 0 };

	if (container_body(&spec, &body, out, &err) < 0)
		fail_msg("%s", err.msg);
}

static void test_hash_sees_options_only(void **state)
{
	char plain[SHA256_HEX_SIZE], other[SHA256_HEX_SIZE];

	(void)state;
	hash_of((struct container_spec){ .image = "app:1", .env = LIST("A=1") }, plain);
	assert_int_equal(strlen(plain), 64);
	hash_of((struct container_spec){ .image = "app:2", .env = LIST("A=1") }, other);
	assert_string_equal(plain, other);
	hash_of((struct container_spec){ .image = "app", .env = LIST("A=1"), .labels = LIST("io.berth.name=x") },
		other);
	assert_string_equal(plain, other);
	hash_of((struct container_spec){ .image = "app", .env = LIST("A=2") }, other);
	assert_string_not_equal(plain, other);
	hash_of((struct container_spec){ .image = "app", .env = LIST("A=1"), .labels = LIST("team=x") }, other);
	assert_string_not_equal(plain, other);
	hash_of((struct container_spec){ .image = "app", .labels = LIST("a=1", "b=2") }, plain);
	hash_of((struct container_spec){ .image = "app", .labels = LIST("b=2", "a=1") }, other);
	assert_string_equal(plain, other);
}

static void test_relative_bind_becomes_absolute(void **state)
{
	CLEANUP(json_freep) struct json *body = NULL;
	struct container_spec spec = { .image = "app", .volumes = LIST("./data:/data", ".:/here:ro") };
	char hash[SHA256_HEX_SIZE];
	struct err err = { 0 };

	(void)state;
	assert_int_equal(chdir("/usr"), 0);
	assert_int_equal(container_body(&spec, &body, hash, &err), 0);
	CLEANUP(freep) char *got = json_print(json_get(json_get(body, "HostConfig"), "Binds"), false);
	assert_string_equal(got, "[\"/usr/data:/data\",\"/usr:/here:ro\"]");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_options),
		cmocka_unit_test(test_env_file),
		cmocka_unit_test(test_env_overrides_files),
		cmocka_unit_test(test_missing_files_are_named),
		cmocka_unit_test(test_container_json),
		cmocka_unit_test(test_hash_sees_options_only),
		cmocka_unit_test(test_relative_bind_becomes_absolute),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
