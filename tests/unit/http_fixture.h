/* A loop and an HTTP client of their own for tests: setup and teardown are for cmocka, of one test or of a group. */
#ifndef BERTH_TESTS_UNIT_HTTP_FIXTURE_H
#define BERTH_TESTS_UNIT_HTTP_FIXTURE_H

#include "table.h"

#include "net/http.h"

static struct loop *loop;
static struct http *http;

static inline int setup(void **state)
{
	const struct http_config config = { .user_agent = "berth/test" };
	struct err err;

	(void)state;
	if (loop_new(&loop, &err) < 0 || http_new(loop, &config, &http, &err) < 0)
		fail_msg("%s", err.msg);
	return 0;
}

static inline int teardown(void **state)
{
	(void)state;
	http_free(http);
	loop_free(loop);
	return 0;
}

#endif
