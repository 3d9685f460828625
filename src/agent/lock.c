#include "agent/lock.h"

#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/text.h"

#define HOLDER_MAX_BYTES 256

int deploy_lock_open(struct deploy_lock *l, const char *run_dir, const char *name, struct err *err)
{
	CLEANUP(freep) char *dir = xasprintf("%s/deploying", run_dir);

	if (fs_mkdirs(dir, err) < 0)
		return -1;
	*l = (struct deploy_lock){ .fd = -1, .path = xasprintf("%s/%s", dir, name) };
	return 0;
}

void deploy_lock_close(struct deploy_lock *l)
{
	deploy_lock_release(l);
	free(l->path);
	*l = DEPLOY_LOCK_NONE;
}

char *deploy_lock_holder(const struct deploy_lock *l)
{
	CLEANUP(buf_free) struct buf text = BUF_INIT(HOLDER_MAX_BYTES);
	struct err ignored; /* the holder may be about to write it */

	if (fs_read(l->path, &text, &ignored) < 0 || !text.len)
		return xstrdup("another berth");
	char *holder = xstrndup(text.data, strcspn(text.data, "\n"));
	text_clean(holder);
	return holder;
}

/* Who lets go of it says so. */
static bool names_somebody(const struct deploy_lock *l)
{
	struct stat st;

	return fstat(l->fd, &st) == 0 && st.st_size > 0;
}

/* For people: a lock that does not say whose it is still locks. */
static void say_who(const struct deploy_lock *l, const char *what)
{
	char when[CLOCK_RFC3339_SIZE];
	struct err ignored;

	clock_rfc3339(clock_wall_ms(), when);
	CLEANUP(freep) char *text = xasprintf("%s (pid %d, since %s)\n", what, (int)getpid(), when);
	if (ftruncate(l->fd, 0) < 0 || fs_write_all(l->fd, text, strlen(text), &ignored) < 0)
		log_debug("%s does not say who holds it", l->path);
}

int deploy_lock_take(struct deploy_lock *l, const char *what, bool wait, struct loop *loop, struct err *err)
{
	for (bool said = false; l->fd < 0;) {
		if (fs_lock(l->path, 0, &l->fd, err) == 0) {
			err_clear(err);
			l->abandoned = names_somebody(l);
			say_who(l, what);
			return 0;
		}
		if (err->kind != ERR_CONFLICT)
			return -1;
		CLEANUP(freep) char *holder = deploy_lock_holder(l);
		if (!wait) {
			err_set(err, ERR_CONFLICT, "%s is at work on this service", holder);
			return err_retry(err, 0);
		}
		if (!said)
			log_notice("waiting for %s", holder);
		said = true;
		if (loop_sleep(loop, DEPLOY_LOCK_POLL_MS, err) < 0)
			return -1;
	}
	return 0;
}

void deploy_lock_release(struct deploy_lock *l)
{
	if (l->fd < 0)
		return;
	if (ftruncate(l->fd, 0) < 0)
		log_debug("%s still names this process", l->path);
	closep(&l->fd);
	l->fd = -1;
}

bool deploy_lock_is_others(const struct deploy_lock *l)
{
	return l->fd < 0 && l->path && fs_locked(l->path);
}
