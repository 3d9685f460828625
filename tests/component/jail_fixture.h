/* Attempts in the jail: each runs in a child of its own that has entered it. */
#ifndef BERTH_TESTS_COMPONENT_JAIL_FIXTURE_H
#define BERTH_TESTS_COMPONENT_JAIL_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/mem.h"
#include "unpack/jail.h"

/* The exit status of a child whose attempt succeeded; one that could not enter the jail. */
#define GOT_AWAY 0
#define NO_JAIL 99

static int out_fd; /* the one descriptor that is kept */

static inline void run_and_exit(void (*attempt)(void))
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
static inline int jailed(void (*attempt)(void), char *said, size_t size)
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

#endif
