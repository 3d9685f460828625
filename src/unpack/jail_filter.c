/*
 * seccomp(2) by hand: forty instructions need no library. Allowed is what reading, inflating,
 * hashing and answering take in glibc and OpenSSL once both are warm: nothing that names a file, an
 * address or another process. A worker that unpacks may also make files and set what belongs to
 * them; which files, the mounts that it sees say.
 */
#include "unpack/jail_filter.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Linux 4.14; before it, the thread alone would die, which for one thread is the same. */
#ifndef SYS_openat2
#define SYS_openat2 437
#endif
#ifndef SECCOMP_RET_KILL_PROCESS
#define SECCOMP_RET_KILL_PROCESS 0x80000000U
#endif

#if defined(__x86_64__)
#define AUDIT_ARCH_HERE AUDIT_ARCH_X86_64
#define X32_SYSCALL_BIT 0x40000000U
#elif defined(__aarch64__)
#define AUDIT_ARCH_HERE AUDIT_ARCH_AARCH64
#else
#error "the jail knows no system call numbers for this machine"
#endif

#define LOAD(field) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)offsetof(struct seccomp_data, field))
#define RETURN(action) BPF_STMT(BPF_RET | BPF_K, action)
#define KILL RETURN(SECCOMP_RET_KILL_PROCESS)
#define ALLOW(name) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)SYS_##name, 0, 1), RETURN(SECCOMP_RET_ALLOW)
/* Both targets are little-endian: the low half of an argument comes first, and PROT_EXEC is in it. */
#define ALLOW_WITHOUT_EXEC(name) \
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)SYS_##name, 0, 4), LOAD(args[2]), \
		BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, PROT_EXEC, 0, 1), KILL, RETURN(SECCOMP_RET_ALLOW)

#ifdef X32_SYSCALL_BIT
#define CHECK_TABLE \
	LOAD(arch), BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_HERE, 1, 0), KILL, LOAD(nr), \
		BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, X32_SYSCALL_BIT, 0, 1), KILL
#else
#define CHECK_TABLE LOAD(arch), BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_HERE, 1, 0), KILL, LOAD(nr)
#endif

/*
 * What the C library does around memory (never executable), locks, signals, time and malloc's
 * random key.
 */
#define ALLOW_COMPUTING \
	ALLOW(read), ALLOW(write), ALLOW(futex), ALLOW(exit), ALLOW(exit_group), ALLOW(brk), ALLOW(munmap), \
		ALLOW(mremap), ALLOW(madvise), ALLOW_WITHOUT_EXEC(mmap), ALLOW_WITHOUT_EXEC(mprotect), \
		ALLOW(rt_sigreturn), ALLOW(rt_sigprocmask), ALLOW(sigaltstack), ALLOW(restart_syscall), \
		ALLOW(clock_gettime), ALLOW(getrandom)

static const struct sock_filter program[] = {
	CHECK_TABLE,
	ALLOW_COMPUTING,
	KILL,
};

/* The frequent ones first: each that does not match costs two instructions. */
static const struct sock_filter unpack_program[] = {
	CHECK_TABLE,
	ALLOW(openat2),
	ALLOW(pwrite64),
	ALLOW(utimensat),
	ALLOW(close),
	ALLOW_COMPUTING,
	ALLOW(fchmod),
	ALLOW(fchmodat),
	ALLOW(fchown),
	ALLOW(fchownat),
	ALLOW(fsetxattr),
	ALLOW(ftruncate),
	ALLOW(getdents64),
	ALLOW(linkat),
	ALLOW(lseek),
	ALLOW(mkdirat),
	ALLOW(mknodat),
	ALLOW(newfstatat),
	ALLOW(readlinkat),
	ALLOW(symlinkat),
	ALLOW(unlinkat),
	KILL,
};

static int install(const struct sock_filter *filter, size_t n, unsigned int flags, struct err *err)
{
	const struct sock_fprog prog = { .len = (unsigned short)n, .filter = (struct sock_filter *)filter };

	/* With TSYNC, a positive answer is a thread that could not be brought along. */
	if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &prog) != 0)
		return err_sys(err, errno, "jail: seccomp");
	return 0;
}

int jail_filter(struct err *err)
{
	return install(program, ARRAY_LEN(program), 0, err);
}

int jail_filter_unpack(struct err *err)
{
	return install(unpack_program, ARRAY_LEN(unpack_program), SECCOMP_FILTER_FLAG_TSYNC, err);
}
