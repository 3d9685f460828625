/* Files: bounded reads, replacement of whole files, directories, locks. */
#include "table.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fs.h"

static char *dir; /* of one test; below TMPDIR */

static int make_dir(void **state)
{
	const char *tmp = getenv("TMPDIR");

	(void)state;
	dir = xasprintf("%s/berth-test-fs-XXXXXX", tmp ? tmp : "/tmp");
	return mkdtemp(dir) ? 0 : -1;
}

static int remove_dir(void **state)
{
	static const char *const names[] = { "a", "link", "fifo", "lock", "looked-at", "d/e/f", "d/e", "d" };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		CLEANUP(freep) char *path = xasprintf("%s/%s", dir, names[i]);
		(void)remove(path); /* most tests make only some */
	}
	int result = rmdir(dir); /* something left over is a failure */
	free(STEAL(dir));
	return result;
}

static char *in_dir(const char *name)
{
	return xasprintf("%s/%s", dir, name);
}

static void a_file_is_written_and_read(void **state)
{
	CLEANUP(freep) char *path = in_dir("a");
	struct buf b = BUF_INIT(200 * KIB);
	CLEANUP(freep) char *big = xcalloc(1, 150 * KIB);
	struct err err = { 0 };
	struct stat st;

	(void)state;
	assert_int_equal(fs_write_atomic(path, "one", 3, 0600, &err), 0);
	assert_int_equal(fs_read(path, &b, &err), 0);
	assert_string_equal(buf_str(&b), "one");
	assert_int_equal(fs_write_atomic(path, big, 150 * KIB, 0644, &err), 0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0644);
	assert_int_equal(st.st_size, 150 * KIB);
	buf_clear(&b);
	assert_int_equal(fs_read(path, &b, &err), 0);
	assert_int_equal(b.len, 150 * KIB);
	assert_int_equal(fs_write_atomic(path, "", 0, 0600, &err), 0);
	buf_clear(&b);
	assert_int_equal(fs_read(path, &b, &err), 0);
	assert_int_equal(b.len, 0);
	buf_free(&b);
}

static void a_read_stops_at_the_cap(void **state)
{
	CLEANUP(freep) char *path = in_dir("a");
	struct buf b = BUF_INIT(3);
	struct err err = { 0 };

	(void)state;
	assert_int_equal(fs_write_atomic(path, "1234", 4, 0600, &err), 0);
	row_refused("4 bytes into 3", fs_read(path, &b, &err), ERR_LIMIT, "more than 3 bytes",
		    &err);
	assert_int_equal(fs_write_atomic(path, "123", 3, 0600, &err), 0);
	(void)row_ok("3 bytes into 3", fs_read(path, &b, &err), &err);
	buf_free(&b);
	table_end();
}

