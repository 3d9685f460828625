/*
 * Workers that their input has taken over. They are the real ones, started and jailed as ever, but for the tar
 * reader, which hostile_worker.c replaces. Nothing outside the layer's directory may be reached, and where a part
 * of the jail is not to be had, nothing is unpacked.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/mem.h"
#include "hostile_worker.h"
#include "unpack/worker_private.h"

#ifndef SYS_open_tree
#define SYS_open_tree 428
#endif
#ifndef SYS_move_mount
#define SYS_move_mount 429
#endif
#ifndef SYS_close_range
#define SYS_close_range 436
#endif
#ifndef SYS_openat2
#define SYS_openat2 437
#endif

static char top[] = "/tmp/berth-jail-XXXXXX"; /* layer: the directory; other/secret, host: not its business */
static struct stat other_before, secret_before, host_before;

static void make_file(int dir_fd, const char *name)
{
	int fd = openat(dir_fd, name, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, "secret", 6), 6);
	(void)close(fd);
}

static void stat_all(int fd, struct stat *other, struct stat *secret, struct stat *host)
{
	assert_int_equal(fstatat(fd, "other", other, 0), 0);
	assert_int_equal(fstatat(fd, "other/secret", secret, 0), 0);
	assert_int_equal(fstatat(fd, "host", host, 0), 0);
}

static int set_up(void **state)
{
	static int fds[3];

	assert_non_null(mkdtemp(top));
	fds[0] = open(top, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(mkdirat(fds[0], "other", 0700), 0);
	make_file(fds[0], "host");
	make_file(fds[0], "other/secret");
	/* Left open on purpose, as no code of ours does it. */
	fds[1] = dup2(openat(fds[0], "other", O_RDONLY | O_DIRECTORY), 100);
	fds[2] = dup2(openat(fds[0], "host", O_RDWR), 200);
	assert_true(fds[1] == 100 && fds[2] == 200);
	stat_all(fds[0], &other_before, &secret_before, &host_before);
	*state = fds;
	return 0;
}

static int tear_down(void **state)
{
	const int *fds = *state;

	return unlinkat(fds[0], "other/secret", 0) < 0 || unlinkat(fds[0], "other", AT_REMOVEDIR) < 0 ||
	       unlinkat(fds[0], "host", 0) < 0 || rmdir(top) < 0;
}

static void assert_same(const struct stat *a, const struct stat *b)
{
	assert_int_equal(a->st_nlink, b->st_nlink);
	assert_int_equal(a->st_size, b->st_size);
	assert_int_equal(a->st_mode, b->st_mode);
	assert_int_equal(a->st_ctim.tv_sec, b->st_ctim.tv_sec);
	assert_int_equal(a->st_ctim.tv_nsec, b->st_ctim.tv_nsec);
}

static void on_event(void *arg)
{
	(void)arg;
}

static bool has_ended(void *arg)
{
	struct worker_result result;
	struct err err;

	return worker_result(arg, &result, &err) != 1;
}

/* Gives the order to a worker of its own with the directory to unpack to; how that ended goes to *err. */
static int run_worker(int root_fd, const struct hostile_order *order, struct err *err)
{
	struct worker_options options = { .format = INFLATE_PLAIN, .unpack = true, .root_fd = root_fd };
	struct worker_result result;
	struct worker *w;
	struct zygote *zygote;
	struct loop *loop;

	if (loop_new(&loop, err) < 0 || zygote_start(loop, &zygote, err) < 0 ||
	    worker_start(zygote, &options, on_event, NULL, &w, err) < 0)
		return -1;
	ssize_t n = worker_feed(w, order, sizeof *order, err);
	worker_end_input(w);
	int status = n < 0 || loop_wait(loop, has_ended, w, -1, err) < 0 ? -1 : worker_result(w, &result, err);
	worker_free(w);
	zygote_free(zygote);
	loop_free(loop);
	return status;
}

/* What the worker made is its own affair; the rest must be as it was. */
static void clear_layer(int top_fd, int layer)
{
	static const char *const made[] = { "file", "link", "zero", "new" };
	struct stat other, secret, host;

	for (size_t i = 0; i < ARRAY_LEN(made); i++)
		(void)unlinkat(layer, made[i], 0);
	(void)close(layer);
	assert_int_equal(unlinkat(top_fd, "layer", AT_REMOVEDIR), 0); /* there is nothing else in it */
	stat_all(top_fd, &other, &secret, &host);
	assert_same(&other, &other_before);
	assert_same(&secret, &secret_before);
	assert_same(&host, &host_before);
}

static int make_layer(int top_fd)
{
	assert_int_equal(mkdirat(top_fd, "layer", 0700), 0);
	int fd = openat(top_fd, "layer", O_PATH | O_DIRECTORY | O_CLOEXEC);
	assert_true(fd >= 0);
	return fd;
}

static void try_order(void **state, const struct hostile_order *order, const char *name, const char *expected)
{
	int top_fd = *(int *)*state;
	struct err err = { 0 };
	int layer = make_layer(top_fd);

	if (run_worker(layer, order, &err) == 0 || !streq(err.msg, expected))
		fail_msg("%s: expected \"%s\", got \"%s\"", name, expected, err.msg);
	clear_layer(top_fd, layer);
}

#define KILLED "the worker was killed by SIGSYS"

static void test_attempts_get_nowhere(void **state)
{
	for (size_t i = 0; i < hostile_n_attempts; i++) {
		const struct hostile_order order = { false, (uint16_t)i };
		const struct hostile_attempt *a = &hostile_attempts[i];
		try_order(state, &order, a->name, a->lives ? HOSTILE_NOTHING : KILLED);
	}
}

/* Beyond all that there are. */
#define CALLS_MAX 480

/* One that is allowed here is allowed by intent. */
static const long allowed[] = {
	SYS_brk, SYS_clock_gettime, SYS_close, SYS_exit, SYS_exit_group, SYS_fchmod, SYS_fchmodat, SYS_fchown,
	SYS_fchownat, SYS_fsetxattr, SYS_ftruncate, SYS_futex, SYS_getdents64, SYS_getrandom, SYS_linkat,
	SYS_lseek, SYS_madvise, SYS_mkdirat, SYS_mknodat, SYS_mmap, SYS_mprotect, SYS_mremap, SYS_munmap,
	SYS_newfstatat, SYS_openat2, SYS_pwrite64, SYS_read, SYS_readlinkat, SYS_restart_syscall, SYS_rt_sigprocmask,
	SYS_rt_sigreturn, SYS_sigaltstack, SYS_symlinkat, SYS_unlinkat, SYS_utimensat, SYS_write,
};

static bool is_allowed(long number)
{
#ifdef __x86_64__
	/* uretprobe and uprobe: the kernel's own way back from a probe, which no filter sees; SIGILL for all others. */
	if (number == 335 || number == 336)
		return true;
#endif
	for (size_t i = 0; i < ARRAY_LEN(allowed); i++)
		if (allowed[i] == number)
			return true;
	return false;
}

static void test_all_other_system_calls_kill(void **state)
{
	for (uint16_t number = 0; number < CALLS_MAX; number++) {
		const struct hostile_order order = { true, number };
		CLEANUP(freep) char *name = xasprintf("system call %u", (unsigned int)number);
		if (!is_allowed(number))
			try_order(state, &order, name, KILLED);
	}
}

/* Without these there is no jail: an old kernel, a container's root, a limit on namespaces. */
static const struct {
	const char *name;
	long number;
} needed[] = {
	{ "open_tree", SYS_open_tree }, { "fsopen", SYS_fsopen },
	{ "fsconfig", SYS_fsconfig }, { "fsmount", SYS_fsmount }, { "unshare", SYS_unshare },
	{ "mount", SYS_mount }, { "move_mount", SYS_move_mount },
	{ "pivot_root", SYS_pivot_root }, { "umount2", SYS_umount2 },
	{ "setgroups", SYS_setgroups }, { "setresgid", SYS_setresgid },
	{ "setresuid", SYS_setresuid }, { "capset", SYS_capset },
	{ "prlimit64", SYS_prlimit64 }, { "prctl", SYS_prctl },
	{ "seccomp", SYS_seccomp }, { "close_range", SYS_close_range },
};

/* From here on the call fails in this process and those that it starts. */
static void take_away(long number)
{
	const struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)number, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	const struct sock_fprog prog = { ARRAY_LEN(filter), (struct sock_filter *)filter };

	if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &prog) < 0)
		_exit(98);
}

