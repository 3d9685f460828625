#include "unpack/jail.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/mem.h"
#include "unpack/jail_filter.h"

/* Not in every kernel's headers. */
#ifndef SYS_close_range
#define SYS_close_range 436
#endif

/* "nobody" of every distribution; owns nothing. */
#define JAIL_ID 65534

/*
 * Address space: a zstd window of 128 MiB, what libzstd puts around it, the program and its
 * libraries. Sanitizers map terabytes of shadow memory.
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

/* What sets owners, modes, times and file capabilities of files that are already the layer's own. */
static const unsigned int unpack_capabilities[] = { CAP_CHOWN, CAP_DAC_OVERRIDE, CAP_FOWNER, CAP_FSETID, CAP_SETFCAP };

static int limit_bounding_set(uint64_t keep, struct err *err)
{
	for (unsigned long cap = 0; prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; cap++)
		/* Without CAP_SETPCAP the set stays; no_new_privs keeps it from mattering. */
		if (!(keep >> cap & 1) && prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0 && errno != EPERM)
			return err_sys(err, errno, "jail: capability %lu", cap);
	(void)prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0); /* Linux 4.3; empty unless we were told */
	return 0;
}

static int set_capabilities(uint64_t keep, struct err *err)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = { 0 };

	for (size_t i = 0; i < ARRAY_LEN(data); i++)
		data[i].effective = data[i].permitted = (uint32_t)(keep >> 32 * i);
	return syscall(SYS_capset, &head, data) < 0 ? err_sys(err, errno, "jail: capset") : 0;
}

static int drop_capabilities(struct err *err)
{
	if (limit_bounding_set(0, err) < 0)
		return -1;
	if (geteuid() == 0 &&
	    (syscall(SYS_setgroups, 0, NULL) < 0 || setresgid(JAIL_ID, JAIL_ID, JAIL_ID) < 0 ||
	     setresuid(JAIL_ID, JAIL_ID, JAIL_ID) < 0))
		return err_sys(err, errno, "jail: becoming user %d", JAIL_ID);
	return set_capabilities(0, err);
}

/* Files are root's unless their entry says otherwise, so the process stays root, without what makes root strong. */
static int keep_unpack_capabilities(struct err *err)
{
	uint64_t keep = 0;

	for (size_t i = 0; i < ARRAY_LEN(unpack_capabilities); i++)
		keep |= (uint64_t)1 << unpack_capabilities[i];
	if (limit_bounding_set(keep, err) < 0)
		return -1;
	if (syscall(SYS_setgroups, 0, NULL) < 0 || setresgid(0, 0, 0) < 0 || setresuid(0, 0, 0) < 0)
		return err_sys(err, errno, "jail: becoming root without groups");
	return set_capabilities(keep, err);
}

struct limit {
	int resource;
	rlim_t max;
};

