/*
 * seccomp(2) by hand: forty instructions need no library. Allowed is what reading,
 * inflating, hashing and answering take in glibc and OpenSSL once both are warm:
 * nothing that names a file, an address or another process.
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

static const struct sock_filter program[] = {
	LOAD(arch),
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_HERE, 1, 0),
	KILL,
	LOAD(nr),
#ifdef X32_SYSCALL_BIT
	BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, X32_SYSCALL_BIT, 0, 1),
	KILL,
#endif
	ALLOW(read),
	ALLOW(write),
	ALLOW(exit),
	ALLOW(exit_group),
	/* memory, never executable */
	ALLOW(brk),
	ALLOW(munmap),
	ALLOW(mremap),
	ALLOW(madvise),
	ALLOW_WITHOUT_EXEC(mmap),
	ALLOW_WITHOUT_EXEC(mprotect),
	/* what the C library does around locks, signals, time and malloc's random key */
	ALLOW(futex),
	ALLOW(rt_sigreturn),
	ALLOW(rt_sigprocmask),
	ALLOW(sigaltstack),
	ALLOW(restart_syscall),
	ALLOW(clock_gettime),
	ALLOW(getrandom),
	/* has the parent died before it could be told to kill us? */
	ALLOW(getppid),
	KILL,
};

int jail_filter(struct err *err)
{
	const struct sock_fprog prog = { .len = ARRAY_LEN(program), .filter = (struct sock_filter *)program };

	if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &prog) < 0)
		return err_sys(err, errno, "jail: seccomp");
	return 0;
}
