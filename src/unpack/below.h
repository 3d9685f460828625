/* openat2(2): names that cannot lead out of a directory, whatever links say. */
#ifndef BERTH_UNPACK_BELOW_H
#define BERTH_UNPACK_BELOW_H

#include <sys/types.h>

#include "base/base.h"

/*
 * openat() below dir_fd with O_CLOEXEC: the directory is the root of the lookup, and no link on the
 * way is followed (ELOOP). -1 with errno; ENOSYS before Linux 5.6.
 */
int below_open(int dir_fd, const char *path, int flags, mode_t mode);

#endif
