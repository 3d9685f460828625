/* Lines of /proc/net/tcp and tcp6, and who holds a port. */
#include <arpa/inet.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/sockets.h"
#include "table.h"

static const struct {
	const char *row, *line;
	const char *want; /* "LOCAL PORT REMOTE PORT STATE INODE"; NULL: no such line */
} lines[] = {
	{ "IPv4 listening",
	  "   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 "
	  "00:00000000 00000000     0        0 26334 1 0 100 0 0 10 0\n",
	  "::ffff:127.0.0.1 8080 ::ffff:0.0.0.0 0 10 26334" },
	{ "IPv4 connected",
	  "  12: 010011AC:B2C4 020011AC:0BB8 01 00000000:00000000 "
	  "02:000007D0 00000000     0        0 4026532008 2 0 20 4 30 10 -1\n",
	  "::ffff:172.17.0.1 45764 ::ffff:172.17.0.2 3000 1 4026532008" },
	{ "IPv6 listening",
	  "   1: 00000000000000000000000000000000:0050 00000000000000000000000000000000:0000 0A 00000000:00000000 "
	  "00:00000000 00000000     0        0 777 1 0 100 0 0 10 0\n",
	  ":: 80 :: 0 10 777" },
	{ "IPv6 loopback",
	  "   1: 00000000000000000000000001000000:0050 00000000000000000000000000000000:0000 0A 00000000:00000000 "
	  "00:00000000 00000000     0        0 777 1 0 100 0 0 10 0\n",
	  "::1 80 :: 0 10 777" },
	{ "heading",
	  "  sl  local_address rem_address   st "
	  "tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n", NULL },
	{ "empty", "", NULL },
	{ "short", "   0: 0100007F:1F90 00000000:0000 0A", NULL },
	{ "no hex", "   0: 0100007G:1F90 00000000:0000 0A 0:0 0:0 0 0 0 26334\n", NULL },
	{ "port too large", "   0: 0100007F:1F900 00000000:0000 0A 0:0 0:0 0 0 0 26334\n", NULL },
};

static void test_lines(void **state)
{
	(void)state;
	if (htonl(1) == 1)
		skip(); /* the kernel prints words in its own order; these lines are a little-endian one's */
	for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
		char got[256], local[INET6_ADDRSTRLEN], remote[INET6_ADDRSTRLEN];
		struct socket_line l;
		bool ok = socket_line_parse(lines[i].line, &l);

		row_int(lines[i].row, "parsed", lines[i].want != NULL, ok);
		if (!ok || !lines[i].want)
			continue;
		(void)snprintf(got, sizeof got, "%s %u %s %u %u %llu",
			       inet_ntop(AF_INET6, &l.local, local, sizeof local), l.local_port,
			       inet_ntop(AF_INET6, &l.remote, remote, sizeof remote), l.remote_port, l.state,
			       (unsigned long long)l.inode);
		row_str(lines[i].row, "fields", lines[i].want, got);
	}
	table_end();
}

static void test_holder(void **state)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
	static const struct {
		const char *address;
		bool held;
	} cases[] = {
		{ "::ffff:127.0.0.1", true }, { "::ffff:0.0.0.0", true }, { "::", true },
		{ "::ffff:127.0.0.2", false }, { "::1", false },
	};
	char holder[128], want[128];
	socklen_t len = sizeof address;
	CLEANUP(closep) int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	(void)state;
	assert_int_equal(prctl(PR_SET_NAME, "the holder"), 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
	assert_int_equal(listen(fd, 1), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &len), 0);
	(void)snprintf(want, sizeof want, "the holder (pid %d)", (int)getpid());
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct in6_addr wanted;
		assert_int_equal(inet_pton(AF_INET6, cases[i].address, &wanted), 1);
		bool held = sockets_holder(&wanted, ntohs(address.sin_port), holder, sizeof holder);
		row_int(cases[i].address, "held", cases[i].held, held);
		if (held)
			row_str(cases[i].address, "holder", want, holder);
	}
	table_end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lines),
		cmocka_unit_test(test_holder),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
