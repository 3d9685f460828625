/* What a process in the jail can still call: whatever is not on the list must kill it. */
#include "jail_fixture.h"

#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#ifndef SYS_openat2
#define SYS_openat2 437
#endif
#ifndef SYS_clone3
#define SYS_clone3 435
#endif
#ifndef SYS_io_uring_setup
#define SYS_io_uring_setup 425
#endif

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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_is_not_allowed_kills),
#ifdef __x86_64__
		cmocka_unit_test(test_the_32_bit_table_is_closed),
#endif
	};

	(void)alarm(60); /* a test that hangs has failed */
	return cmocka_run_group_tests(tests, NULL, NULL);
}
