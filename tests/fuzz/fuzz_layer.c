/*
 * Any bytes as a layer's tar, applied below an empty directory. First byte: whether the layer is the bottom one,
 * how many blocks come at once, and whether checksums are made right. Nothing is made beside the directory, and
 * what is left to the parent is a list that it takes.
 */
#include "fuzz.h"

#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tar.h"
#include "unpack/layer.h"

/* Holds one directory, "layer", and nothing else, ever. In memory, where there is such a place. */
static char top[] = "/dev/shm/berth-fuzz-XXXXXX";
static char top_elsewhere[] = "/tmp/berth-fuzz-XXXXXX";
static int top_fd = -1;

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *walk)
{
	(void)st;
	(void)flag;
	return walk->level && remove(path) < 0;
}

static void tidy_up(void)
{
	(void)nftw(top, remove_one, 64, FTW_DEPTH | FTW_PHYS);
	(void)rmdir(top);
}

static void set_up(void)
{
	if (top_fd >= 0)
		return;
	if (!mkdtemp(top)) {
		MUST(mkdtemp(top_elsewhere));
		memcpy(top, top_elsewhere, sizeof top_elsewhere);
	}
	top_fd = open(top, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	MUST(top_fd >= 0);
	(void)umask(0);
	(void)atexit(tidy_up);
}

struct input {
	uint8_t *bytes;
	size_t len, at, piece;
};

static ssize_t next_piece(void *arg, void **bytes, struct err *err)
{
	struct input *in = arg;
	size_t n = in->len - in->at < in->piece ? in->len - in->at : in->piece;

	(void)err;
	*bytes = in->bytes + in->at;
	in->at += n;
	return (ssize_t)n;
}

static void check_list(const struct deferred *list)
{
	struct deferred *again = NULL;
	struct err err = { 0 };
	size_t len;
	const void *bytes = deferred_bytes(list, &len);

	MUST(deferred_parse(bytes, len, &again, &err) == 0);
	deferred_free(again);
}

static void check_top(void)
{
	size_t names = 0;
	DIR *d = opendir(top);

	MUST(d);
	while (readdir(d))
		names++;
	(void)closedir(d);
	MUST(names == 3); /* with "." and ".." */
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct err err = { 0 };

	if (!size)
		return 0;
	set_up();
	MUST(mkdirat(top_fd, "layer", 0700) == 0);
	int root_fd = openat(top_fd, "layer", O_PATH | O_DIRECTORY | O_CLOEXEC);
	MUST(root_fd >= 0);

	CLEANUP(freep) uint8_t *bytes = xmalloc(size);
	memcpy(bytes, data + 1, size - 1);
	if (data[0] & 0x80)
		fix_checksums(bytes, size - 1);
	struct input in = { .bytes = bytes, .len = size - 1, .piece = (size_t)(data[0] / 2 % 4 + 1) * 512 };
	struct deferred *list = deferred_new();
	if (layer_apply(root_fd, data[0] & 1, next_piece, &in, list, &err) == 0) {
		MUST(in.at == in.len);
		check_list(list);
	} else {
		MUST(err.kind == ERR_REFUSED || err.kind == ERR_SYSTEM || err.kind == ERR_LIMIT);
	}
	check_top();
	deferred_free(list);
	(void)close(root_fd);
	MUST(nftw(top, remove_one, 64, FTW_DEPTH | FTW_PHYS) == 0);
	return 0;
}
