/* What systemd hears (sd_notify(3)), through sockets with a path and abstract ones. */
#include "table.h"

#include <pthread.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "agent/notify.h"
#include "base/clock.h"

/* A socket as systemd's; name "@…" is abstract. */
static int listen_at(const char *name)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	const struct timeval patience = { .tv_sec = 2 };

	assert_true(fd >= 0 && strlen(name) <= sizeof addr.sun_path);
	memcpy(addr.sun_path, name, strlen(name));
	if (*name == '@')
		addr.sun_path[0] = '\0';
	assert_int_equal(
		bind(fd, (struct sockaddr *)&addr, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(name))),
		0);
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience), 0);
	setenv("NOTIFY_SOCKET", name, 1);
	return fd;
}

static void heard(int fd, const char *expected)
{
	char text[512] = "";
	ssize_t n = recv(fd, text, sizeof text - 1, 0);

	assert_int_equal(n, strlen(expected));
	assert_string_equal(text, expected);
}

static void both_kinds_of_socket(void **state)
{
	CLEANUP(freep) char *dir = xstrdup("/tmp/berth-test-notify.XXXXXX");
	assert_non_null(mkdtemp(dir));
	CLEANUP(freep) char *path = xasprintf("%s/socket", dir);
	CLEANUP(freep) char *abstract = xasprintf("@berth-test-notify-%d", getpid());
	CLEANUP(freep) char *longest = xasprintf("@%0106d", getpid());
	const char *names[] = { path, abstract, longest };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		CLEANUP(closep) int fd = listen_at(names[i]);
		notify_send("READY=1");
		heard(fd, "READY=1");
		notify_send("STATUS=%s: %d\nEXTEND_TIMEOUT_USEC=%d", "draining", 1, 2);
		heard(fd, "STATUS=draining: 1\nEXTEND_TIMEOUT_USEC=2");
	}
	(void)unlink(path);
	(void)rmdir(dir);
}

static void nobody_there_is_no_trouble(void **state)
{
	CLEANUP(freep) char *long_path = xasprintf("/%0200d", 1);
	const char *const sockets[] = {
		"", "/nonexistent/notify", "@berth-test-nobody", "relative", "vsock:2:1234", "@", long_path, "/tmp",
	};

	(void)state;
	unsetenv("NOTIFY_SOCKET");
	notify_send("READY=1");
	for (size_t i = 0; i < ARRAY_LEN(sockets); i++) {
		setenv("NOTIFY_SOCKET", sockets[i], 1);
		notify_send("READY=1");
	}
}

static void *drain_later(void *arg)
{
	char text[64];
	int fd = *(int *)arg;

	(void)usleep(100000);
	while (recv(fd, text, sizeof text, 0) > 0)
		if (memcmp(text, "READY=1", 7) == 0)
			return arg;
	return NULL;
}

static void a_full_queue_is_waited_for(void **state)
{
	CLEANUP(freep) char *name = xasprintf("@berth-test-queue-%d", getpid());
	CLEANUP(closep) int fd = listen_at(name);
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	CLEANUP(closep) int filler = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	pthread_t thread;
	void *got;

	(void)state;
	memcpy(addr.sun_path, name, strlen(name));
	addr.sun_path[0] = '\0';
	assert_int_equal(connect(filler, (struct sockaddr *)&addr,
				 (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(name))), 0);
	while (send(filler, "STATUS=x", 8, 0) > 0)
		;
	assert_int_equal(pthread_create(&thread, NULL, drain_later, &fd), 0);
	notify_send("READY=1");
	pthread_join(thread, &got);
	assert_non_null(got);
}

static void a_stuck_systemd_is_left(void **state)
{
	CLEANUP(freep) char *name = xasprintf("@berth-test-stuck-%d", getpid());
	CLEANUP(closep) int fd = listen_at(name);
	int64_t start = clock_mono_ms();

	(void)state;
	for (int i = 0; i < 100000 && clock_mono_ms() - start < 1000; i++)
		notify_send("STATUS=x"); /* waits for 2 s when the queue is full, and no longer */
	assert_true(clock_mono_ms() - start < 4000);
}

static void watchdog_period(void **state)
{
	CLEANUP(freep) char *self = xasprintf("%d", getpid());
	const struct {
		const char *usec, *pid;
		int64_t ms;
	} rows[] = {
		{ NULL, NULL, 0 },     { "", NULL, 0 },		{ "60000000", NULL, 60000 },
		{ "60000000", self, 60000 },
		{ "60000000", "1", 0 }, { "60000000", "", 60000 }, { "0", NULL, 0 },		  { "-5", NULL, 0 },
		{ "1x", NULL, 0 },     { "999", NULL, 0 },	{ "99999999999999999999", NULL, 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		unsetenv("WATCHDOG_USEC");
		unsetenv("WATCHDOG_PID");
		if (rows[i].usec)
			setenv("WATCHDOG_USEC", rows[i].usec, 1);
		if (rows[i].pid)
			setenv("WATCHDOG_PID", rows[i].pid, 1);
		row_int(rows[i].usec ?: "unset", "ms", rows[i].ms, notify_watchdog_ms());
	}
	table_end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(both_kinds_of_socket),
		cmocka_unit_test(nobody_there_is_no_trouble),
		cmocka_unit_test(a_full_queue_is_waited_for),
		cmocka_unit_test(a_stuck_systemd_is_left),
		cmocka_unit_test(watchdog_period),
	};

	return cmocka_run_group_tests_name("notify", tests, NULL, NULL);
}
