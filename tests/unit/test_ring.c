/* Blocks between two threads: all of them, in order, each seen once whoever is ahead, and errors both ways. */
#include "unpack/ring.h"

#include <pthread.h>

#include "base/clock.h"
#include "table.h"

#define BLOCKS 4
#define BLOCK_BYTES 64

struct pair {
	struct ring *ring;
	size_t bytes;        /* to be put; the byte at place i is (uint8_t)i */
	int put_us, take_us; /* pause at each block: who is ahead */
	size_t taken, seen;
	size_t seen_by_filler, blocks;
	pthread_t filler;
	bool wrong;
	struct err take_error;
};

static void pause_us(int us)
{
	if (us)
		(void)nanosleep(&(struct timespec){ .tv_nsec = us * 1000L }, NULL);
}

static void check_bytes(struct pair *p, const uint8_t *bytes, size_t len, size_t *at)
{
	for (size_t i = 0; i < len; i++)
		p->wrong |= bytes[i] != (uint8_t)(*at)++;
}

static void see(void *arg, const void *bytes, size_t len)
{
	struct pair *p = arg;

	check_bytes(p, bytes, len, &p->seen);
	p->blocks++;
	p->seen_by_filler += pthread_equal(pthread_self(), p->filler) != 0;
}

static void *take_all(void *arg)
{
	struct pair *p = arg;
	void *bytes;
	ssize_t n;

	while ((n = ring_take(p->ring, &bytes, &p->take_error)) > 0) {
		check_bytes(p, bytes, (size_t)n, &p->taken);
		p->wrong |= p->seen < p->taken;
		memset(bytes, 'x', (size_t)n); /* its own */
		pause_us(p->take_us);
	}
	ring_close(p->ring, n < 0 ? &p->take_error : NULL);
	return NULL;
}

static int put_all(struct pair *p, struct err *err)
{
	size_t put = 0;

	while (put < p->bytes) {
		void *room;
		size_t len;
		if (ring_room(p->ring, &room, &len, err) < 0)
			return -1;
		if (len > 40) /* blocks are filled in steps */
			len = 40;
		if (len > p->bytes - put)
			len = p->bytes - put;
		for (size_t i = 0; i < len; i++)
			((uint8_t *)room)[i] = (uint8_t)put++;
		ring_put(p->ring, len);
		pause_us(p->put_us);
	}
	return 0;
}

static int run(struct pair *p, const struct err *why, struct err *err)
{
	pthread_t taker;

	p->filler = pthread_self();
	p->ring = ring_new(BLOCKS, BLOCK_BYTES, see, p);
	assert_int_equal(pthread_create(&taker, NULL, take_all, p), 0);
	int result = put_all(p, err);
	ring_end(p->ring, why);
	if (result == 0)
		result = ring_wait_closed(p->ring, err);
	assert_int_equal(pthread_join(taker, NULL), 0);
	ring_free(p->ring);
	return result;
}

static void test_all_sizes(void **state)
{
	static const size_t sizes[] = { 0, 1, 63, 64, 65, 256, 257, 100000 };

	(void)state;
	for (size_t k = 0; k < ARRAY_LEN(sizes); k++) {
		struct pair p = { .bytes = sizes[k] };
		struct err err;
		assert_int_equal(run(&p, NULL, &err), 0);
		assert_false(p.wrong);
		assert_int_equal(p.taken, sizes[k]);
		assert_int_equal(p.seen, sizes[k]);
	}
}

static void test_who_is_ahead_sees(void **state)
{
	struct pair slow_taker = { .bytes = 200 * BLOCK_BYTES, .take_us = 300 };
	struct pair slow_filler = { .bytes = 200 * BLOCK_BYTES, .put_us = 300 };
	struct err err;

	(void)state;
	assert_int_equal(run(&slow_taker, NULL, &err), 0);
	assert_false(slow_taker.wrong);
	assert_true(slow_taker.seen_by_filler > slow_taker.blocks / 2);
	assert_int_equal(run(&slow_filler, NULL, &err), 0);
	assert_false(slow_filler.wrong);
	assert_true(slow_filler.seen_by_filler < slow_filler.blocks / 2);
}

static void test_the_filler_fails(void **state)
{
	struct pair p = { .bytes = 3 * BLOCK_BYTES };
	struct err why, err;

	(void)state;
	(void)err_set(&why, ERR_REFUSED, "no good bytes");
	assert_int_equal(run(&p, &why, &err), -1);
	assert_string_equal(p.take_error.msg, "no good bytes");
}

static void *refuse(void *arg)
{
	struct pair *p = arg;
	void *bytes;

	p->wrong = ring_take(p->ring, &bytes, &p->take_error) != BLOCK_BYTES;
	(void)err_set(&p->take_error, ERR_REFUSED, "not these");
	ring_close(p->ring, &p->take_error);
	return NULL;
}

static void test_the_taker_fails(void **state)
{
	struct pair p = { .bytes = 100 * BLOCK_BYTES };
	struct err err;
	pthread_t taker;

	(void)state;
	p.ring = ring_new(BLOCKS, BLOCK_BYTES, NULL, NULL);
	assert_int_equal(pthread_create(&taker, NULL, refuse, &p), 0);
	assert_int_equal(put_all(&p, &err), -1);
	assert_string_equal(err.msg, "not these");
	assert_int_equal(pthread_join(taker, NULL), 0);
	assert_false(p.wrong);
	ring_free(p.ring);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_all_sizes),
		cmocka_unit_test(test_who_is_ahead_sees),
		cmocka_unit_test(test_the_filler_fails),
		cmocka_unit_test(test_the_taker_fails),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
