/* Programs of the host that berth runs (iptables): no shell, a fixed search path, and the loop goes on meanwhile. */
#ifndef BERTH_AGENT_PROGRAM_H
#define BERTH_AGENT_PROGRAM_H

#include "base/buf.h"
#include "net/loop.h"

/*
 * Runs argv[0], searched where the system keeps its programs and not in $PATH (user data runs with odd ones), with
 * input on stdin (NULL: nothing) and an environment of its own. Waits on the loop, so not from callbacks. Its
 * output is appended to out (its cap: ERR_LIMIT, and the program is killed). ERR_NOT_FOUND: no such program;
 * ERR_FAILED: it said no, the message has its first line; ERR_TIMEOUT: killed after timeout_ms.
 */
int program_run(struct loop *loop, const char *const *argv, const char *input, int64_t timeout_ms, struct buf *out,
		struct err *err) MUST_CHECK;

#endif
