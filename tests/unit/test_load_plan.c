/* How many loads an image is sent in. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "engine/load_plan.h"

#define LAYERS_MAX 200

struct plan {
	size_t n, ends[LOAD_PLAN_PARTS_MAX];
};

static struct plan plan(size_t n_layers, const int64_t *mib, const bool *skip)
{
	struct store_layer layers[LAYERS_MAX] = { 0 };
	struct store_image image = { .layers = layers, .n_layers = n_layers };
	struct plan p = { 0 };

	for (size_t i = 0; i < n_layers; i++)
		layers[i].size_bytes = mib[i] * MIB;
	p.n = load_plan(&image, skip, p.ends);
	return p;
}

static void small_images_go_at_once(void **state)
{
	const int64_t mib[] = { 3, 5, 1, 7 };
	struct plan p = plan(4, mib, NULL);

	(void)state;
	assert_int_equal(p.n, 1);
	assert_int_equal(p.ends[0], 4);
	p = plan(0, NULL, NULL);
	assert_int_equal(p.n, 1);
	assert_int_equal(p.ends[0], 0);
}

static void large_layers_go_alone_and_small_ones_along(void **state)
{
	const int64_t mib[] = { 1, 40, 100, 2, 2, 60, 1 };
	struct plan p = plan(7, mib, NULL);

	(void)state;
	assert_int_equal(p.n, 3);
	assert_int_equal(p.ends[0], 2);
	assert_int_equal(p.ends[1], 3);
	assert_int_equal(p.ends[2], 7);
}

static void what_is_left_out_does_not_count(void **state)
{
	const int64_t mib[] = { 100, 100, 100, 1 };
	const bool skip[] = { true, true, true, false };
	struct plan p = plan(4, mib, skip);

	(void)state;
	assert_int_equal(p.n, 1);
	assert_int_equal(p.ends[0], 4);
}

static void inflated_sizes_count_where_those_are_sent(void **state)
{
	struct store_layer layers[] = { { .size_bytes = 10 * MIB, .raw_bytes = 30 * MIB },
					{ .size_bytes = 10 * MIB, .raw_bytes = 30 * MIB } };
	struct store_image image = { .layers = layers, .n_layers = 2 };
	size_t ends[LOAD_PLAN_PARTS_MAX];

	(void)state;
	assert_int_equal(load_plan(&image, NULL, ends), 2);
	layers[1].raw_bytes = 0;
	assert_int_equal(load_plan(&image, NULL, ends), 1);
}

static void many_layers_are_few_loads(void **state)
{
	int64_t mib[LAYERS_MAX];

	(void)state;
	for (size_t i = 0; i < LAYERS_MAX; i++)
		mib[i] = 20 + (int64_t)i % 7;
	struct plan p = plan(LAYERS_MAX, mib, NULL);
	assert_in_range(p.n, 2, LOAD_PLAN_PARTS_MAX);
	for (size_t k = 1; k < p.n; k++)
		assert_true(p.ends[k] > p.ends[k - 1]);
	assert_int_equal(p.ends[p.n - 1], LAYERS_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(small_images_go_at_once),
		cmocka_unit_test(large_layers_go_alone_and_small_ones_along),
		cmocka_unit_test(what_is_left_out_does_not_count),
		cmocka_unit_test(inflated_sizes_count_where_those_are_sent),
		cmocka_unit_test(many_layers_are_few_loads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
