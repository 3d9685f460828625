/* One berth at a time, and who it is. */
#include "table.h"

#include <sys/wait.h>
#include <unistd.h>

#include "agent/lock.h"

static char dir[] = "/tmp/berth-test-lock.XXXXXX";
static struct loop *loop;

static int setup(void **state)
{
	struct err err;

	(void)state;
	return mkdtemp(dir) && loop_new(&loop, &err) == 0 ? 0 : -1;
}

static int teardown(void **state)
{
	CLEANUP(freep) char *file = xasprintf("%s/deploying/web", dir);
	CLEANUP(freep) char *below = xasprintf("%s/deploying", dir);

	(void)state;
	loop_free(loop);
	return unlink(file) == 0 && rmdir(below) == 0 && rmdir(dir) == 0 ? 0 : -1;
}

static void the_second_is_told_of_the_first(void **state)
{
	struct deploy_lock first, second;
	struct err err = { 0 };

	(void)state;
	assert_int_equal(deploy_lock_open(&first, dir, "web", &err), 0);
	assert_int_equal(deploy_lock_open(&second, dir, "web", &err), 0);
	assert_false(deploy_lock_is_others(&second));
	assert_int_equal(deploy_lock_take(&first, "berth deploy", false, loop, &err), 0);
	assert_int_equal(deploy_lock_take(&first, "berth deploy", false, loop, &err), 0);
	assert_false(deploy_lock_is_others(&first));
	assert_true(deploy_lock_is_others(&second));
	assert_int_equal(deploy_lock_take(&second, "berth up", false, loop, &err), -1);
	assert_int_equal(err.kind, ERR_CONFLICT);
	assert_int_equal(err_exit_code(&err), 75);
	CLEANUP(freep) char *who = xasprintf("berth deploy (pid %d, since ", (int)getpid());
	assert_non_null(strstr(err.msg, who));
	deploy_lock_release(&first);
	err_clear(&err);
	assert_int_equal(deploy_lock_take(&second, "berth up", true, loop, &err), 0);
	assert_false(second.abandoned);
	CLEANUP(freep) char *holder = deploy_lock_holder(&first);
	assert_non_null(skip_prefix(holder, "berth up (pid "));
	deploy_lock_close(&second);
	deploy_lock_close(&first);
}

/* A death needs no clearing up, and is seen. */
static void the_dead_hold_nothing(void **state)
{
	struct deploy_lock lock;
	struct err err = { 0 };
	int status = -1;

	(void)state;
	assert_int_equal(deploy_lock_open(&lock, dir, "web", &err), 0);
	pid_t child = fork();
	assert_true(child >= 0);
	if (child == 0)
		_exit(deploy_lock_take(&lock, "berth deploy", false, loop, &err) < 0);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	assert_false(deploy_lock_is_others(&lock));
	assert_int_equal(deploy_lock_take(&lock, "berth up", false, loop, &err), 0);
	assert_true(lock.abandoned);
	deploy_lock_close(&lock);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_second_is_told_of_the_first),
		cmocka_unit_test(the_dead_hold_nothing),
	};

	return cmocka_run_group_tests_name("lock", tests, setup, teardown);
}
