/* Private to the jail: the system calls that are left. */
#ifndef BERTH_UNPACK_JAIL_FILTER_H
#define BERTH_UNPACK_JAIL_FILTER_H

#include "base/err.h"

/* Installs the seccomp allow-list for this process; needs no_new_privs. Any other call kills it with SIGSYS. */
int jail_filter(struct err *err) MUST_CHECK;
/* The same for a worker that unpacks and all its threads: files by descriptors, nothing that opens without openat2. */
int jail_filter_unpack(struct err *err) MUST_CHECK;

#endif
