/* -p in all its forms: as docker/go-connections' nat package reads them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/mem.h"
#include "engine/container.h"

/* want: every port as "IP|HOST[-END]|CONTAINER|PROTO", separated by blanks. NULL: refused. */
static const struct {
	const char *text, *want;
} cases[] = {
	{ "8080:80", "|8080|80|tcp" },
	{ "80", "|0|80|tcp" },
	{ "0:80", "|0|80|tcp" },
	{ ":80", "|0|80|tcp" },
	{ "127.0.0.1:8080:80", "127.0.0.1|8080|80|tcp" },
	{ "127.0.0.1::80", "127.0.0.1|0|80|tcp" },
	{ "[::1]:8080:80", "::1|8080|80|tcp" },
	{ "::1:8080:80", "::1|8080|80|tcp" },
	{ "[2001:db8::1]::80", "2001:db8::1|0|80|tcp" },
	{ "53:53/udp", "|53|53|udp" },
	{ "53:53/UDP", "|53|53|udp" },
	{ "9:9/sctp", "|9|9|sctp" },
	{ "80:80/", "|80|80|tcp" },
	{ "8000-8002:9000-9002", "|8000|9000|tcp |8001|9001|tcp |8002|9002|tcp" },
	{ "9000-9001", "|0|9000|tcp |0|9001|tcp" },
	{ "8000-8010:80", "|8000-8010|80|tcp" },
	{ "8000-8000:80", "|8000|80|tcp" },
	{ "10.0.0.1:53-54:53-54/udp", "10.0.0.1|53|53|udp 10.0.0.1|54|54|udp" },
	{ "65535:65535", "|65535|65535|tcp" },

	{ "", NULL },
	{ ":", NULL },
	{ "80:", NULL },
	{ "80:80/icmp", NULL },
	{ "80:0", NULL },
	{ "65536:80", NULL },
	{ "80:65536", NULL },
	{ "80:080000", NULL },
	{ "-80:80", NULL },
	{ "80-:80", NULL },
	{ "90-80:90-80", NULL },
	{ "8000-8001:9000-9002", NULL },
	{ "8000:9000-9002", NULL },
	{ "1-65535:1-65535", NULL },
	{ "a:80", NULL },
	{ "80:b", NULL },
	{ "+80:80", NULL },
	{ " 80:80", NULL },
	{ "1.2.3:80:80", NULL },
	{ "host.example:80:80", NULL },
	{ "[::1:80:80", NULL },
	{ "[1:2:3:4:5:6:7:8:9:a:b:c:d:e:f:0:1:2:3:4:5:6:7:8]:80:80", NULL },
	{ "fe80::1%eth0:80:80", NULL },
	{ "published=80,target=80", NULL },
};

static void describe(const struct published_port *ports, size_t n, struct buf *out)
{
	struct err err;

	for (size_t i = 0; i < n; i++) {
		const struct published_port *p = &ports[i];
		CLEANUP(freep)
		char *end = p->host_port_end > p->host_port ? xasprintf("-%u", p->host_port_end)
							    : xstrdup("");
		if (buf_printf(out, &err, "%s%s|%u%s|%u|%s", i ? " " : "", p->host_ip, p->host_port,
			       end, p->container_port, p->proto) < 0)
			fail_msg("%s", err.msg);
	}
}

static void test_forms(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		CLEANUP(freep) struct published_port *ports = NULL;
		CLEANUP(buf_free) struct buf got = BUF_INIT(4 * KIB);
		struct err err = { 0 };
		size_t n = 0;
		int result = publish_parse(cases[i].text, &ports, &n, &err);

		if (!cases[i].want) {
			if (result == 0)
				fail_msg("\"%s\" was accepted", cases[i].text);
			assert_int_equal(err.kind, ERR_USAGE);
			assert_int_equal(n, 0);
			assert_null(ports);
			continue;
		}
		if (result < 0)
			fail_msg("\"%s\": %s", cases[i].text, err.msg);
		describe(ports, n, &got);
		if (!streq(buf_str(&got), cases[i].want))
			fail_msg("\"%s\": expected \"%s\", got \"%s\"", cases[i].text,
				 cases[i].want, buf_str(&got));
	}
}

static void test_appends(void **state)
{
	CLEANUP(freep) struct published_port *ports = NULL;
	struct err err = { 0 };
	size_t n = 0;

	(void)state;
	assert_int_equal(publish_parse("80:80", &ports, &n, &err), 0);
	assert_int_equal(publish_parse("1000-1001:1000-1001", &ports, &n, &err), 0);
	assert_int_equal(n, 3);
	assert_int_equal(publish_parse("nonsense", &ports, &n, &err), -1);
	assert_int_equal(n, 3);
	assert_int_equal(ports[2].container_port, 1001);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_forms),
		cmocka_unit_test(test_appends),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
