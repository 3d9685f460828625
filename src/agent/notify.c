#include "agent/notify.h"

#include <errno.h>
#include <stdarg.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/mem.h"

/* While an instance boots, systemd's queue can be full; a READY=1 that is lost would cost the service its life. */
#define NOTIFY_PATIENCE_MS 2000

static bool socket_address(struct sockaddr_un *addr, socklen_t *len)
{
	const char *path = getenv("NOTIFY_SOCKET");
	size_t n = path ? strlen(path) : 0;

	if (!n || n >= sizeof addr->sun_path || (*path != '/' && *path != '@'))
		return false;
	*addr = (struct sockaddr_un){ .sun_family = AF_UNIX };
	memcpy(addr->sun_path, path, n);
	if (*path == '@')
		addr->sun_path[0] = '\0'; /* the abstract namespace (unix(7)) */
	*len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n);
	return true;
}

/* attached: a descriptor, or -1. */
static void send_text(const char *text, int attached)
{
	const struct timeval patience = { .tv_sec = NOTIFY_PATIENCE_MS / 1000 };
	union {
		struct cmsghdr head; /* for its alignment */
		char bytes[CMSG_SPACE(sizeof attached)];
	} control = { 0 };
	struct sockaddr_un addr;
	socklen_t len;

	if (!socket_address(&addr, &len))
		return;
	CLEANUP(closep) int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience) < 0)
		return;
	struct iovec part = { (void *)text, strlen(text) };
	struct msghdr message = { .msg_name = &addr, .msg_namelen = len, .msg_iov = &part, .msg_iovlen = 1 };
	if (attached >= 0) {
		control.head = (struct cmsghdr){ CMSG_LEN(sizeof attached), SOL_SOCKET, SCM_RIGHTS };
		memcpy(CMSG_DATA(&control.head), &attached, sizeof attached);
		message.msg_control = control.bytes;
		message.msg_controllen = sizeof control.bytes;
	}
	(void)sendmsg(fd, &message, MSG_NOSIGNAL);
}

void notify_send(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	CLEANUP(freep) char *text = xvasprintf(fmt, args);
	va_end(args);
	send_text(text, -1);
}

void notify_send_fd(int fd, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	CLEANUP(freep) char *text = xvasprintf(fmt, args);
	va_end(args);
	send_text(text, fd);
}

static int64_t number_of(const char *variable)
{
	const char *text = getenv(variable);
	char *end;

	if (!text || !*text)
		return -1;
	errno = 0;
	long long n = strtoll(text, &end, 10);
	return errno || *end || n < 0 ? -1 : n;
}

int64_t notify_watchdog_ms(void)
{
	int64_t usec = number_of("WATCHDOG_USEC");
	int64_t pid = number_of("WATCHDOG_PID");

	if (usec <= 0 || (pid > 0 && pid != getpid()))
		return 0;
	return usec / 1000;
}