/* 0: the worker refused to begin. It never says what an attempt got. */
static int run_without(long number, int layer)
{
	const struct hostile_order order = { false, 0 };
	struct err err = { 0 };

	take_away(number);
	if (run_worker(layer, &order, &err) == 0)
		return 1;
	return streq(err.msg, HOSTILE_NOTHING) || err.kind == ERR_REFUSED ? 2 : 0;
}

static void test_without_a_whole_jail_nothing_is_unpacked(void **state)
{
	int top_fd = *(int *)*state, status;

	for (size_t i = 0; i < ARRAY_LEN(needed); i++) {
		int layer = make_layer(top_fd);
		pid_t pid = fork();
		assert_true(pid >= 0);
		if (pid == 0)
			_exit(run_without(needed[i].number, layer));
		assert_int_equal(waitpid(pid, &status, 0), pid);
		if (status != 0)
			fail_msg("without %s: wait status %#x", needed[i].name, (unsigned int)status);
		clear_layer(top_fd, layer);
	}
}

/* Root of most containers may not, and then no worker unpacks. */
static bool may_have_a_jail(void)
{
	int status = 1;
	pid_t pid = fork();

	if (pid == 0)
		_exit(unshare(CLONE_NEWNET | CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWUTS) < 0);
	return pid > 0 && waitpid(pid, &status, 0) == pid && status == 0;
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_attempts_get_nowhere),
		cmocka_unit_test(test_all_other_system_calls_kill),
		cmocka_unit_test(test_without_a_whole_jail_nothing_is_unpacked),
	};

	if (streq(argv[0], ZYGOTE_ARGV0))
		return worker_main(argc, argv);
	if (!may_have_a_jail() && !getenv("BERTH_TESTS_MUST_RUN")) {
		(void)puts("no namespaces without privileges: there is no jail to test");
		return 77; /* skipped, to automake */
	}
	(void)alarm(120); /* a test that hangs has failed */
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
