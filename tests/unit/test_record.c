/* state.json: which images berth brought. History only: a damaged file is a missing one. */
#include "table.h"

#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/record.h"
#include "base/fs.h"
#include "base/json.h"

#define ID(c) "sha256:" c c c c c c c c
#define A ID("aaaaaaaa")
#define B ID("bbbbbbbb")
#define C ID("cccccccc")

static char dir[] = "/tmp/berth-test-record.XXXXXX";
static char *state_dir, *file;

static int setup(void **state)
{
	(void)state;
	if (!mkdtemp(dir))
		return -1;
	state_dir = xasprintf("%s/made/when/needed", dir);
	file = xasprintf("%s/state.json", state_dir);
	return 0;
}

static int teardown(void **state)
{
	CLEANUP(freep) char *command = xasprintf("%s/made/when/needed", dir);

	(void)state;
	CLEANUP(freep) char *lock = xasprintf("%s/state.lock", state_dir);
	(void)unlink(file);
	(void)unlink(lock);
	for (char *end; strlen(command) >= strlen(dir) && rmdir(command) == 0 && (end = strrchr(command, '/'));)
		*end = '\0';
	free(state_dir);
	free(file);
	return 0;
}

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

static struct json *read_state(void)
{
	CLEANUP(buf_free) struct buf text = BUF_INIT(MIB);
	struct json *doc = NULL;
	struct err err;

