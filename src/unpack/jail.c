#include "unpack/jail.h"

#include <errno.h>
#include <linux/capability.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "unpack/jail_filter.h"

/* Not in in every kernel's headers. */
#ifndef SYS_close_range
#define SYS_close_range 436
#endif

/* "nobody" of every distribution; owns nothing. */
#define JAIL_ID 65534

/*
 * Address space: a zstd window of 128 MiB, what libzstd puts around it, the program and its libraries.
 * Sanitizers map terabytes of shadow memory.
 */
#if defined(__SANITIZE_ADDRESS__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(memory_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifdef SANITIZED
#define ADDRESS_SPACE_MAX RLIM_INFINITY
#else
#define ADDRESS_SPACE_MAX ((rlim_t)512 * MIB)
#endif

static int close_from_to(unsigned int first, unsigned int last, struct err *err)
{
	if (first > last || syscall(SYS_close_range, first, last, 0) == 0)
		return 0;
	if (errno != ENOSYS)
		return err_sys(err, errno, "jail: close_range");

	/* Before Linux 5.9. The parent opens everything O_CLOEXEC, so little is there to close. */
	struct rlimit limit;
	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return err_sys(err, errno, "jail: getrlimit");
	for (unsigned int fd = first; fd <= last && fd < limit.rlim_cur; fd++)
		(void)close((int)fd); /* most are not open */
	return 0;
}

static int close_others(const int *keep, size_t n, struct err *err)
{
	unsigned int from = 0;

	for (size_t i = 0; i < n; i++) {
		if (keep[i] > (int)from && close_from_to(from, (unsigned int)keep[i] - 1, err) < 0)
			return -1;
		from = (unsigned int)keep[i] + 1;
	}
	return close_from_to(from, ~0U, err);
}

/*
 * A second wall behind the filter, which allows no call that could reach a network or a file:
 * where namespaces are not permitted (root of a container), the filter stands alone.
 */
static int leave_namespaces(struct err *err)
{
	if (unshare(CLONE_NEWNET | CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWUTS) == 0 || errno == EPERM ||
	    errno == EINVAL || errno == ENOSYS || errno == ENOSPC)
		return 0;
	return err_sys(err, errno, "jail: unshare");
}

static int drop_capabilities(struct err *err)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = { 0 };

	for (unsigned long cap = 0; prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; cap++)
		/* Without CAP_SETPCAP the set stays; no_new_privs keeps it from mattering. */
		if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0 && errno != EPERM)
			return err_sys(err, errno, "jail: capability %lu", cap);
	(void)prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0); /* Linux 4.3; empty unless we were told */
	if (geteuid() == 0 &&
	    (syscall(SYS_setgroups, 0, NULL) < 0 || setresgid(JAIL_ID, JAIL_ID, JAIL_ID) < 0 ||
	     setresuid(JAIL_ID, JAIL_ID, JAIL_ID) < 0))
		return err_sys(err, errno, "jail: becoming user %d", JAIL_ID);
	if (syscall(SYS_capset, &head, none) < 0)
		return err_sys(err, errno, "jail: capset");
	return 0;
}

static int limit_resources(struct err *err)
{
	static const struct {
		int resource;
		rlim_t max;
	} limits[] = {
		{ RLIMIT_NOFILE, 0 }, /* open ones stay, no new one */
		{ RLIMIT_NPROC, 0 },
		{ RLIMIT_CORE, 0 },
		{ RLIMIT_FSIZE, 0 },
		{ RLIMIT_AS, ADDRESS_SPACE_MAX },
	};

	for (size_t i = 0; i < ARRAY_LEN(limits); i++) {
		struct rlimit now;
		if (getrlimit(limits[i].resource, &now) < 0)
			return err_sys(err, errno, "jail: getrlimit");
		rlim_t max = limits[i].max < now.rlim_max ? limits[i].max : now.rlim_max;
		const struct rlimit limit = { max, max };
		if (setrlimit(limits[i].resource, &limit) < 0)
			return err_sys(err, errno, "jail: setrlimit");
	}
	return 0;
}

/* After the change of user, which clears both the signal and the dumpable flag's meaning. */
static int set_process_flags(struct err *err)
{
	if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 ||
	    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return err_sys(err, errno, "jail: prctl");
	return 0;
}

int jail_enter(const int *keep_fds, size_t n, struct err *err)
{
	if (close_others(keep_fds, n, err) < 0)
		return -1;
	if (geteuid() == 0 && leave_namespaces(err) < 0)
		return -1;
	if (drop_capabilities(err) < 0 || limit_resources(err) < 0 || set_process_flags(err) < 0)
		return -1;
	return jail_filter(err);
}
