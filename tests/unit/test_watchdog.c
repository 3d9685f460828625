/* systemd's watchdog is fed while berth is well, and only then. */
#include "table.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "agent/watchdog.h"
#include "base/clock.h"
#include "net/loop.h"

#define PERIOD_MS 150

static int systemd_fd = -1;

static int setup(void **state)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	CLEANUP(freep) char *name = xasprintf("@berth-test-watchdog-%d", getpid());
	CLEANUP(freep) char *usec = xasprintf("%d", PERIOD_MS * 1000);

	(void)state;
	systemd_fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	memcpy(addr.sun_path + 1, name + 1, strlen(name) - 1);
	setenv("NOTIFY_SOCKET", name, 1);
	setenv("WATCHDOG_USEC", usec, 1);
	unsetenv("WATCHDOG_PID");
	return bind(systemd_fd, (struct sockaddr *)&addr,
		    (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(name)));
}

static int teardown(void **state)
{
	(void)state;
	return close(systemd_fd);
}

static int fed(void)
{
	char text[64];
	int n = 0;

	for (ssize_t len; (len = recv(systemd_fd, text, sizeof text, 0)) > 0; n++) {
		assert_int_equal(len, strlen("WATCHDOG=1"));
		assert_memory_equal(text, "WATCHDOG=1", (size_t)len);
	}
	return n;
}

/* The port that the kernel gives to who asks for none; free again, and near enough to still being it. */
static char *free_listen(void)
{
	struct sockaddr_in addr = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	CLEANUP(closep) int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	socklen_t len = sizeof addr;

	assert_int_equal(bind(fd, (struct sockaddr *)&addr, len), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&addr, &len), 0);
	return xasprintf("127.0.0.1:%u", ntohs(addr.sin_port));
}

static void run_loop(struct context *c, int64_t ms)
{
	struct err err;

	if (loop_sleep(c->loop, ms, &err) < 0)
		fail_msg("%s", err.msg);
}

static void fed_while_well(void **state)
{
	CLEANUP(freep) char *address = free_listen();
	struct board *board = board_new();
	struct context c = { .last_progress_ms = clock_mono_ms() };
	struct watchdog *w;
	struct health *h;
	struct err err;

	(void)state;
	if (loop_new(&c.loop, &err) < 0 || health_start(address, board, &h, &err) < 0)
		fail_msg("%s", err.msg);
	w = watchdog_start(&c, h);
	assert_non_null(w);
	assert_int_equal(fed(), 1); /* at once */
	run_loop(&c, 4 * PERIOD_MS);
	assert_in_range(fed(), 4, 13); /* three times a period, and at least once */

	c.last_progress_ms = clock_mono_ms() - WATCHDOG_MAIN_LINE_MS; /* the main line has stood still */
	run_loop(&c, 2 * PERIOD_MS);
	assert_int_equal(fed(), 0);
	c.last_progress_ms = INT64_MAX / 2; /* it waits on purpose */
	run_loop(&c, 2 * PERIOD_MS);
	assert_true(fed() > 0);

	(void)usleep(2 * PERIOD_MS * 1000); /* the loop does not turn */
	assert_int_equal(fed(), 0);
	watchdog_stop(w);
	run_loop(&c, 2 * PERIOD_MS);
	assert_int_equal(fed(), 0);
	health_stop(h);
	loop_free(c.loop);
	board_free(board);
}

static void nobody_asked(void **state)
{
	struct context c = { .loop = NULL };

	(void)state;
	unsetenv("WATCHDOG_USEC");
	assert_null(watchdog_start(&c, NULL));
	watchdog_stop(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fed_while_well),
		cmocka_unit_test(nobody_asked),
	};

	return cmocka_run_group_tests_name("watchdog", tests, setup, teardown);
}
