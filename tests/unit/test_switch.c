/* The switch's record, what it can serve, and which rules follow from it. */
#include "agent/nat.h"
#include "agent/switch_internal.h"
#include "table.h"

static const struct {
	const char *publish;
	const char *want; /* "IP HOST CONTAINER udp?;…"; NULL: refused */
	const char *why;
} published[] = {
	{ "8080:80", " 8080 80 0;", NULL },
	{ "10.0.0.5:53:5353/udp", "10.0.0.5 53 5353 1;", NULL },
	{ "[::1]:8080:80", "::1 8080 80 0;", NULL },
	{ "8000-8001:9000-9001", " 8000 9000 0; 8001 9001 0;", NULL },
	{ "9:9/sctp", NULL, "tcp and udp" },
	{ "80", NULL, "Docker is to choose" },
	{ "8000-8010:80", NULL, "Docker is to choose" },
	{ "1000-1256:1000-1256", NULL, "257 published ports" },
};

static void test_endpoints(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(published); i++) {
		CLEANUP(freep) struct published_port *ports = NULL;
		CLEANUP(freep) struct switch_endpoint *endpoints = NULL;
		CLEANUP(buf_free) struct buf got = BUF_INIT(4 * KIB);
		const char *row = published[i].publish;
		struct err err = { 0 };
		size_t n = 0, n_endpoints = 0;

		assert_int_equal(publish_parse(row, &ports, &n, &err), 0);
		int result = switch_endpoints(ports, n, &endpoints, &n_endpoints, &err);
		if (!published[i].want) {
			row_refused(row, result, ERR_CONFIG, published[i].why, &err);
			continue;
		}
		if (!row_ok(row, result, &err))
			continue;
		for (const struct switch_endpoint *e = endpoints; e < endpoints + n_endpoints; e++)
			assert_int_equal(buf_printf(&got, &err, "%s %u %u %d;", e->host_ip, e->host_port,
						    e->container_port, e->udp), 0);
		row_str(row, "endpoints", published[i].want, buf_str(&got));
	}
	table_end();
}

static struct switch_endpoint endpoints[] = {
	{ "", 80, 3000, false },	{ "0.0.0.0", 81, 3001, false }, { "10.0.0.5", 53, 5353, true },
	{ "127.0.0.1", 82, 3002, false }, { "::1", 83, 3003, false },	{ "::", 84, 3004, false },
};

static void test_record_survives_its_file(void **state)
{
	const struct switch_record r = { .serial = 5,
					 .moved_ms = 1700000000000,
					 .target = { "0123abcd", "172.17.0.2" },
					 .flavour = "iptables-nft",
					 .endpoints = endpoints,
					 .n = ARRAY_LEN(endpoints) };
	CLEANUP(switch_record_clear) struct switch_record again = { 0 };
	CLEANUP(freep) char *text = switch_record_print(&r);
	struct err err;

	(void)state;
	if (switch_record_parse(text, strlen(text), &again, &err) < 0)
		fail_msg("%s", err.msg);
	CLEANUP(freep) char *second = switch_record_print(&again);
	assert_string_equal(text, second);
	assert_int_equal(again.serial, 5);
	assert_string_equal(again.target.address, "172.17.0.2");
	assert_int_equal(again.n, ARRAY_LEN(endpoints));
	assert_true(again.endpoints[2].udp);
}

#define RECORD(serial, address, flavour, endpoints) \
	"{\"serial\":" serial ",\"moved_ms\":1,\"container\":\"c\",\"address\":\"" address "\",\"flavour\":\"" flavour \
	"\",\"endpoints\":[" endpoints "]}"
#define ENDPOINT(ip, port, proto) \
	"{\"host_ip\":\"" ip "\",\"host_port\":" port ",\"container_port\":80,\"proto\":\"" proto "\"}"

static const struct {
	const char *row, *text, *why;
} refused[] = {
	{ "nothing", "", "" },
	{ "no object", "[]", "" },
	{ "no serial", "{\"moved_ms\":1}", "serial" },
	{ "serial 0", RECORD("0", "", "", ""), "serial" },
	{ "address is a name", RECORD("1", "host", "", ""), "address" },
	{ "address is IPv6", RECORD("1", "::1", "", ""), "address" },
	{ "flavour is a path", RECORD("1", "10.0.0.1", "../x", ""), "flavour" },
	{ "port 0", RECORD("1", "10.0.0.1", "", ENDPOINT("", "0", "tcp")), "host_port" },
	{ "port too large", RECORD("1", "10.0.0.1", "", ENDPOINT("", "65536", "tcp")), "host_port" },
	{ "host is a name", RECORD("1", "10.0.0.1", "", ENDPOINT("host", "1", "tcp")), "host_ip" },
	{ "sctp", RECORD("1", "10.0.0.1", "", ENDPOINT("", "1", "sct")), "proto" },
};

static void test_what_berth_did_not_write(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(refused); i++) {
		struct switch_record r = { 0 };
		struct err err = { 0 };

		row_refused(refused[i].row, switch_record_parse(refused[i].text, strlen(refused[i].text), &r, &err),
			    ERR_PROTOCOL, refused[i].why, &err);
		assert_null(r.endpoints);
	}
	table_end();
}

/* Loopback is on no bridge, so a container there has no rules; what has them is seen with an address that is. */
static void test_plan(void **state)
{
	struct switch_record r = { .serial = 1, .endpoints = endpoints, .n = ARRAY_LEN(endpoints) };
	struct nat_plan plan;

	(void)state;
	switch_plan("web", &r, &plan);
	row_str("gone", "chain", "BERTH-web", plan.chain);
	row_int("gone", "rules", 0, (int64_t)plan.n);
	free(plan.rules);
	(void)snprintf(r.target.address, sizeof r.target.address, "127.0.0.1");
	switch_plan("web", &r, &plan);
	row_int("on no bridge", "rules", 0, (int64_t)plan.n);
	free(plan.rules);
	table_end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_endpoints),
		cmocka_unit_test(test_record_survives_its_file),
		cmocka_unit_test(test_what_berth_did_not_write),
		cmocka_unit_test(test_plan),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
