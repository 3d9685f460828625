/*
 * Functions that have no place in this code, each with the reason. Using one is
 * a compile error. Include this after the system headers have been seen.
 */
#ifndef BERTH_BASE_BANNED_H
#define BERTH_BASE_BANNED_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* No bound on the destination. */
#pragma GCC poison strcpy strcat sprintf vsprintf strncpy strncat gets
/* Hidden static state: not safe beside the health thread. */
#pragma GCC poison strtok gmtime localtime ctime asctime strerror_l
/* No way to tell an error from a value. */
#pragma GCC poison atoi atol atoll atof
/* A shell between us and the kernel. */
#pragma GCC poison popen wordexp
/* A static glibc binary must not load NSS modules. */
#pragma GCC poison getaddrinfo gethostbyname getpwnam getpwuid getgrnam

#endif
