#include "agent/fdstore.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/un.h>
#include <unistd.h>

#include "agent/notify.h"
#include "base/mem.h"

/* sd_listen_fds(3) */
#define FIRST_FD 3
/* More than a unit's FileDescriptorStoreMax= would be. */
#define KEPT_MAX 1024
/* "berth-", an IPv6 address in hexadecimal, "-", a port. */
#define NAME_SIZE 64

static struct {
	bool looked;
	int n; /* FIRST_FD … FIRST_FD + n - 1; those taken are closed here by being -1 */
	int fds[KEPT_MAX];
} kept;

static long number_of(const char *variable)
{
	const char *text = getenv(variable);
	char *end;
	long n = text ? strtol(text, &end, 10) : -1;

	return !text || end == text || *end ? -1 : n;
}

static void look(void)
{
	long n = number_of("LISTEN_FDS");

	if (kept.looked)
		return;
	kept.looked = true;
	if (number_of("LISTEN_PID") != getpid() || n < 0)
		return;
	kept.n = n > KEPT_MAX ? KEPT_MAX : (int)n;
	for (int i = 0; i < kept.n; i++) {
		kept.fds[i] = FIRST_FD + i;
		(void)fcntl(kept.fds[i], F_SETFD, FD_CLOEXEC); /* EBADF: it is not there, and nobody takes it */
	}
}

static bool listens_on(int fd, const struct sockaddr *address, socklen_t len, bool v6only)
{
	struct sockaddr_storage own;
	socklen_t own_len = sizeof own, int_len = sizeof(int);
	int listening = 0, only = 0;

	if (getsockname(fd, (struct sockaddr *)&own, &own_len) < 0 || own_len != len ||
	    memcmp(&own, address, len) != 0 || getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &int_len) < 0 ||
	    !listening)
		return false;
	int_len = sizeof(int);
	return address->sa_family != AF_INET6 ||
	       (getsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &only, &int_len) == 0 && !only == !v6only);
}

int fdstore_take(const struct sockaddr *address, socklen_t len, bool v6only)
{
	look();
	for (int i = 0; i < kept.n; i++)
		if (kept.fds[i] >= 0 && listens_on(kept.fds[i], address, len, v6only)) {
			int fd = kept.fds[i];
			kept.fds[i] = -1;
			return fd;
		}
	return -1;
}

/* systemd allows no colon. */
static bool name_of(int fd, char out[NAME_SIZE])
{
	struct sockaddr_storage own = { 0 };
	socklen_t len = sizeof own;

	if (getsockname(fd, (struct sockaddr *)&own, &len) < 0)
		return false;
	const struct sockaddr_in *v4 = (const struct sockaddr_in *)&own;
	const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)&own;
	const uint32_t *words = v6->sin6_addr.s6_addr32;
	if (own.ss_family == AF_INET)
		(void)snprintf(out, NAME_SIZE, "berth-%08x-%u", ntohl(v4->sin_addr.s_addr), ntohs(v4->sin_port));
	else if (own.ss_family == AF_INET6)
		(void)snprintf(out, NAME_SIZE, "berth-%08x%08x%08x%08x-%u", ntohl(words[0]), ntohl(words[1]),
			       ntohl(words[2]), ntohl(words[3]), ntohs(v6->sin6_port));
	else
		return false;
	return true;
}

void fdstore_forget(int fd)
{
	char name[NAME_SIZE];

	if (name_of(fd, name))
		notify_send("FDSTOREREMOVE=1\nFDNAME=%s", name);
}

void fdstore_keep(int fd)
{
	char name[NAME_SIZE];

	if (name_of(fd, name))
		notify_send_fd(fd, "FDSTORE=1\nFDNAME=%s", name);
}

void fdstore_drop_rest(void)
{
	look();
	for (int i = 0; i < kept.n; i++)
		if (kept.fds[i] >= 0) {
			fdstore_forget(kept.fds[i]);
			closep(&kept.fds[i]);
		}
	kept.n = 0;
}
