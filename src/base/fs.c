#include "base/fs.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"

#define READ_STEP (64 * KIB)
#define LOCK_POLL_MS 50

static int open_regular(const char *path, struct err *err)
{
	/* O_NONBLOCK: opening a FIFO must not wait for a writer. */
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct stat st;

	if (fd < 0 && errno == ENOENT)
		return err_set(err, ERR_NOT_FOUND, "%s does not exist", path);
	if (fd < 0)
		return err_sys(err, errno, "open %s", path);
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
		close(fd);
		return err_set(err, ERR_CONFIG, "%s is not a regular file", path);
	}
	return fd;
}

int fs_read(const char *path, struct buf *out, struct err *err)
{
	CLEANUP(closep) int fd = open_regular(path, err);
	CLEANUP(freep) char *chunk = xmalloc(READ_STEP);

	if (fd < 0)
		return -1;
	for (;;) {
		ssize_t n = read(fd, chunk, READ_STEP);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_sys(err, errno, "read %s", path);
		if (n == 0)
			return 0;
		if (buf_append(out, chunk, (size_t)n, err) < 0)
			return err_wrap(err, "%s", path);
	}
}

int fs_write_all(int fd, const void *bytes, size_t len, struct err *err)
{
	const char *p = bytes;

	while (len) {
		ssize_t n = write(fd, p, len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_sys(err, errno, "write");
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

static int write_and_sync(int fd, const void *bytes, size_t len, mode_t mode, struct err *err)
{
	if (fchmod(fd, mode) < 0)
		return err_sys(err, errno, "fchmod");
	if (fs_write_all(fd, bytes, len, err) < 0)
		return -1;
	if (fsync(fd) < 0)
		return err_sys(err, errno, "fsync");
	return 0;
}

int fs_write_atomic(const char *path, const void *bytes, size_t len, mode_t mode, struct err *err)
{
	/* One name, not a new one each time: what a killed writer leaves, the next one replaces. */
	CLEANUP(freep) char *temporary = xasprintf("%s.new", path);

	(void)unlink(temporary); /* what is in the way and no file is open()'s to report */
	int fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return err_sys(err, errno, "create %s", temporary);
	int result = write_and_sync(fd, bytes, len, mode, err);
	if (close(fd) < 0 && result == 0)
		result = err_sys(err, errno, "close");
	if (result == 0 && rename(temporary, path) < 0)
		result = err_sys(err, errno, "rename");
	if (result < 0) {
		(void)unlink(temporary); /* the first error is the one to tell */
		return err_wrap(err, "write %s", path);
	}
	return 0;
}

/* mkdir(2) says EEXIST for a file too. */
static int check_directory(const char *path, struct err *err)
{
	struct stat st;

	if (stat(path, &st) < 0)
		return err_sys(err, errno, "stat %s", path);
	if (!S_ISDIR(st.st_mode))
		return err_sys(err, ENOTDIR, "create directory %s", path);
	return 0;
}

void fs_forget_unfinished(const char *path)
{
	CLEANUP(freep) char *temporary = xasprintf("%s.new", path);

	(void)unlink(temporary); /* mostly there is none */
}

int fs_mkdirs(const char *path, struct err *err)
{
	CLEANUP(freep) char *copy = xstrdup(path);

	for (char *p = copy + (*copy != '\0');; p++) {
		bool end = *p == '\0';
		if (*p != '/' && !end)
			continue;
		*p = '\0';
		if (mkdir(copy, 0755) < 0 && errno != EEXIST)
			return err_sys(err, errno, "create directory %s", copy);
		if (end)
			return check_directory(path, err);
		*p = '/';
	}
}

/* Of the open file, as flock(2); unlike that one it can be asked for without being taken (fcntl(2), F_OFD_GETLK). */
static int whole_file(int fd, int command, struct flock *lock)
{
	*lock = (struct flock){ .l_type = F_WRLCK, .l_whence = SEEK_SET };
	return fcntl(fd, command, lock);
}

int fs_lock(const char *path, int64_t deadline_ms, int *fd_out, struct err *err)
{
	CLEANUP(closep) int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	struct flock lock;

	if (fd < 0)
		return err_sys(err, errno, "open lock %s", path);
	while (whole_file(fd, F_OFD_SETLK, &lock) < 0) {
		if (errno != EAGAIN && errno != EACCES && errno != EINTR)
			return err_sys(err, errno, "lock %s", path);
		if (clock_mono_ms() >= deadline_ms)
			return err_set(err, ERR_CONFLICT, "%s is held by another berth", path);
		(void)usleep(LOCK_POLL_MS * 1000); /* woken early is fine */
	}
	*fd_out = fd;
	fd = -1;
	return 0;
}

bool fs_locked(const char *path)
{
	CLEANUP(closep) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	struct flock lock;

	return fd >= 0 && whole_file(fd, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
}
