/* Sockets of this machine (unix(7)), for those who speak over the descriptor themselves or only ask who is there. */
#ifndef BERTH_NET_UNIX_H
#define BERTH_NET_UNIX_H

#include "base/err.h"

/*
 * *out: a non-blocking stream socket that is connected to path, the caller's to close. At once, or
 * never: EAGAIN is a server whose queue is full. ERR_CONFIG: path is longer than an address holds
 * (107 bytes); ERR_NETWORK: nobody answers, and err->errnum says why.
 */
int unix_connect(const char *path, int *out, struct err *err) MUST_CHECK;

/* 0: somebody listens there, be it with a full queue. Errors as unix_connect(). */
int unix_listens(const char *path, struct err *err) MUST_CHECK;

#endif
