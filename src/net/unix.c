#include "net/unix.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/mem.h"

int unix_connect(const char *path, int *out, struct err *err)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	if (strlen(path) >= sizeof address.sun_path)
		return err_set(err, ERR_CONFIG, "%s: too long for a socket's path", path);
	memcpy(address.sun_path, path, strlen(path) + 1);
	CLEANUP(closep) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return err_sys(err, errno, "socket");
	if (connect(fd, (const struct sockaddr *)&address, sizeof address) < 0) {
		int errnum = errno;
		(void)err_set(err, ERR_NETWORK, "%s: nobody answers (%s)", path, strerrordesc_np(errnum));
		err->errnum = errnum;
		return -1;
	}
	*out = fd;
	fd = -1;
	return 0;
}

int unix_listens(const char *path, struct err *err)
{
	CLEANUP(closep) int fd = -1;

	if (unix_connect(path, &fd, err) == 0)
		return 0;
	if (err->kind != ERR_NETWORK || err->errnum != EAGAIN)
		return -1;
	err_clear(err);
	return 0;
}
