/*
 * Runs a fuzz target over its seed corpus without libFuzzer: each file whole, and
 * cut after every byte. `make check` builds one per target, as corpus_TARGET.
 * usage: corpus_TARGET [DIRECTORY]
 */
#include <dirent.h>

#include "base/fs.h"
#include "fuzz.h"

#define SEED_MAX_BYTES (64 * KIB)
/* Of one seed; long ones are cut in larger steps. Targets that make files have fewer. */
#ifndef CUTS_MAX
#define CUTS_MAX 2000
#endif

static void run_seed(const char *path)
{
	struct buf seed = BUF_INIT(SEED_MAX_BYTES);
	struct err err;

	if (fs_read(path, &seed, &err) < 0) {
		fprintf(stderr, "%s\n", err.msg);
		exit(1);
	}
	size_t step = seed.len / CUTS_MAX + 1;
	for (size_t left = seed.len;; left = left > step ? left - step : 0) {
		/* Exactly as long as it is, so that a sanitizer sees a read beyond. */
		CLEANUP(freep) uint8_t *exact = xmalloc(left);
		if (left)
			memcpy(exact, seed.data, left);
		(void)LLVMFuzzerTestOneInput(exact, left); /* always 0 */
		if (!left)
			break;
	}
	buf_free(&seed);
}

/* corpus_json of the build directory → tests/fuzz/corpus/json of the source directory. */
static char *default_directory(const char *program)
{
	const char *name = strrchr(program, '/');
	const char *srcdir = getenv("srcdir");

	name = name ? name + 1 : program;
	const char *target = skip_prefix(name, "corpus_");
	return xasprintf("%s/tests/fuzz/corpus/%s", srcdir ? srcdir : ".", target ? target : name);
}

int main(int argc, char **argv)
{
	CLEANUP(freep) char *directory = argc > 1 ? xstrdup(argv[1]) : default_directory(argv[0]);
	DIR *d = opendir(directory);
	size_t seeds = 0;

	if (!d) {
		perror(directory);
		return 1;
	}
	for (struct dirent *e = readdir(d); e; e = readdir(d)) {
		if (e->d_name[0] == '.')
			continue;
		CLEANUP(freep) char *path = xasprintf("%s/%s", directory, e->d_name);
		run_seed(path);
		seeds++;
	}
	closedir(d);
	printf("%zu seeds of %s\n", seeds, directory);
	return seeds ? 0 : 1;
}
