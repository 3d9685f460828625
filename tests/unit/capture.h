/* What a function writes to stderr, run in a child: its environment and statics are its own. */
#ifndef BERTH_TESTS_UNIT_CAPTURE_H
#define BERTH_TESTS_UNIT_CAPTURE_H

#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "table.h"

#define CAPTURE_MAX 65536

/* stderr becomes fd (a file, a terminal); caller frees what was written to a file. */
static inline void run_with_stderr(int fd, void (*fn)(void *arg), void *arg)
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		dup2(fd, STDERR_FILENO);
		fn(arg);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static inline char *stderr_of(void (*fn)(void *arg), void *arg)
{
	CLEANUP(closep) int fd = memfd_create("stderr", MFD_CLOEXEC);
	char *text = xcalloc(1, CAPTURE_MAX);

	assert_true(fd >= 0);
	run_with_stderr(fd, fn, arg);
	assert_true(pread(fd, text, CAPTURE_MAX - 1, 0) >= 0);
	return text;
}

#endif
