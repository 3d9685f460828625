/* Waiting for a disk without standing still. */
#ifndef BERTH_ENGINE_DISK_SYNC_H
#define BERTH_ENGINE_DISK_SYNC_H

#include "net/loop.h"

/* syncfs(2) on the file system of fd (borrowed, not O_PATH), while the loop runs. */
int disk_sync(struct loop *loop, int fd, struct err *err) MUST_CHECK;

#endif
