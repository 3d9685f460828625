/*
 * What an exploit would do from the place of the tar reader: it takes the place of layer.c in the worker of a test, and
 * says what it has got hold of, if it lives to say something.
 */
#include "hostile_worker.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/mem.h"
#include "unpack/layer.h"
#include "unpack/worker_private.h"

#ifndef SYS_openat2
#define SYS_openat2 437
#endif

/* As many as a worker may have open, and more. */
#define FDS_MAX 1024

static int layer_fd;

static int open_by(int dir_fd, const char *path, int flags)
{
	const struct { uint64_t flags, mode, resolve; } how = { (uint64_t)flags, flags & O_CREAT ? 0600 : 0, 0 };

	return (int)syscall(SYS_openat2, dir_fd, path, &how, sizeof how);
}

static const char *const host_paths[] = {
	"/etc/passwd", "/proc/self/mem", "/proc/1/root", "/sys/kernel", "/dev/null", "/tmp", "/var", "/usr", "/bin/sh",
	"../../../../../../../../etc/passwd", "../other/secret", "../host", "/../other",
};

static const char *open_host_files(void)
{
	for (size_t i = 0; i < ARRAY_LEN(host_paths); i++)
		for (int fd = AT_FDCWD; fd < FDS_MAX; fd = fd < 0 ? 0 : fd + 1)
			if (open_by(fd, host_paths[i], O_PATH) >= 0)
				return host_paths[i];
	return HOSTILE_NOTHING;
}

static const char *follow_own_links(void)
{
	for (size_t i = 0; i < ARRAY_LEN(host_paths); i++) {
		if (symlinkat(host_paths[i], layer_fd, "link") < 0)
			return "no link";
		if (open_by(layer_fd, "link", O_PATH) >= 0)
			return host_paths[i];
		(void)unlinkat(layer_fd, "link", 0);
	}
	return HOSTILE_NOTHING;
}

static const char *change_host_files(void)
{
	const struct timespec times[2] = { { 0 } };

	for (size_t i = 0; i < ARRAY_LEN(host_paths); i++) {
		const char *path = host_paths[i];
		if (linkat(AT_FDCWD, path, layer_fd, "got", 0) == 0 || fchownat(AT_FDCWD, path, 1, 1, 0) == 0 ||
		    fchmodat(AT_FDCWD, path, 0777, 0) == 0 || utimensat(AT_FDCWD, path, times, 0) == 0 ||
		    unlinkat(AT_FDCWD, path, 0) == 0)
			return path;
	}
	return HOSTILE_NOTHING;
}

/* What it made itself is all that the top has, however it is called; the parent has put nothing there. */
static const char *look_around(void)
{
	static const char *const tops[] = { "/", ".", "..", "../..", "/..", "/../../.." };
	char entries[4096];

	for (size_t i = 0; i < ARRAY_LEN(tops); i++) {
		int fd = open_by(layer_fd, tops[i], O_RDONLY | O_DIRECTORY);
		if (fd < 0 || syscall(SYS_getdents64, fd, entries, sizeof entries) != 48 /* "." and ".." */)
			return tops[i];
	}
	return HOSTILE_NOTHING;
}

static const char *open_the_disk(void)
{
	static const unsigned int majors[] = { 1, 7, 8, 9, 202, 252, 253, 254, 259 };

	for (size_t i = 0; i < ARRAY_LEN(majors); i++)
		if (mknodat(layer_fd, "disk", S_IFBLK | 0600, makedev(majors[i], 0)) == 0 ||
		    mknodat(layer_fd, "mem", S_IFCHR | 0600, makedev(majors[i], 1)) == 0)
			return "a device";
	/* 0:0, which it may make, is no device that can be opened, least of all where there are none. */
	if (mknodat(layer_fd, "zero", S_IFCHR | 0600, 0) < 0 || open_by(layer_fd, "zero", O_RDWR) >= 0)
		return "0:0";
	return HOSTILE_NOTHING;
}

static const char *use_inherited_descriptors(void)
{
	char byte;

	for (int fd = 0; fd < FDS_MAX; fd++) {
		if (fd == WORKER_DATA_FD || fd == WORKER_RESULT_FD || fd == layer_fd)
			continue;
		if (write(fd, "x", 1) == 1)
			return "a descriptor to write to";
		if (read(fd, &byte, 1) == 1)
			return "a descriptor to read from";
		if (open_by(fd, "secret", O_RDONLY) >= 0 || open_by(fd, "new", O_WRONLY | O_CREAT) >= 0)
			return "a directory";
	}
	return HOSTILE_NOTHING;
}

