#include "engine/holder.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/mem.h"

#define PROC_FILE_MAX_BYTES (4 * KIB)
#define BOOT_ID_SIZE 40 /* a UUID */
#define START_TIME_FIELD 22 /* proc(5), /proc/pid/stat */

struct holder {
	char boot[BOOT_ID_SIZE];
	unsigned long long namespace, pid, started;
};

static int boot_id(char out[BOOT_ID_SIZE], struct err *err)
{
	CLEANUP(buf_free) struct buf b = BUF_INIT(PROC_FILE_MAX_BYTES);

	if (fs_read("/proc/sys/kernel/random/boot_id", &b, err) < 0)
		return -1;
	(void)snprintf(out, BOOT_ID_SIZE, "%.*s", (int)strcspn(buf_str(&b), ".\n"), buf_str(&b));
	return 0;
}

/* The name of the program is in parentheses, and may hold any byte. */
static int start_time(unsigned long long pid, unsigned long long *out, struct err *err)
{
	CLEANUP(freep) char *path = xasprintf("/proc/%llu/stat", pid);
	CLEANUP(buf_free) struct buf b = BUF_INIT(PROC_FILE_MAX_BYTES);

	if (fs_read(path, &b, err) < 0)
		return -1;
	const char *p = strrchr(buf_str(&b), ')');
	for (int field = 2; p && field < START_TIME_FIELD; field++)
		p = (p = strchr(p, ' ')) ? p + 1 : NULL;
	if (!p)
		return err_set(err, ERR_PROTOCOL, "%s: fewer fields than expected", path);
	*out = strtoull(p, NULL, 10);
	return 0;
}

static int self(struct holder *h, struct err *err)
{
	struct stat st;

	if (stat("/proc/self/ns/pid", &st) < 0)
		return err_sys(err, errno, "stat /proc/self/ns/pid");
	h->namespace = st.st_ino;
	h->pid = (unsigned long long)getpid();
	return boot_id(h->boot, err) < 0 ? -1 : start_time(h->pid, &h->started, err);
}

int holder_self(char out[HOLDER_SIZE], struct err *err)
{
	struct holder h;

	if (self(&h, err) < 0)
		return -1;
	(void)snprintf(out, HOLDER_SIZE, "%s.%llu.%llu.%llu", h.boot, h.namespace, h.pid, h.started);
	return 0;
}

enum holder_state holder_judge(const char *holder)
{
	struct holder h, us;
	unsigned long long started;
	struct err err;
	int end = 0;

	if (!holder ||
	    sscanf(holder, "%39[^.].%llu.%llu.%llu%n", h.boot, &h.namespace, &h.pid, &h.started, &end) != 4 ||
	    holder[end] || self(&us, &err) < 0)
		return HOLDER_UNKNOWN;
	if (!streq(h.boot, us.boot))
		return HOLDER_OTHER_BOOT;
	if (h.namespace != us.namespace)
		return HOLDER_UNKNOWN;
	return start_time(h.pid, &started, &err) == 0 && started == h.started ? HOLDER_ALIVE : HOLDER_GONE;
}
