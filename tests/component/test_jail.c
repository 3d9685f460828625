/* A process in the jail: what it can do, what it has, and what the kernel says of it. */
#include "jail_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/syscall.h>

#include "base/fs.h"
#include "base/hash.h"
#include "unpack/inflate.h"

static int sink(void *arg, const void *bytes, size_t len, struct err *err)
{
	(void)err;
	sha256_update(arg, bytes, len);
	return 0;
}

static void say(const char *text)
{
	(void)!write(out_fd, text, strlen(text));
}

static struct inflate *warm_inflate;
static struct sha256 *warm_hash;

static void do_the_work(void)
{
	static const char frame[] = "\x28\xb5\x2f\xfd\0\x88\x19\0\0" "abc"; /* zstd, window of 128 MiB */
	uint8_t digest[SHA256_BYTES];
	char hex[SHA256_HEX_SIZE];
	struct err err = { 0 };
	char *memory = malloc(100 * MIB);

	if (!memory) {
		say("no memory");
		return;
	}
	memset(memory, 1, 100 * MIB);
	free(memory);
	if (inflate_feed(warm_inflate, frame, sizeof frame - 1, sink, warm_hash, &err) < 0 ||
	    inflate_end(warm_inflate, &err) < 0) {
		say(err.msg);
		return;
	}
	sha256_final(warm_hash, digest);
	hex_encode(digest, sizeof digest, hex);
	say(hex);
}

static void test_the_work_can_be_done(void **state)
{
	char said[256], want[SHA256_HEX_SIZE];
	uint8_t unused[SHA256_BYTES];
	struct err err = { 0 };

	(void)state;
	sha256_hex_of("abc", 3, want);
	assert_int_equal(inflate_new(INFLATE_ZSTD, &warm_inflate, &err), 0);
	warm_hash = sha256_new();
	sha256_final(warm_hash, unused);
	sha256_reset(warm_hash);
	int status = jailed(do_the_work, said, sizeof said);
	assert_string_equal(said, want);
	assert_int_equal(status, 0);
	inflate_free(warm_inflate);
	sha256_free(warm_hash);
}

static int leaked_fd;

static void write_to_a_leaked_descriptor(void)
{
	say(write(leaked_fd, "x", 1) < 0 && errno == EBADF ? "closed" : "open");
}

static void test_other_descriptors_are_closed(void **state)
{
	char said[16];

	(void)state;
	leaked_fd = open("/dev/null", O_WRONLY);
	assert_true(leaked_fd >= 0);
	(void)jailed(write_to_a_leaked_descriptor, said, sizeof said);
	assert_string_equal(said, "closed");
	(void)close(leaked_fd);
}

static void wait_for_ever(void)
{
	say("ready");
	for (;;)
		(void)syscall(SYS_futex, &out_fd, 0 /* FUTEX_WAIT */, out_fd, NULL, NULL, 0);
}

static void assert_status_has(const char *status, const char *line)
{
	if (!strstr(status, line))
		fail_msg("no line \"%s\" in\n%s", line, status);
}

static void read_proc(pid_t pid, const char *name, struct buf *out)
{
	CLEANUP(freep) char *path = xasprintf("/proc/%d/%s", (int)pid, name);
	struct err err = { 0 };

	if (fs_read(path, out, &err) < 0)
		fail_msg("%s", err.msg);
}

static pid_t start_waiting_child(void)
{
	char said[8] = "";
	int fds[2];

	assert_int_equal(pipe(fds), 0);
	out_fd = fds[1];
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0)
		run_and_exit(wait_for_ever);
	(void)close(fds[1]);
	assert_true(read(fds[0], said, sizeof said - 1) > 0);
	(void)close(fds[0]);
	assert_string_equal(said, "ready");
	return pid;
}

static void test_what_the_kernel_says_of_it(void **state)
{
	CLEANUP(buf_free) struct buf status = BUF_INIT(64 * KIB);
	pid_t pid = start_waiting_child();

	(void)state;
	read_proc(pid, "status", &status);
	assert_status_has(status.data, "\nSeccomp:\t2\n");
	assert_status_has(status.data, "\nNoNewPrivs:\t1\n");
	assert_status_has(status.data, "\nCapEff:\t0000000000000000\n");
	assert_status_has(status.data, "\nCapPrm:\t0000000000000000\n");
	if (geteuid() == 0) {
		assert_status_has(status.data, "\nCapBnd:\t0000000000000000\n");
		assert_status_has(status.data, "\nUid:\t65534\t65534\t65534\t65534\n");
		assert_status_has(status.data, "\nGid:\t65534\t65534\t65534\t65534\n");
		assert_status_has(status.data, "\nGroups:\t \n");
	} else {
		print_message("not root: no change of user to look at\n");
	}
	(void)kill(pid, SIGKILL);
	(void)waitpid(pid, NULL, 0);
}

static void test_it_has_a_network_of_its_own(void **state)
{
	char ours[64] = "", theirs[64] = "";

	(void)state;
	if (geteuid() != 0) {
		print_message("not root: namespaces are not left\n");
		assert_null(getenv("BERTH_TESTS_MUST_RUN"));
		skip();
	}
	pid_t pid = start_waiting_child();
	CLEANUP(freep) char *path = xasprintf("/proc/%d/ns/net", (int)pid);
	assert_true(readlink("/proc/self/ns/net", ours, sizeof ours - 1) > 0);
	assert_true(readlink(path, theirs, sizeof theirs - 1) > 0);
	assert_string_not_equal(ours, theirs);
	(void)kill(pid, SIGKILL);
	(void)waitpid(pid, NULL, 0);
}

/* parent → middle → jailed: the middle one dies, the jailed one must follow. */
static void test_it_dies_with_its_parent(void **state)
{
	int fds[2];
	char byte;

	(void)state;
	assert_int_equal(pipe(fds), 0);
	pid_t middle = fork();
	assert_true(middle >= 0);
	if (middle == 0) {
		out_fd = fds[1];
		pid_t pid = fork();
		if (pid == 0)
			run_and_exit(wait_for_ever);
		(void)close(fds[1]);
		(void)!read(fds[0], &byte, 1); /* the first byte of "ready" */
		_exit(pid > 0 ? 0 : 1);
	}
	(void)close(fds[1]);
	assert_int_equal(waitpid(middle, NULL, 0), middle);
	while (read(fds[0], &byte, 1) > 0)
		; /* the rest of it, then the end: nobody holds the pipe any more */
	(void)close(fds[0]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_work_can_be_done),
		cmocka_unit_test(test_other_descriptors_are_closed),
		cmocka_unit_test(test_what_the_kernel_says_of_it),
		cmocka_unit_test(test_it_has_a_network_of_its_own),
		cmocka_unit_test(test_it_dies_with_its_parent),
	};

	(void)alarm(60); /* a test that hangs has failed */
	return cmocka_run_group_tests(tests, NULL, NULL);
}