static const char *set_strong_attributes(void)
{
	int fd = open_by(layer_fd, "file", O_WRONLY | O_CREAT);

	if (fd < 0)
		return "no file";
	if (fsetxattr(fd, "trusted.overlay.redirect", "/etc", 4, 0) == 0 || fsetxattr(fd, "security.x", "1", 1, 0) == 0)
		return "an attribute";
	return HOSTILE_NOTHING;
}

/* Sanitizers map so much that the jail sets no limit for them. */
#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define UNLIMITED 1
#endif
#elif defined(__SANITIZE_ADDRESS__)
#define UNLIMITED 1
#endif

static const char *take_memory(void)
{
#ifdef UNLIMITED
	return HOSTILE_NOTHING;
#else
	return mmap(NULL, 1 * GIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED
		       ? HOSTILE_NOTHING
		       : "a gigabyte";
#endif
}

static const char *read_environment(void)
{
	return environ && environ[0] ? "an environment" : HOSTILE_NOTHING;
}

static const char *const not_killed = "a system call";
static char *const no_strings[] = { NULL };

static const char *try_exec_memory(void)
{
	(void)mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	return not_killed;
}

static const char *try_exec(void) { (void)execve("/bin/sh", no_strings, no_strings); return not_killed; }
static const char *try_fork(void) { (void)fork(); return not_killed; }
static const char *try_ptrace(void) { (void)ptrace(PTRACE_ATTACH, 1, NULL, NULL); return not_killed; }
static const char *try_kill(void) { (void)kill(1, 0); return not_killed; }
static const char *try_socket(void) { (void)socket(AF_INET, SOCK_STREAM, 0); return not_killed; }
static const char *try_unix(void) { (void)socket(AF_UNIX, SOCK_STREAM, 0); return not_killed; }
static const char *try_netlink(void) { (void)socket(AF_NETLINK, SOCK_RAW, 0); return not_killed; }
static const char *try_setns(void) { (void)setns(layer_fd, 0); return not_killed; }
static const char *try_unshare(void) { (void)unshare(CLONE_NEWUSER); return not_killed; }
static const char *try_openat(void) { (void)openat(layer_fd, "..", O_PATH); return not_killed; }

const struct hostile_attempt hostile_attempts[] = {
	{ "open files of the host", open_host_files, true },
	{ "open them through links of its own", follow_own_links, true },
	{ "link, change or remove them", change_host_files, true },
	{ "look around", look_around, true },
	{ "make and open devices", open_the_disk, true },
	{ "use inherited descriptors", use_inherited_descriptors, true },
	{ "set attributes that overlayfs obeys", set_strong_attributes, true },
	{ "take memory", take_memory, true },
	{ "read the environment", read_environment, true },
	{ "map executable memory", try_exec_memory, false },
	{ "exec", try_exec, false },
	{ "fork", try_fork, false },
	{ "ptrace its parent", try_ptrace, false },
	{ "signal its parent", try_kill, false },
	{ "a socket", try_socket, false },
	{ "a Unix socket", try_unix, false },
	{ "a netlink socket", try_netlink, false },
	{ "setns", try_setns, false },
	{ "unshare", try_unshare, false },
	{ "openat", try_openat, false },
};
const size_t hostile_n_attempts = ARRAY_LEN(hostile_attempts);

/* In place of layer.c. */
int layer_apply(int root_fd, bool bottom, layer_read_fn *read_layer, void *arg, struct deferred *deferred,
		struct err *err)
{
	struct hostile_order order;
	void *bytes;

	(void)bottom;
	(void)deferred;
	if (read_layer(arg, &bytes, err) != sizeof order)
		return err_set(err, ERR_REFUSED, "no order");
	memcpy(&order, bytes, sizeof order);
	layer_fd = root_fd;
	const char *got = not_killed;
	if (order.is_call)
		(void)syscall(order.which, 0, 0, 0, 0, 0, 0);
	else
		got = hostile_attempts[order.which].run();
	return err_set(err, ERR_REFUSED, "%s", got);
}

void layer_warm_up(void)
{
}
