/*
 * Only in the static binary, through ld's --wrap (the list is in Makefile.am).
 * OpenSSL and c-ares hold code, none of which berth reaches, that asks glibc for
 * names or loads a shared object. In a static program that would load whatever
 * libnss_*.so, OpenSSL engine or provider the machine has into another libc than
 * its own. Here every such call fails as the function's manual page says, so
 * none can, and glibc's resolver, NSS and dlopen stay out. Names are resolved by
 * c-ares.
 */
#include <dlfcn.h>
#include <errno.h>
#include <netdb.h>
#include <stddef.h>

#define UNUSED __attribute__((unused))

/* Each has the type of what it stands for, and the name that ld gives it. */
__typeof__(dladdr) __wrap_dladdr;
__typeof__(dlclose) __wrap_dlclose;
__typeof__(dlerror) __wrap_dlerror;
__typeof__(dlopen) __wrap_dlopen;
__typeof__(dlsym) __wrap_dlsym;
__typeof__(freeaddrinfo) __wrap_freeaddrinfo;
__typeof__(gai_strerror) __wrap_gai_strerror;
__typeof__(getaddrinfo) __wrap_getaddrinfo;
__typeof__(gethostbyname) __wrap_gethostbyname;
__typeof__(getnameinfo) __wrap_getnameinfo;
__typeof__(getservbyname) __wrap_getservbyname;
__typeof__(getservbyname_r) __wrap_getservbyname_r;
__typeof__(getservbyport_r) __wrap_getservbyport_r;

int __wrap_dladdr(const void *address UNUSED, Dl_info *info UNUSED)
{
	return 0;
}

int __wrap_dlclose(void *handle UNUSED)
{
	return -1;
}

char *__wrap_dlerror(void)
{
	static char message[] = "a static program loads no shared objects";

	return message;
}

void *__wrap_dlopen(const char *file UNUSED, int mode UNUSED)
{
	return NULL;
}

void *__wrap_dlsym(void *restrict handle UNUSED, const char *restrict name UNUSED)
{
	return NULL;
}

void __wrap_freeaddrinfo(struct addrinfo *list UNUSED)
{
}

const char *__wrap_gai_strerror(int error UNUSED)
{
	return "names are resolved elsewhere";
}

int __wrap_getaddrinfo(const char *restrict host UNUSED, const char *restrict service UNUSED,
		       const struct addrinfo *restrict hints UNUSED, struct addrinfo **restrict out UNUSED)
{
	return EAI_FAIL;
}

struct hostent *__wrap_gethostbyname(const char *name UNUSED)
{
	return NULL;
}

int __wrap_getnameinfo(const struct sockaddr *restrict address UNUSED, socklen_t len UNUSED, char *restrict host UNUSED,
		       socklen_t host_size UNUSED, char *restrict service UNUSED, socklen_t service_size UNUSED,
		       int flags UNUSED)
{
	return EAI_FAIL;
}

struct servent *__wrap_getservbyname(const char *name UNUSED, const char *protocol UNUSED)
{
	return NULL;
}

int __wrap_getservbyname_r(const char *restrict name UNUSED, const char *restrict protocol UNUSED,
			   struct servent *restrict entry UNUSED, char *restrict buf UNUSED, size_t size UNUSED,
			   struct servent **restrict out)
{
	*out = NULL;
	return ENOENT;
}

int __wrap_getservbyport_r(int port UNUSED, const char *restrict protocol UNUSED, struct servent *restrict entry UNUSED,
			   char *restrict buf UNUSED, size_t size UNUSED, struct servent **restrict out)
{
	*out = NULL;
	return ENOENT;
}
