/*
 * Listening sockets that outlive a restart of berth: systemd keeps copies (sd_pid_notify_with_fds(3), FDSTORE=1; the
 * unit sets FileDescriptorStoreMax=) and hands them to the next process (sd_listen_fds(3)). Clients who come in
 * between wait in the backlog. Without systemd nothing is kept.
 */
#ifndef BERTH_AGENT_FDSTORE_H
#define BERTH_AGENT_FDSTORE_H

#include <sys/socket.h>

#include "base/base.h"

/* The kept listening socket of that address, the caller's from then on; -1: none. v6only as the socket option says. */
int fdstore_take(const struct sockaddr *address, socklen_t len, bool v6only);

/* Closes what nobody took and has systemd forget it: call after everything was taken. */
void fdstore_drop_rest(void);

/* Has systemd keep a copy, under a name made of the socket's address; and forget it. Best effort. */
void fdstore_keep(int fd);
void fdstore_forget(int fd);

#endif