static void only_regular_files_are_read(void **state)
{
	CLEANUP(freep) char *fifo = in_dir("fifo");
	CLEANUP(freep) char *link = in_dir("link");
	struct buf b = BUF_INIT(10);
	struct err err = { 0 };

	(void)state;
	assert_int_equal(mkfifo(fifo, 0600), 0);
	assert_int_equal(symlink("link", link), 0);
	const struct {
		const char *path;
		enum err_kind kind;
		const char *why;
	} rows[] = {
		{ fifo, ERR_CONFIG, "is not a regular file" }, /* and does not wait for a writer */
		{ dir, ERR_CONFIG, "is not a regular file" },
		{ "/dev/null", ERR_CONFIG, "is not a regular file" },
		{ link, ERR_SYSTEM, "Too many levels of symbolic links" },
		{ "/nonexistent/x", ERR_NOT_FOUND, "/nonexistent/x does not exist" },
		{ "", ERR_NOT_FOUND, "does not exist" },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		row_refused(rows[i].path, fs_read(rows[i].path, &b, &err), rows[i].kind,
			    rows[i].why, &err);
	table_end();
}

static void a_symlink_is_replaced_and_not_followed(void **state)
{
	CLEANUP(freep) char *target = in_dir("a");
	CLEANUP(freep) char *link = in_dir("link");
	struct buf b = BUF_INIT(10);
	struct err err = { 0 };
	struct stat st;

	(void)state;
	assert_int_equal(fs_write_atomic(target, "target", 6, 0600, &err), 0);
	assert_int_equal(symlink(target, link), 0);
	assert_int_equal(fs_write_atomic(link, "new", 3, 0600, &err), 0);
	assert_int_equal(lstat(link, &st), 0);
	assert_true(S_ISREG(st.st_mode));
	assert_int_equal(fs_read(target, &b, &err), 0);
	assert_string_equal(buf_str(&b), "target");
	buf_free(&b);
}

static void what_a_killed_writer_left_is_replaced(void **state)
{
	CLEANUP(freep) char *path = in_dir("a");
	CLEANUP(freep) char *left = in_dir("a.new");
	CLEANUP(freep) char *canary = in_dir("d");
	struct buf b = BUF_INIT(10);
	struct err err = { 0 };

	(void)state;
	assert_int_equal(fs_write_atomic(left, "half", 4, 0600, &err), 0);
	assert_int_equal(fs_write_atomic(path, "whole", 5, 0600, &err), 0);
	assert_int_equal(access(left, F_OK), -1);
	assert_int_equal(fs_write_atomic(canary, "canary", 6, 0600, &err), 0);
	assert_int_equal(symlink(canary, left), 0);
	assert_int_equal(fs_write_atomic(path, "again", 5, 0600, &err), 0);
	assert_int_equal(fs_read(canary, &b, &err), 0);
	assert_string_equal(buf_str(&b), "canary");
	buf_free(&b);
}

/* remove_dir() fails when a temporary file stays behind. */
static void a_failed_write_leaves_nothing(void **state)
{
	CLEANUP(freep) char *path = in_dir("d");
	CLEANUP(freep) char *below = in_dir("absent/x");
	struct err err = { 0 };

	(void)state;
	assert_int_equal(fs_mkdirs(path, &err), 0);
	row_refused("over a directory", fs_write_atomic(path, "x", 1, 0600, &err), ERR_SYSTEM,
		    "rename", &err);
	row_refused("into no directory", fs_write_atomic(below, "x", 1, 0600, &err), ERR_SYSTEM,
		    "No such file", &err);
	table_end();
}

static void directories_are_made(void **state)
{
	CLEANUP(freep) char *deep = in_dir("d/e/f");
	CLEANUP(freep) char *slash = in_dir("d/e/f/");
	CLEANUP(freep) char *file = in_dir("a");
	CLEANUP(freep) char *below = in_dir("a/b");
	struct err err = { 0 };
	struct stat st;

	(void)state;
	(void)row_ok("three levels", fs_mkdirs(deep, &err), &err);
	(void)row_ok("again", fs_mkdirs(deep, &err), &err);
	(void)row_ok("with a slash", fs_mkdirs(slash, &err), &err);
	(void)row_ok("the root", fs_mkdirs("/", &err), &err);
	assert_int_equal(stat(deep, &st), 0);
	assert_true(S_ISDIR(st.st_mode));
	assert_int_equal(fs_write_atomic(file, "x", 1, 0600, &err), 0);
	row_refused("a file is there", fs_mkdirs(file, &err), ERR_SYSTEM, "Not a directory", &err);
	row_refused("a file above", fs_mkdirs(below, &err), ERR_SYSTEM, "Not a directory", &err);
	row_refused("no name", fs_mkdirs("", &err), ERR_SYSTEM, "No such file", &err);
	table_end();
}

static void a_lock_has_one_holder(void **state)
{
	CLEANUP(freep) char *path = in_dir("lock");
	struct err err = { 0 };
	struct stat st;
	int first = -1, second = -1;

	(void)state;
	assert_false(fs_locked(path)); /* and does not make it */
	assert_int_equal(access(path, F_OK), -1);
	assert_int_equal(fs_lock(path, 0, &first, &err), 0);
	assert_true(fs_locked(path));
	assert_true(fcntl(first, F_GETFD) & FD_CLOEXEC);
	assert_int_equal(fstat(first, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	row_refused("at once", fs_lock(path, 0, &second, &err), ERR_CONFLICT, "held by another",
		    &err);
	int64_t start = clock_mono_ms();
	row_refused("after a while", fs_lock(path, start + 120, &second, &err), ERR_CONFLICT,
		    "held by another", &err);
	assert_true(clock_mono_ms() >= start + 120);
	assert_int_equal(second, -1);
	close(first);
	assert_false(fs_locked(path));
	assert_int_equal(fs_lock(path, 0, &second, &err), 0);
	close(second);
	table_end();
}

struct looker {
	const char *path;
	_Atomic bool over;
};

static void *look(void *arg)
{
	struct looker *looker = arg;

	while (!looker->over)
		(void)fs_locked(looker->path);
	return NULL;
}

static void who_looks_takes_nothing(void **state)
{
	CLEANUP(freep) char *path = in_dir("looked-at");
	struct looker looker = { .path = path };
	struct err err = { 0 };
	pthread_t thread;
	int taken = 0, fd;

	(void)state;
	assert_int_equal(pthread_create(&thread, NULL, look, &looker), 0);
	for (int i = 0; i < 20000 && fs_lock(path, 0, &fd, &err) == 0; i++) {
		taken++;
		close(fd);
	}
	looker.over = true;
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(taken, 20000);
}

static void a_lock_does_not_follow_symlinks(void **state)
{
	CLEANUP(freep) char *link = in_dir("link");
	struct err err = { 0 };
	int fd = -1;

	(void)state;
	assert_int_equal(symlink("/etc/hostname", link), 0);
	row_refused("symlink", fs_lock(link, 0, &fd, &err), ERR_SYSTEM, "symbolic links", &err);
	assert_int_equal(fd, -1);
	table_end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_file_is_written_and_read, make_dir, remove_dir),
		cmocka_unit_test_setup_teardown(a_read_stops_at_the_cap, make_dir, remove_dir),
		cmocka_unit_test_setup_teardown(only_regular_files_are_read, make_dir, remove_dir),
		cmocka_unit_test_setup_teardown(a_symlink_is_replaced_and_not_followed, make_dir,
						remove_dir),
		cmocka_unit_test_setup_teardown(what_a_killed_writer_left_is_replaced, make_dir,
						remove_dir),
		cmocka_unit_test_setup_teardown(a_failed_write_leaves_nothing, make_dir,
						remove_dir),
		cmocka_unit_test_setup_teardown(directories_are_made, make_dir, remove_dir),
		cmocka_unit_test_setup_teardown(a_lock_has_one_holder, make_dir, remove_dir),
		cmocka_unit_test_setup_teardown(who_looks_takes_nothing, make_dir, remove_dir),
		cmocka_unit_test_setup_teardown(a_lock_does_not_follow_symlinks, make_dir,
						remove_dir),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
