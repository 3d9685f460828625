/* state.json: which deployments there were, what speaks against one more, and what was wanted last. */
#include "record_fixture.h"

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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_failed_deployment_is_remembered_until_it_succeeds),
		cmocka_unit_test(what_was_rolled_back_from_is_remembered),
		cmocka_unit_test(a_passing_failure_is_no_objection),
		cmocka_unit_test(the_options_that_were_carried_out_last_are_known),
		cmocka_unit_test(old_deployments_go),
	};

	return cmocka_run_group_tests_name("record deployments", tests, setup, teardown);
}
