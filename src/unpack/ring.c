#include "unpack/ring.h"

#include <pthread.h>

#include "base/mem.h"

struct ring {
	pthread_mutex_t mutex;
	pthread_cond_t changed;
	size_t n_blocks, block_bytes;
	uint8_t *memory;
	size_t *lens;         /* of handed over blocks */
	size_t filled, taken; /* blocks so far; the taking side holds number `taken - 1` */
	bool holds;           /* it does */
	size_t seen;          /* blocks so far */
	bool sees;            /* one of the two is about to see number `seen` */
	ring_see_fn *see;
	void *see_arg;
	bool ended, closed;
	struct err put_error, take_error; /* ERR_NONE: none */

	size_t used; /* bytes in the block that is being filled: the filling side's own */
};

struct ring *ring_new(size_t n_blocks, size_t block_bytes, ring_see_fn *see, void *see_arg)
{
	struct ring *r = xcalloc(1, sizeof *r);

	(void)pthread_mutex_init(&r->mutex, NULL); /* cannot fail: glibc */
	(void)pthread_cond_init(&r->changed, NULL);
	r->n_blocks = n_blocks;
	r->block_bytes = block_bytes;
	r->see = see;
	r->see_arg = see_arg;
	r->memory = xmalloc(n_blocks * block_bytes);
	r->lens = xcalloc(n_blocks, sizeof *r->lens);
	return r;
}

void ring_free(struct ring *r)
{
	if (!r)
		return;
	(void)pthread_cond_destroy(&r->changed);
	(void)pthread_mutex_destroy(&r->mutex);
	free(r->memory);
	free(r->lens);
	free(r);
}

static uint8_t *block(const struct ring *r, size_t number)
{
	return r->memory + number % r->n_blocks * r->block_bytes;
}

/* The mutex is held, but for as long as the block is looked at: until it is seen it goes nowhere. */
static void see_next(struct ring *r)
{
	const uint8_t *bytes = block(r, r->seen);
	size_t len = r->lens[r->seen % r->n_blocks];

	r->sees = true;
	(void)pthread_mutex_unlock(&r->mutex);
	if (r->see)
		r->see(r->see_arg, bytes, len);
	(void)pthread_mutex_lock(&r->mutex);
	r->sees = false;
	r->seen++;
	(void)pthread_cond_signal(&r->changed);
}

/* Waits until the block to be filled is nobody else's. */
static int wait_for_room(struct ring *r, struct err *err)
{
	(void)pthread_mutex_lock(&r->mutex);
	while (!r->closed && r->filled - r->taken + r->holds == r->n_blocks) {
		if (r->seen < r->filled && !r->sees)
			see_next(r);
		else
			(void)pthread_cond_wait(&r->changed, &r->mutex);
	}
	bool closed = r->closed;
	(void)pthread_mutex_unlock(&r->mutex);
	if (!closed)
		return 0;
	if (r->take_error.kind == ERR_NONE)
		return err_set(err, ERR_PROTOCOL, "nobody takes the bytes any more");
	*err = r->take_error;
	return -1;
}

static void hand_over(struct ring *r)
{
	(void)pthread_mutex_lock(&r->mutex);
	r->lens[r->filled % r->n_blocks] = r->used;
	r->filled++;
	(void)pthread_cond_signal(&r->changed);
	(void)pthread_mutex_unlock(&r->mutex);
	r->used = 0;
}

int ring_room(struct ring *r, void **room, size_t *len, struct err *err)
{
	if (!r->used && wait_for_room(r, err) < 0)
		return -1;
	*room = block(r, r->filled) + r->used;
	*len = r->block_bytes - r->used;
	return 0;
}

void ring_put(struct ring *r, size_t len)
{
	r->used += len;
	if (r->used == r->block_bytes)
		hand_over(r);
}

void ring_end(struct ring *r, const struct err *why)
{
	if (r->used && !why)
		hand_over(r);
	(void)pthread_mutex_lock(&r->mutex);
	r->ended = true;
	if (why)
		r->put_error = *why;
	(void)pthread_cond_signal(&r->changed);
	(void)pthread_mutex_unlock(&r->mutex);
}

/* The taking side may change what it has taken: all of it is seen first. */
static void see_taken(struct ring *r)
{
	while (r->seen < r->taken) {
		if (r->sees)
			(void)pthread_cond_wait(&r->changed, &r->mutex);
		else
			see_next(r);
	}
}

ssize_t ring_take(struct ring *r, void **bytes, struct err *err)
{
	ssize_t n = 0;

	(void)pthread_mutex_lock(&r->mutex);
	if (r->holds) {
		r->holds = false;
		(void)pthread_cond_signal(&r->changed);
	}
	while (!r->ended && r->filled == r->taken)
		(void)pthread_cond_wait(&r->changed, &r->mutex);
	if (r->put_error.kind != ERR_NONE) {
		*err = r->put_error;
		n = -1;
	} else if (r->filled > r->taken) {
		*bytes = block(r, r->taken);
		n = (ssize_t)r->lens[r->taken % r->n_blocks];
		r->taken++;
		r->holds = true;
		see_taken(r);
	}
	(void)pthread_mutex_unlock(&r->mutex);
	return n;
}

void ring_close(struct ring *r, const struct err *why)
{
	(void)pthread_mutex_lock(&r->mutex);
	r->closed = true;
	if (why)
		r->take_error = *why;
	(void)pthread_cond_signal(&r->changed);
	(void)pthread_mutex_unlock(&r->mutex);
}

int ring_wait_closed(struct ring *r, struct err *err)
{
	(void)pthread_mutex_lock(&r->mutex);
	while (!r->closed)
		(void)pthread_cond_wait(&r->changed, &r->mutex);
	(void)pthread_mutex_unlock(&r->mutex);
	if (r->take_error.kind == ERR_NONE)
		return 0;
	*err = r->take_error;
	return -1;
}
