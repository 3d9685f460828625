/* Calls that are tried again: how often, and after how long. */
#include "http_fixture.h"

struct flaky {
	unsigned int calls, fails;
	bool retryable;
};

static int flaky_call(void *arg, struct err *err)
{
	struct flaky *f = arg;

	if (f->calls++ >= f->fails)
		return 0;
	return err_set(err, f->retryable ? ERR_NETWORK : ERR_DENIED, "call %u", f->calls);
}

static void test_retries(void **state)
{
	struct flaky f = { .fails = 2, .retryable = true };
	struct err err;

	(void)state;
	assert_int_equal(net_retry(loop, 3, flaky_call, &f, &err), 0);
	assert_int_equal(f.calls, 3);
	f = (struct flaky){ .fails = 9, .retryable = true };
	assert_int_equal(net_retry(loop, 2, flaky_call, &f, &err), -1);
	assert_int_equal(f.calls, 2);
	f = (struct flaky){ .fails = 9 };
	assert_int_equal(net_retry(loop, 5, flaky_call, &f, &err), -1);
	assert_int_equal(f.calls, 1);
	err = (struct err){ .retry_after_ms = 20000 };
	assert_int_equal(net_retry_delay_ms(1, &err), 20000);
	err = (struct err){ 0 };
	assert_in_range(net_retry_delay_ms(1, &err), 125, 250);
	assert_in_range(net_retry_delay_ms(50, &err), 4000, 8000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_retries, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