	if (fs_read(file, &text, &err) < 0 ||
	    json_parse(buf_str(&text), text.len, &json_default_limits, &doc, &err) < 0)
		fail_msg("%s", err.msg);
	return doc;
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

static void deployed(const char *name, const char *digest, const char *config, const char *failure)
{
	const struct record_deployment r = {
		.name = name, .by = "deploy", .digest = digest, .config = config, .failure = failure, .gap_ms = -1,
	};
	struct err err;

	if (record_deployment(state_dir, &r, &err) < 0)
		fail_msg("%s", err.msg);
}

static void failed_in_passing(const char *name, const char *digest, const char *config, const char *failure)
{
	const struct record_deployment r = {
		.name = name, .by = "deploy", .digest = digest, .config = config, .failure = failure, .passing = true,
		.gap_ms = -1,
	};
	struct err err;

	if (record_deployment(state_dir, &r, &err) < 0)
		fail_msg("%s", err.msg);
}

static bool has_failed(const char *name, const char *digest, const char *config)
{
	CLEANUP(json_freep) struct json *row = record_objection(state_dir, name, digest, config);

	return row != NULL;
}

static void rolled_back(const char *name, const char *to, const char *from, const char *config)
{
	const struct record_deployment r = {
		.name = name, .by = "rollback", .digest = to, .config = config,
		.from_digest = from, .from_config = config, .gap_ms = -1,
	};
	struct err err;

	if (record_deployment(state_dir, &r, &err) < 0)
		fail_msg("%s", err.msg);
}

/* Going back is an objection to what was left, until it is deployed or gone back to after all. */
static void what_was_rolled_back_from_is_remembered(void **state)
{
	(void)state;
	(void)unlink(file);
	deployed("web", B, "c1", NULL);
	rolled_back("web", A, B, "c1");
	assert_true(has_failed("web", B, "c1"));
	assert_false(has_failed("web", A, "c1"));
	assert_false(has_failed("web", B, "c2"));
	assert_false(has_failed("other", B, "c1"));
	rolled_back("web", B, A, "c1");
	assert_false(has_failed("web", B, "c1"));
	assert_true(has_failed("web", A, "c1"));
	deployed("web", A, "c1", NULL);
	assert_false(has_failed("web", A, "c1"));
}

/* The way to it was bad, say: told, and no reason not to try again; nor does it excuse an earlier failure. */
static void a_passing_failure_is_no_objection(void **state)
{
	(void)state;
	(void)unlink(file);
	failed_in_passing("web", A, "c1", "connection reset");
	assert_false(has_failed("web", A, "c1"));
	CLEANUP(json_freep) struct json *failed = record_last_deployment(state_dir, "web", true);
	assert_string_equal(json_string(json_get(failed, "digest")), A);
	deployed("web", A, "c1", "exit code 3");
	failed_in_passing("web", A, "c1", "connection reset");
	assert_true(has_failed("web", A, "c1"));
	rolled_back("web", B, A, "c2");
	failed_in_passing("web", A, "c2", "connection reset");
	assert_true(has_failed("web", A, "c2"));
}

static bool is_wanted(const char *name, const char *image, const char *config)
{
	return record_is_wanted(state_dir, name, image, config);
}

static void want(const char *name, const char *image, const char *config)
{
	struct err err;

	if (record_wanted(state_dir, name, image, config, &err) < 0)
		fail_msg("%s", err.msg);
}

static void the_options_that_were_carried_out_last_are_known(void **state)
{
	(void)state;
	(void)unlink(file);
	assert_false(is_wanted("web", "r/web:1", "c1"));
	want("web", "r/web:1", "c1");
	want("api", "r/api:1", "c1");
	assert_true(is_wanted("web", "r/web:1", "c1"));
	assert_false(is_wanted("web", "r/web:2", "c1"));
	want("web", "r/web:2", "c1");
	assert_false(is_wanted("web", "r/web:1", "c1"));
	assert_true(is_wanted("api", "r/api:1", "c1"));
	deployed("web", A, "c1", NULL);
	assert_true(is_wanted("web", "r/web:2", "c1"));
}

/* Of the same digest and configuration the last attempt counts; other ones are another matter. */
static void a_failed_deployment_is_remembered_until_it_succeeds(void **state)
{
	(void)state;
	(void)unlink(file);
	assert_false(has_failed("web", A, "c1"));
	deployed("web", A, "c1", "exit code 3");
	deployed("web", "", "c1", "no image");
	assert_true(has_failed("web", A, "c1"));
	assert_false(has_failed("web", "", "c1"));
	assert_false(has_failed("web", A, "c2"));
	assert_false(has_failed("web", B, "c1"));
	assert_false(has_failed("api", A, "c1"));
	deployed("web", B, "c1", NULL);
	assert_true(has_failed("web", A, "c1"));
	CLEANUP(json_freep) struct json *last = record_last_deployment(state_dir, "web", false);
	CLEANUP(json_freep) struct json *failed = record_last_deployment(state_dir, "web", true);
	assert_string_equal(json_string(json_get(last, "digest")), B);
	assert_string_equal(json_string(json_get(failed, "failure")), "no image");
	deployed("web", A, "c1", NULL);
	assert_false(has_failed("web", A, "c1"));
	assert_null(record_last_deployment(state_dir, "api", false));
	(void)unlink(file);
}

static void old_deployments_go(void **state)
{
	(void)state;
	(void)unlink(file);
	for (int i = 0; i < RECORD_DEPLOYMENTS_MAX + 5; i++)
		deployed("web", A, "c1", NULL);
	struct json *doc = read_state();
	assert_int_equal(json_count(json_get(doc, "deployments")), RECORD_DEPLOYMENTS_MAX);
	json_free(doc);
	(void)unlink(file);
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
		cmocka_unit_test(a_failed_deployment_is_remembered_until_it_succeeds),
		cmocka_unit_test(what_was_rolled_back_from_is_remembered),
		cmocka_unit_test(a_passing_failure_is_no_objection),
		cmocka_unit_test(the_options_that_were_carried_out_last_are_known),
		cmocka_unit_test(old_deployments_go),
		cmocka_unit_test(a_forgotten_image_is_one_row_less),
		cmocka_unit_test(a_directory_that_cannot_be_is_an_error),
	};

	return cmocka_run_group_tests_name("record", tests, setup, teardown);
}
