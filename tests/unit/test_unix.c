/* Connecting to sockets of this machine: who is there, who is not, and who has no time. */
#include "table.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "net/unix.h"

#define QUEUE 1
#define PATH_LEN 107 /* the longest (unix(7)) */

struct place {
	char dir[sizeof "/tmp/berth-test-unix.XXXXXX"];
	char path[PATH_LEN + 2];
};

/* len: of the socket's path, which does not exist yet. */
static struct place place_make(size_t len)
{
	struct place p = { .dir = "/tmp/berth-test-unix.XXXXXX" };

	assert_non_null(mkdtemp(p.dir));
	assert_true(len < sizeof p.path);
	(void)snprintf(p.path, sizeof p.path, "%s/%0*d", p.dir, (int)(len - strlen(p.dir) - 1), 0);
	return p;
}

static void place_remove(struct place *p)
{
	(void)unlink(p->path);
	(void)rmdir(p->dir);
}

static int listen_at(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(strlen(path) < sizeof address.sun_path);
	memcpy(address.sun_path, path, strlen(path) + 1);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
	assert_int_equal(listen(fd, QUEUE), 0);
	return fd;
}

static void a_server_is_reached(void **state)
{
	const size_t lengths[] = { 40, PATH_LEN };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(lengths); i++) {
		CLEANUP(place_remove) struct place p = place_make(lengths[i]);
		CLEANUP(closep) int server = listen_at(p.path);
		CLEANUP(closep) int fd = -1;
		struct err err;
		char byte;

		row_ok(p.path, unix_connect(p.path, &fd, &err), &err);
		row_int(p.path, "FD_CLOEXEC", FD_CLOEXEC, fcntl(fd, F_GETFD));
		row_int(p.path, "recv", -1, recv(fd, &byte, 1, 0));
		row_int(p.path, "errno of recv", EAGAIN, errno);
		row_ok(p.path, unix_listens(p.path, &err), &err);
	}
	table_end();
}

static void nobody_answers(void **state)
{
	CLEANUP(place_remove) struct place p = place_make(40);
	int fd = 7;
	struct err err;

	(void)state;
	row_refused("nothing", unix_connect(p.path, &fd, &err), ERR_NETWORK, "nobody answers", &err);
	row_int("nothing", "errnum", ENOENT, err.errnum);
	(void)close(listen_at(p.path));
	row_refused("left", unix_connect(p.path, &fd, &err), ERR_NETWORK, "nobody answers", &err);
	row_int("left", "errnum", ECONNREFUSED, err.errnum);
	row_refused("left", unix_listens(p.path, &err), ERR_NETWORK, "nobody answers", &err);
	row_int("left", "*out", 7, fd);
	table_end();
}

static void a_full_queue_is_somebody(void **state)
{
	CLEANUP(place_remove) struct place p = place_make(40);
	CLEANUP(closep) int server = listen_at(p.path);
	int waiting[QUEUE + 1], fd = -1;
	struct err err;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(waiting); i++)
		row_ok("queue", unix_connect(p.path, &waiting[i], &err), &err);
	row_refused("full", unix_connect(p.path, &fd, &err), ERR_NETWORK, "nobody answers", &err);
	row_int("full", "errnum", EAGAIN, err.errnum);
	row_ok("full", unix_listens(p.path, &err), &err);
	for (size_t i = 0; i < ARRAY_LEN(waiting); i++)
		closep(&waiting[i]);
	table_end();
}

static void a_path_that_is_too_long(void **state)
{
	CLEANUP(place_remove) struct place p = place_make(PATH_LEN + 1);
	int fd = -1;
	struct err err;

	(void)state;
	row_refused("long", unix_connect(p.path, &fd, &err), ERR_CONFIG, "too long", &err);
	row_refused("long", unix_listens(p.path, &err), ERR_CONFIG, "too long", &err);
	table_end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_server_is_reached),
		cmocka_unit_test(nobody_answers),
		cmocka_unit_test(a_full_queue_is_somebody),
		cmocka_unit_test(a_path_that_is_too_long),
	};

	return cmocka_run_group_tests_name("unix", tests, NULL, NULL);
}
