/* What directories that a layer fills without listing them take from the layers below. */
#include "table.h"

#include <fcntl.h>
#include <ftw.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/inherit.h"

/* One directory has all: "layer", the two that are below it, "near" and "far", and "outside". */
struct ground {
	char top[sizeof "/tmp/berth-test-inherit.XXXXXX"];
	struct strv lower;
	int layer;
};

static char *in(const struct ground *g, const char *path)
{
	return xasprintf("%s/%s", g->top, path);
}

static void make(const struct ground *g, const char *path, mode_t mode)
{
	CLEANUP(freep) char *whole = in(g, path);

	assert_int_equal(mkdir(whole, 0700), 0);
	assert_int_equal(chmod(whole, mode), 0);
}

static void make_link(const struct ground *g, const char *path, const char *target)
{
	CLEANUP(freep) char *whole = in(g, path);

	assert_int_equal(symlink(target, whole), 0);
}

static struct stat look(const struct ground *g, const char *path)
{
	CLEANUP(freep) char *whole = in(g, path);
	struct stat st;

	assert_int_equal(stat(whole, &st), 0);
	return st;
}

static void set_time(const struct ground *g, const char *path, time_t when)
{
	CLEANUP(freep) char *whole = in(g, path);
	const struct timespec times[] = { { .tv_sec = when }, { .tv_sec = when } };

	assert_int_equal(utimensat(AT_FDCWD, whole, times, 0), 0);
}

static int setup(void **state)
{
	static const char *const dirs[] = { "layer", "near", "far", "outside" };
	struct ground *g = xcalloc(1, sizeof *g);

	*g = (struct ground){ .top = "/tmp/berth-test-inherit.XXXXXX" };
	assert_non_null(mkdtemp(g->top));
	for (size_t i = 0; i < ARRAY_LEN(dirs); i++) {
		CLEANUP(freep) char *whole = in(g, dirs[i]);
		make(g, dirs[i], 0755);
		if (*dirs[i] == 'n' || *dirs[i] == 'f')
			strv_add(&g->lower, whole);
	}
	CLEANUP(freep) char *layer = in(g, "layer");
	g->layer = open(layer, O_PATH | O_DIRECTORY | O_CLOEXEC);
	assert_true(g->layer >= 0);
	*state = g;
	return 0;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
	(void)st, (void)type, (void)at;
	return remove(path);
}

static int teardown(void **state)
{
	struct ground *g = *state;

	closep(&g->layer);
	assert_int_equal(nftw(g->top, remove_one, 8, FTW_DEPTH | FTW_PHYS), 0);
	strv_free(&g->lower);
	free(g);
	return 0;
}

static void inherit(const struct ground *g, const char *path, bool attributes_only)
{
	const struct store_inherit what = { path, attributes_only };
	struct err err;

	row_ok(path, inherit_all(g->layer, &what, 1, &g->lower, &err), &err);
}

static void the_nearest_below_counts(void **state)
{
	const struct ground *g = *state;

	make(g, "layer/both", 0700);
	make(g, "near/both", 01750);
	make(g, "far/both", 0711);
	make(g, "layer/one", 0700);
	make(g, "far/one", 0711);
	make(g, "layer/new", 0700);
	set_time(g, "near/both", 1000000000);
	inherit(g, "both", false);
	inherit(g, "one", false);
	inherit(g, "new", false);
	row_int("both", "mode", 01750, look(g, "layer/both").st_mode & 07777);
	row_int("both", "time", 1000000000, look(g, "layer/both").st_mtime);
	row_int("one", "mode", 0711, look(g, "layer/one").st_mode & 07777);
	row_int("new", "mode", 0700, look(g, "layer/new").st_mode & 07777);
	table_end();
}

static void an_entry_that_came_later_keeps_its_mode(void **state)
{
	const struct ground *g = *state;

	make(g, "layer/d", 0700);
	make(g, "near/d", 0711);
	inherit(g, "d", true);
	row_int("d", "mode", 0700, look(g, "layer/d").st_mode & 07777);
	table_end();
}

static void a_directory_with_something_in_it_keeps_its_times(void **state)
{
	const struct ground *g = *state;

	make(g, "layer/d", 0700);
	make(g, "layer/d/e", 0700);
	make(g, "near/d", 0711);
	set_time(g, "near/d", 1000000000);
	inherit(g, "d", false);
	row_int("d", "mode", 0711, look(g, "layer/d").st_mode & 07777);
	row_int("d", "has the old time", false, look(g, "layer/d").st_mtime == 1000000000);
	table_end();
}

static void something_else_of_that_name(void **state)
{
	const struct ground *g = *state;

	make(g, "layer/d", 0700);
	make(g, "layer/d/e", 0700);
	make(g, "far/d", 0711);
	make(g, "far/d/e", 0711);
	/* Nearer than those, d is no directory; and in a layer, what was one no longer is. */
	CLEANUP(freep) char *file = in(g, "near/d");
	(void)close(open(file, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
	inherit(g, "d/e", false);
	row_int("d/e", "mode", 0700, look(g, "layer/d/e").st_mode & 07777);
	make_link(g, "layer/gone", "nowhere");
	inherit(g, "gone", false);
	table_end();
}

static void links_stay_inside(void **state)
{
	const struct ground *g = *state;

	make(g, "outside/d", 0700);
	make(g, "near/out", 0711);
	make(g, "near/out/d", 0711);
	make_link(g, "layer/out", "../outside");
	inherit(g, "out/d", false);
	row_int("outside/d", "mode", 0700, look(g, "outside/d").st_mode & 07777);
	make(g, "layer/in", 0700);
	make_link(g, "near/in", "../outside/d");
	inherit(g, "in", false);
	row_int("in", "mode", 0700, look(g, "layer/in").st_mode & 07777);
	table_end();
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(the_nearest_below_counts),
		TEST(an_entry_that_came_later_keeps_its_mode),
		TEST(a_directory_with_something_in_it_keeps_its_times),
		TEST(something_else_of_that_name),
		TEST(links_stay_inside),
	};

	return cmocka_run_group_tests_name("inherit", tests, NULL, NULL);
}
