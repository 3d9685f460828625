/* state.json: which images berth brought. History only: a damaged file is a missing one. */
#include "record_fixture.h"

#include <sys/stat.h>
#include <sys/wait.h>

static void record(const char *image, const char *id, const char *digest)
{
	struct err err;

	if (record_image(state_dir, image, id, digest, "load", &err) < 0)
		fail_msg("%s", err.msg);
}

static void found(const char *id, const char *expected)
{
	char digest[72] = "before";

	assert_int_equal(record_digest(state_dir, id, digest), expected != NULL);
	assert_string_equal(digest, expected ?: "before");
}

static void write_state(const char *text)
{
	struct err err;

	if (fs_write_atomic(file, text, strlen(text), 0644, &err) < 0)
		fail_msg("%s", err.msg);
}

static void what_was_brought_is_found(void **state)
{
	struct stat st;

	(void)state;
	found(A, NULL);
	record("a/web:v1", A, B);
	assert_int_equal(stat(file, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0644);
	record("a/web:v2", B, C);
	found(A, B);
	found(B, C);
	found(C, NULL);
	found("", NULL);
}

/* Ten images noted by each of two processes at once are twenty rows. */
static void two_processes_lose_no_row(void **state)
{
	pid_t children[2];
	struct json *doc;

	(void)state;
	(void)unlink(file);
	for (size_t c = 0; c < ARRAY_LEN(children); c++) {
		children[c] = fork();
		assert_true(children[c] >= 0);
		for (int i = 0; children[c] == 0 && i < 10; i++) {
			char id[16];
			struct err err;
			(void)snprintf(id, sizeof id, "sha256:%zu%d", c, i);
			if (record_image(state_dir, "a/web", id, A, "load", &err) < 0)
				_exit(1);
		}
		if (children[c] == 0)
			_exit(0);
	}
	for (size_t c = 0; c < ARRAY_LEN(children); c++) {
		int status = -1;
		assert_int_equal(waitpid(children[c], &status, 0), children[c]);
		assert_int_equal(status, 0);
	}
	doc = read_state();
	assert_int_equal(json_count(json_get(doc, "images")), 20);
	json_free(doc);
	(void)unlink(file);
}

static void newest_first_and_one_row_an_image(void **state)
{
	const struct json *row;
	struct json *doc;

	(void)state;
	record("a/web:v3", A, A);
	found(A, A);
	found(B, C);
	doc = read_state();
	row = json_first(json_get(doc, "images"));
	assert_int_equal(json_count(json_get(doc, "images")), 2);
	assert_string_equal(json_string(json_get(row, "id")), A);
	assert_string_equal(json_string(json_get(row, "image")), "a/web:v3");
	assert_string_equal(json_string(json_get(row, "store")), "load");
	assert_string_equal(json_string(json_get(json_next(row), "id")), B);
	json_free(doc);
}

static void a_hundred_images(void **state)
{
	struct json *doc;

	(void)state;
	for (int i = 0; i < RECORD_IMAGES_MAX + 5; i++) {
		CLEANUP(freep) char *id = xasprintf("sha256:%064d", i);
		record("a/web:v1", id, A);
	}
	doc = read_state();
	assert_int_equal(json_count(json_get(doc, "images")), RECORD_IMAGES_MAX);
	json_free(doc);
	found(B, NULL); /* the oldest went */
	found("sha256:0000000000000000000000000000000000000000000000000000000000000104", A);
}

static void damage_is_history_lost(void **state)
{
	static const char *const texts[] = {
		"",
		"{",
		"null",
		"[]",
		"{\"images\":{}}",
		"{\"images\":null}",
		"{\"images\":[null,1,\"x\",[],{}]}",
		"{\"images\":[{\"id\":1,\"digest\":2}]}",
		"{\"images\":[{\"id\":\"" A "\"}]}",
		"{\"images\":[{\"id\":\"" A "\",\"digest\":\"\"}]}",
		"{\"images\":[{\"id\":\"" A "\",\"digest\":\"sha256:short\"}]}",
		"{\"images\":[{\"id\":\"" A "\",\"digest\":\"" B "b\"}]}",
		"{\"images\":[{\"id\":\"" A "\",\"digest\":\"../../x\"}]}",
		"{\"images\":[{\"id\":\"" A "\",\"digest\":\"" B "\",\"id\":\"x\"}]}",
		"{\"images\":[{\"id\":\"" A "\",\"digest\":\"" B "\"}]}\ntrailing",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		write_state(texts[i]);
		found(A, NULL);
		record("a/web:v1", C, B);
		found(C, B);
	}
}

static void what_else_is_in_the_file_stays(void **state)
{
	struct json *doc;

	(void)state;
	write_state("{\"failed\":\"" A "\",\"images\":[]}");
	record("a/web:v1", B, C);
	doc = read_state();
	assert_string_equal(json_string(json_get(doc, "failed")), A);
	json_free(doc);
}

static void a_link_is_replaced_not_followed(void **state)
{
	CLEANUP(freep) char *victim = xasprintf("%s/victim", dir);
	CLEANUP(buf_free) struct buf text = BUF_INIT(KIB);
	struct stat st;
	struct err err;

	(void)state;
	assert_int_equal(fs_write_atomic(victim, "keep", 4, 0600, &err), 0);
	(void)unlink(file);
	assert_int_equal(symlink(victim, file), 0);
	record("a/web:v1", A, B);
	assert_int_equal(lstat(file, &st), 0);
	assert_true(S_ISREG(st.st_mode));
	assert_int_equal(fs_read(victim, &text, &err), 0);
	assert_string_equal(buf_str(&text), "keep");
	(void)unlink(victim);
}

static void a_forgotten_image_is_one_row_less(void **state)
{
	struct err err;

	(void)state;
	(void)unlink(file);
	record("a/web:v1", A, B);
	record("a/web:v2", B, C);
	assert_int_equal(record_forget_image(state_dir, A, &err), 0);
	found(A, NULL);
	found(B, C);
	CLEANUP(json_freep) struct json *images = record_images(state_dir);
	assert_int_equal(json_count(images), 1);
	(void)unlink(file);
}

static void a_directory_that_cannot_be_is_an_error(void **state)
{
	char digest[72];
	struct err err;

	(void)state;
	assert_int_equal(record_image("/proc/nonexistent", "a", A, B, "load", &err), -1);
	assert_int_equal(err.kind, ERR_SYSTEM);
	assert_non_null(strstr(err.msg, "/proc/nonexistent"));
	assert_false(record_digest("/proc/nonexistent", A, digest));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(two_processes_lose_no_row),
		cmocka_unit_test(what_was_brought_is_found),
		cmocka_unit_test(newest_first_and_one_row_an_image),
		cmocka_unit_test(a_hundred_images),
		cmocka_unit_test(damage_is_history_lost),
		cmocka_unit_test(what_else_is_in_the_file_stays),
		cmocka_unit_test(a_link_is_replaced_not_followed),
		cmocka_unit_test(a_forgotten_image_is_one_row_less),
		cmocka_unit_test(a_directory_that_cannot_be_is_an_error),
	};

	return cmocka_run_group_tests_name("record", tests, setup, teardown);
}