static int limit_resources(const struct limit *limits, size_t n, struct err *err)
{
	for (size_t i = 0; i < n; i++) {
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
static int set_process_flags(const struct jail *jail, struct err *err)
{
	if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 ||
	    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return err_sys(err, errno, "jail: prctl");
	/* A death signal counts from the moment it was asked for. */
	return getppid() == jail->parent ? 0 : err_set(err, ERR_CANCELLED, "the parent is gone");
}

int jail_enter(const struct jail *jail, const int *keep_fds, size_t n, struct err *err)
{
	static const struct limit limits[] = {
		{ RLIMIT_NOFILE, 0 }, /* open ones stay, no new one */
		{ RLIMIT_NPROC, 0 },
		{ RLIMIT_CORE, 0 },
		{ RLIMIT_FSIZE, 0 },
		{ RLIMIT_AS, ADDRESS_SPACE_MAX },
	};

	if (close_others(keep_fds, n, err) < 0)
		return -1;
	if (!jail->apart && geteuid() == 0 && leave_namespaces(err) < 0)
		return -1;
	if (drop_capabilities(err) < 0 || limit_resources(limits, ARRAY_LEN(limits), err) < 0 ||
	    set_process_flags(jail, err) < 0)
		return -1;
	return jail_filter(err);
}

/* A mount that belongs to no namespace yet becomes all there is in this one. */
static int become_root(int tree, struct err *err)
{
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    move_mount(tree, "", AT_FDCWD, "/", MOVE_MOUNT_F_EMPTY_PATH) < 0 || fchdir(tree) < 0)
		return err_sys(err, errno, "jail: mount");
	if (mount(NULL, ".", NULL, MS_REMOUNT | MS_BIND | MS_NODEV | MS_NOSUID | MS_NOEXEC, NULL) < 0)
		return err_sys(err, errno, "jail: remount");
	/* pivot_root(2): with the same directory for both, the old root is mounted above the new one. */
	if (syscall(SYS_pivot_root, ".", ".") < 0 || umount2(".", MNT_DETACH) < 0 || chdir("/") < 0)
		return err_sys(err, errno, "jail: pivot_root");
	return 0;
}

/* An empty file system of which nobody has a name. */
static int open_nothing(int *out, struct err *err)
{
	CLEANUP(closep) int context = fsopen("tmpfs", FSOPEN_CLOEXEC);

	if (context < 0 || fsconfig(context, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
		return err_sys(err, errno, "jail: tmpfs");
	*out = fsmount(context, FSMOUNT_CLOEXEC, MOUNT_ATTR_RDONLY);
	return *out < 0 ? err_sys(err, errno, "jail: fsmount") : 0;
}

static int leave_all(struct jail *jail, struct err *err)
{
	CLEANUP(closep) int nothing = -1;

	if (unshare(CLONE_NEWNET | CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWUTS) < 0)
		return err_sys(err, errno, "jail: unshare");
	jail->apart = true;
	return open_nothing(&nothing, err) < 0 ? -1 : become_root(nothing, err);
}

void jail_prepare(const int *keep_fds, size_t n, struct jail *out)
{
	struct err err = { 0 };

	*out = (struct jail){ .parent = getpid() };
	/* Its error is kept. */
	if (close_others(keep_fds, n, &err) == 0)
		(void)!leave_all(out, &err);
	out->reason = err;
}

int jail_tree(int dir_fd, int *out, struct err *err)
{
	*out = open_tree(dir_fd, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH);
	return *out < 0 ? err_sys(err, errno, "jail: open_tree") : 0;
}

static int enter_directory(int *root_fd, struct err *err)
{
	if (unshare(CLONE_NEWNS) < 0)
		return err_sys(err, errno, "jail: unshare");
	if (become_root(*root_fd, err) < 0)
		return -1;
	int inside = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (inside < 0)
		return err_sys(err, errno, "jail: /");
	(void)close(*root_fd);
	*root_fd = inside;
	return 0;
}

/* Cached directories of the writer, and a few. */
#define UNPACK_FILES_MAX 512

int jail_confine(const struct jail *jail, const int *keep_fds, size_t n, int *root_fd, struct err *err)
{
	static const struct limit limits[] = {
		{ RLIMIT_NOFILE, UNPACK_FILES_MAX },
		{ RLIMIT_CORE, 0 },
		{ RLIMIT_AS, ADDRESS_SPACE_MAX },
	};

	if (jail->reason.kind != ERR_NONE) {
		*err = jail->reason;
		return -1;
	}
	if (close_others(keep_fds, n, err) < 0 || enter_directory(root_fd, err) < 0 ||
	    keep_unpack_capabilities(err) < 0 || limit_resources(limits, ARRAY_LEN(limits), err) < 0)
		return -1;
	return set_process_flags(jail, err);
}

int jail_seal(struct err *err)
{
	static const struct limit limits[] = { { RLIMIT_NPROC, 0 } };

	return limit_resources(limits, ARRAY_LEN(limits), err) < 0 ? -1 : jail_filter_unpack(err);
}
