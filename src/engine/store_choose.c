#include <sys/stat.h>
#include <unistd.h>

#include "engine/containerd.h"
#include "engine/docker_internal.h"
#include "engine/store.h"
#include "net/unix.h"

#define SNAPSHOTTER "overlayfs"
#define NAMESPACE "moby" /* where Docker does not say */

/* dockerd's own comes first: where it runs, it is Docker's. */
static const char *const usual_sockets[] = {
	"/run/docker/containerd/containerd.sock",
	"/run/containerd/containerd.sock",
};

static bool listens(const char *path)
{
	struct err ignored;

	return unix_listens(path, &ignored) == 0;
}

/* The usual places are those of the usual Docker: another one's containerd may be elsewhere. */
static const char *find_socket(const struct docker *d)
{
	if (d->containerd_socket)
		return d->containerd_socket;
	if (*d->info.containerd_address)
		return d->info.containerd_address;
	for (size_t i = 0; i < ARRAY_LEN(usual_sockets) && d->is_default; i++)
		if (listens(usual_sockets[i]))
			return usual_sockets[i];
	return NULL;
}

static int check_directory(struct containerd *c, struct err *err)
{
	struct stat st;

	if (containerd_introspect(c, err) < 0)
		return -1;
	const char *path = containerd_root(c);
	if (lstat(path, &st) < 0 || !S_ISDIR(st.st_mode))
		return err_set(err, ERR_CONFIG, "containerd's directory %s is not seen from here", path);
	if (access(path, W_OK) < 0)
		return err_set(err, ERR_CONFIG, "containerd's directory %s cannot be written", path);
	return 0;
}

static int connect_containerd(struct docker *d, struct err *err)
{
	const struct docker_info *info = &d->info;
	const char *socket = find_socket(d);
	const char *namespace = *info->containerd_namespace ? info->containerd_namespace : NAMESPACE;

	if (info->userns_or_rootless)
		return err_set(err, ERR_CONFIG, "Docker maps users");
	if (!streq(info->driver, SNAPSHOTTER))
		return err_set(err, ERR_CONFIG, "Docker's snapshotter is %s, not " SNAPSHOTTER, info->driver);
	if (!socket) {
		(void)err_set(err, ERR_CONFIG, "the socket of Docker's containerd is not known");
		return err_hint(err, "name it: --containerd-socket");
	}
	if (!listens(socket)) {
		(void)err_set(err, ERR_CONFIG, "nobody answers on containerd's socket %s", socket);
		return err_hint(err, "name the socket of Docker's containerd: --containerd-socket");
	}
	if (d->containerd)
		return 0; /* with its lease, from an attempt before */
	d->containerd = containerd_new(d->http, socket, namespace, info->driver);
	if (check_directory(d->containerd, err) == 0)
		return 0;
	containerd_free(d->containerd);
	d->containerd = NULL;
	return -1;
}

const struct store *store_choose(struct docker *d, struct err *why)
{
	err_clear(why);
	if (d->info.store != DOCKER_STORE_CONTAINERD)
		return &store_load;
	if (connect_containerd(d, why) == 0)
		return &store_containerd;
	(void)err_wrap(why, "layers are loaded through Docker, which is slower");
	return &store_load;
}
