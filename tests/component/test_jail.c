/*
 * What a process in the jail can still do. Each attempt runs in a child of its own that has entered
 * the jail: whatever is not on the list must kill it.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fs.h"
#include "base/hash.h"
#include "base/mem.h"
#include "unpack/inflate.h"
#include "unpack/jail.h"

#ifndef SYS_openat2
#define SYS_openat2 437
#endif
#ifndef SYS_clone3
#define SYS_clone3 435
#endif
#ifndef SYS_io_uring_setup
#define SYS_io_uring_setup 425
#endif

/* The exit status of a child whose attempt succeeded; one that could not enter the jail. */
#define GOT_AWAY 0
#define NO_JAIL 99

static int out_fd; /* the one descriptor that is kept */

static void run_and_exit(void (*attempt)(void))
{
	const struct jail jail = { .parent = getppid() };
	struct err err = { 0 };

	if (jail_enter(&jail, &out_fd, 1, &err) < 0) {
		(void)!write(out_fd, err.msg, strlen(err.msg));
		_exit(NO_JAIL);
	}
	attempt();
	_exit(GOT_AWAY);
}

/* Runs the attempt in the jail; what it wrote to out_fd goes to *said. */
static int jailed(void (*attempt)(void), char *said, size_t size)
{
	int fds[2], status;

	assert_int_equal(pipe(fds), 0);
	out_fd = fds[1];
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0)
		run_and_exit(attempt);
	(void)close(fds[1]);
	ssize_t n = read(fds[0], said, size - 1);
	said[n > 0 ? n : 0] = '\0';
	(void)close(fds[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

static void call(long number)
{
	(void)syscall(number, 0, 0, 0, 0, 0, 0);
}

static char *const no_strings[] = { NULL };

static void try_open(void) { (void)open("/etc/passwd", O_RDONLY); }
static void try_open_proc(void) { (void)open("/proc/self/mem", O_RDWR); }
static void try_openat2(void) { call(SYS_openat2); }
static void try_unlink(void) { (void)unlink("/tmp/nothing"); }
static void try_stat(void) { struct stat st; (void)fstat(out_fd, &st); }
static void try_chdir(void) { (void)!chdir("/"); }
static void try_socket(void) { (void)socket(AF_INET, SOCK_STREAM, 0); }
static void try_socketpair(void) { int s[2]; (void)socketpair(AF_UNIX, SOCK_STREAM, 0, s); }
static void try_fork(void) { if (fork() == 0) _exit(0); }
static void try_clone3(void) { call(SYS_clone3); }
static void try_exec(void) { (void)execve("/bin/true", no_strings, no_strings); }
static void try_ptrace(void) { (void)ptrace(PTRACE_TRACEME, 0, NULL, NULL); }
static void try_process_vm(void) { call(SYS_process_vm_readv); }
static void try_kill(void) { (void)kill(1, 0); }
static void try_tgkill(void) { call(SYS_tgkill); }
static void try_setuid(void) { (void)!setuid(0); }
static void try_unshare(void) { (void)unshare(CLONE_NEWUSER); }
static void try_mount(void) { call(SYS_mount); }
static void try_prctl(void) { (void)prctl(PR_SET_DUMPABLE, 1, 0, 0, 0); }
static void try_prlimit(void) { struct rlimit r; (void)getrlimit(RLIMIT_AS, &r); }
static void try_bpf(void) { call(SYS_bpf); }
static void try_io_uring(void) { call(SYS_io_uring_setup); }
static void try_memfd(void) { call(SYS_memfd_create); }
static void try_userfaultfd(void) { call(SYS_userfaultfd); }
static void try_dup(void) { (void)!dup(out_fd); }
static void try_ioctl(void) { call(SYS_ioctl); }
static void try_fcntl(void) { call(SYS_fcntl); }
static void try_unknown(void) { call(100000); }

static void try_mmap_exec(void)
{
	(void)mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

static void try_mprotect_exec(void)
{
	void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	(void)mprotect(page, 4096, PROT_READ | PROT_EXEC);
}

#ifdef __x86_64__
static void try_x32_call(void) { call(0x40000000 | SYS_getppid); }

/* The 32-bit table: 20 is getpid there and writev here. */
static void try_i386_call(void)
{
	long result;

	__asm__ volatile("int $0x80" : "=a"(result) : "a"(20L) : "memory");
}
#endif

static const struct {
	const char *name;
	void (*attempt)(void);
} attempts[] = {
	{ "open a file", try_open },
	{ "open its own memory", try_open_proc },
	{ "openat2", try_openat2 },
	{ "unlink", try_unlink },
	{ "fstat", try_stat },
	{ "chdir", try_chdir },
	{ "socket", try_socket },
	{ "socketpair", try_socketpair },
	{ "fork", try_fork },
	{ "clone3", try_clone3 },
	{ "exec", try_exec },
	{ "ptrace", try_ptrace },
	{ "read another process", try_process_vm },
	{ "kill", try_kill },
	{ "tgkill", try_tgkill },
	{ "setuid", try_setuid },
	{ "unshare", try_unshare },
	{ "mount", try_mount },
	{ "prctl", try_prctl },
	{ "rlimits", try_prlimit },
	{ "bpf", try_bpf },
	{ "io_uring", try_io_uring },
	{ "memfd", try_memfd },
	{ "userfaultfd", try_userfaultfd },
	{ "dup", try_dup },
	{ "ioctl", try_ioctl },
	{ "fcntl", try_fcntl },
	{ "a call that does not exist", try_unknown },
	{ "map executable memory", try_mmap_exec },
	{ "make memory executable", try_mprotect_exec },
#ifdef __x86_64__
	{ "a call by the x32 table", try_x32_call },
#endif
};

static void test_what_is_not_allowed_kills(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(attempts); i++) {
		char said[256];
		int status = jailed(attempts[i].attempt, said, sizeof said);
		if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGSYS)
			fail_msg("%s: expected death by SIGSYS, got wait status %#x %s", attempts[i].name,
				 (unsigned int)status, said);
	}
}

#ifdef __x86_64__
/* Kernels without 32-bit emulation answer the instruction itself with a fault. */
static void test_the_32_bit_table_is_closed(void **state)
{
	char said[256];

	(void)state;
	int status = jailed(try_i386_call, said, sizeof said);
	assert_true(WIFSIGNALED(status));
	assert_true(WTERMSIG(status) == SIGSYS || WTERMSIG(status) == SIGSEGV);
}
#endif

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
		cmocka_unit_test(test_what_is_not_allowed_kills),
#ifdef __x86_64__
		cmocka_unit_test(test_the_32_bit_table_is_closed),
#endif
		cmocka_unit_test(test_the_work_can_be_done),
		cmocka_unit_test(test_other_descriptors_are_closed),
		cmocka_unit_test(test_what_the_kernel_says_of_it),
		cmocka_unit_test(test_it_has_a_network_of_its_own),
		cmocka_unit_test(test_it_dies_with_its_parent),
	};

	(void)alarm(60); /* a test that hangs has failed */
	return cmocka_run_group_tests(tests, NULL, NULL);
}
