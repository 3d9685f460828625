#include "engine/load_spool.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "engine/docker_internal.h"
#include "engine/holder.h"

#define DIRECTORY (O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
#define LOAD_DIRECTORY "docker-import-" /* moby, image/tarexport/load.go */
#define FIFO_NAME "berth." /* then holder_self(), a number and the layer's, with dots between */
#define RELEASE_STEP_MS 5
#define TIDY_PATIENCE_MS 10000 /* dockerd may be at a layer, and asks for the next after it */

/* From CLEANUP(closep). */
static int keep(int *fd)
{
	int kept = *fd;

	*fd = -1;
	return kept;
}

static void closedirp(DIR **dir)
{
	if (*dir)
		(void)closedir(*dir);
}

/* A listing of its own position. NULL: it is gone. */
static DIR *list(int fd)
{
	int copy = openat(fd, ".", DIRECTORY);
	DIR *dir = copy >= 0 ? fdopendir(copy) : NULL;

	if (!dir && copy >= 0)
		(void)close(copy);
	return dir;
}

int load_spool_open(struct docker *d, int *fd, struct err *err)
{
	CLEANUP(freep) char *path = xasprintf("%s/tmp", d->info.root_dir);
	struct stat st;

	if (!d->socket)
		return err_set(err, ERR_CONFIG,
			       "Docker is not asked through a socket of this machine");
	if (d->info.store != DOCKER_STORE_CLASSIC)
		return err_set(err, ERR_CONFIG, "Docker's store is not the classic one");
	if (d->info.userns_or_rootless)
		return err_set(err, ERR_CONFIG, "Docker maps users");
	if (*d->info.root_dir != '/')
		return err_set(err, ERR_CONFIG, "Docker does not say where its data is");
	CLEANUP(closep) int found = open(path, DIRECTORY);
	if (found < 0 || fstat(found, &st) < 0)
		return err_set(err, ERR_CONFIG, "Docker's directory %s is not seen from here: %s",
			       path, strerror(errno));
	if (st.st_uid != 0 || st.st_mode & (S_IWGRP | S_IWOTH))
		return err_set(err, ERR_CONFIG, "Docker's directory %s is not root's alone", path);
	*fd = keep(&found);
	return 0;
}

int load_spool_prefix(char **out, struct err *err)
{
	static unsigned int number;
	char holder[HOLDER_SIZE];

	if (holder_self(holder, err) < 0)
		return -1;
	*out = xasprintf(FIFO_NAME "%s.%u", holder, number++);
	return 0;
}

static bool is_fifo(int load, const char *name)
{
	struct stat st;

	return fstatat(load, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISFIFO(st.st_mode);
}

int load_spool_find(int spool, const char *fifo)
{
	CLEANUP(closedirp) DIR *dir = list(spool);
	struct dirent *entry;

	while (dir && (entry = readdir(dir))) {
		if (!skip_prefix(entry->d_name, LOAD_DIRECTORY))
			continue;
		CLEANUP(closep) int load = openat(spool, entry->d_name, DIRECTORY);
		if (load >= 0 && is_fifo(load, fifo))
			return keep(&load);
	}
	return -1;
}

int load_spool_writer(int load, const char *fifo)
{
	struct stat st;

	/* Looked at before, since to open a device can do things, and after. */
	if (!is_fifo(load, fifo))
		return -1;
	CLEANUP(closep)
	int fd = openat(load, fifo, O_WRONLY | O_NONBLOCK | O_NOFOLLOW | O_NOCTTY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0 || !S_ISFIFO(st.st_mode))
		return -1;
	return keep(&fd);
}

/* How many there still are. */
static size_t release_once(int load, const char *prefix)
{
	CLEANUP(closedirp) DIR *dir = list(load);
	struct dirent *entry;
	size_t n = 0;

	while (dir && (entry = readdir(dir))) {
		if (!skip_prefix(entry->d_name, prefix))
			continue;
		n++;
		CLEANUP(closep) int fd = load_spool_writer(load, entry->d_name);
	}
	return n;
}

void load_spool_release(int load, const char *prefix, struct loop *loop, int64_t patience_ms)
{
	const struct timespec step = { .tv_nsec = RELEASE_STEP_MS * 1000000L };
	int64_t deadline_ms = clock_mono_ms() + patience_ms;
	struct err cancelled;

	while (release_once(load, prefix) && clock_mono_ms() < deadline_ms)
		if (loop_sleep(loop, RELEASE_STEP_MS, &cancelled) < 0)
			(void)nanosleep(&step, NULL);
}

/*
 * What names of that FIFO's holder begin with, if it is nobody who may still write to it; caller
 * frees.
 */
static char *abandoned(const char *fifo)
{
	const char *holder = skip_prefix(fifo, FIFO_NAME);
	CLEANUP(freep) char *name = xstrdup(holder ? holder : "");
	char self[HOLDER_SIZE];
	struct err err;

	for (size_t i = 0; i < 2; i++) {
		char *dot = strrchr(name, '.');
		if (!dot)
			return NULL;
		*dot = '\0';
	}
	enum holder_state state = holder_judge(name);
	bool is_own = holder_self(self, &err) == 0 && streq(name, self);
	if (!is_own && state != HOLDER_GONE && state != HOLDER_OTHER_BOOT)
		return NULL;
	return xasprintf(FIFO_NAME "%s.", name);
}

static void tidy_one(int load, struct loop *loop)
{
	CLEANUP(closedirp) DIR *dir = list(load);
	struct dirent *entry;

	while (dir && (entry = readdir(dir))) {
		CLEANUP(freep) char *prefix = abandoned(entry->d_name);
		if (prefix)
			load_spool_release(load, prefix, loop, TIDY_PATIENCE_MS);
	}
}

void load_spool_tidy(struct docker *d)
{
	CLEANUP(closep) int spool = -1;
	struct dirent *entry;
	struct err err;

	if (load_spool_open(d, &spool, &err) < 0)
		return; /* none was made there either */
	CLEANUP(closedirp) DIR *dir = list(spool);
	while (dir && (entry = readdir(dir))) {
		if (!skip_prefix(entry->d_name, LOAD_DIRECTORY))
			continue;
		CLEANUP(closep) int load = openat(spool, entry->d_name, DIRECTORY);
		if (load >= 0)
			tidy_one(load, d->loop);
	}
}
