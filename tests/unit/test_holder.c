/* Whose a lease is, told from its label. */
#include <sys/wait.h>
#include <unistd.h>

#include "engine/holder.h"
#include "table.h"

static void self(char out[HOLDER_SIZE])
{
	struct err err;

	if (holder_self(out, &err) < 0)
		fail_msg("%s", err.msg);
}

/* What a process that has ended called itself. */
static void of_the_dead(char out[HOLDER_SIZE])
{
	int fds[2], status;

	assert_int_equal(pipe(fds), 0);
	pid_t pid = fork();
	if (pid == 0) {
		char name[HOLDER_SIZE] = "";
		struct err err;
		_exit(holder_self(name, &err) < 0 || write(fds[1], name, sizeof name) != sizeof name);
	}
	assert_int_equal(read(fds[0], out, HOLDER_SIZE), HOLDER_SIZE);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	close(fds[0]);
	close(fds[1]);
}

static void test_processes(void **state)
{
	char name[HOLDER_SIZE];

	(void)state;
	self(name);
	assert_int_equal(holder_judge(name), HOLDER_ALIVE);
	of_the_dead(name);
	assert_int_equal(holder_judge(name), HOLDER_GONE);
}

static void test_the_pid_of_another_process_now(void **state)
{
	char name[HOLDER_SIZE];

	(void)state;
	self(name);
	char *started = strrchr(name, '.') + 1;
	*started = *started == '1' ? '2' : '1';
	assert_int_equal(holder_judge(name), HOLDER_GONE);
}

static void test_another_boot(void **state)
{
	char name[HOLDER_SIZE];

	(void)state;
	self(name);
	name[0] = name[0] == '0' ? '1' : '0';
	assert_int_equal(holder_judge(name), HOLDER_OTHER_BOOT);
}

static void test_another_pid_namespace(void **state)
{
	char name[HOLDER_SIZE];

	(void)state;
	self(name);
	char *namespace = strchr(name, '.') + 1;
	*namespace = *namespace == '3' ? '4' : '3';
	assert_int_equal(holder_judge(name), HOLDER_UNKNOWN);
}

static void test_no_holder(void **state)
{
	static const char *const names[] = { NULL, "", "x", "a.1.2", "a.1.2.3.4", ".1.2.3", "a.b.c.d" };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		assert_int_equal(holder_judge(names[i]), HOLDER_UNKNOWN);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_processes),
		cmocka_unit_test(test_the_pid_of_another_process_now),
		cmocka_unit_test(test_another_boot),
		cmocka_unit_test(test_another_pid_namespace),
		cmocka_unit_test(test_no_holder),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
