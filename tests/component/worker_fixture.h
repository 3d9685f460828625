/* A worker as its parent runs it, from start to end. The program that includes this is its own worker. */
#ifndef BERTH_TESTS_COMPONENT_WORKER_FIXTURE_H
#define BERTH_TESTS_COMPONENT_WORKER_FIXTURE_H

#include <dirent.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/mem.h"
#include "unpack/worker_private.h"

#define BIG_BYTES (24 * MIB) /* many times the pipe */

struct run {
	struct loop *loop;
	struct zygote *zygote;
	struct worker *worker;
	const char *bytes;
	size_t len, at;
	bool keep_open; /* never ends the input */
	int state;
	size_t events;
	loop_timer_fn *later;
	struct sha256 *emitted; /* NULL: it does not emit */
	size_t emitted_bytes, emitted_max; /* takes no more than that, for now */
	struct worker_result result;
	struct err err;
};

static inline void take_output(struct run *r)
{
	const void *bytes;
	size_t len;

	while (r->emitted && r->emitted_bytes < r->emitted_max) {
		worker_peek(r->worker, &bytes, &len);
		if (!len)
			return;
		len = len > 1000 ? len - 1 : len; /* what is not consumed comes again */
		sha256_update(r->emitted, bytes, len);
		r->emitted_bytes += len;
		worker_consume(r->worker, len);
	}
}

static inline void on_event(void *arg)
{
	struct run *r = arg;

	r->events++;
	while (r->at < r->len) {
		ssize_t n = worker_feed(r->worker, r->bytes + r->at, r->len - r->at, &r->err);
		if (n <= 0)
			break;
		r->at += (size_t)n;
		if (r->at == r->len && !r->keep_open)
			worker_end_input(r->worker);
	}
	take_output(r);
	r->state = worker_result(r->worker, &r->result, &r->err);
	if (r->state == 0 && r->emitted && !worker_output_ended(r->worker))
		r->state = 1;
}

static inline bool is_over(void *arg)
{
	return ((struct run *)arg)->state != 1;
}

static inline size_t open_descriptors(void)
{
	DIR *d = opendir("/proc/self/fd");
	size_t n = 0;

	while (readdir(d))
		n++;
	(void)closedir(d);
	return n;
}

/* Feeds all and waits for the end; nothing is left behind. */
static inline void run_worker(struct run *r, enum inflate_format format)
{
	struct err err = { 0 };

	assert_int_equal(loop_new(&r->loop, &err), 0);
	size_t before = open_descriptors();
	const struct worker_options options = { .format = format, .emit = r->emitted != NULL };
	assert_int_equal(zygote_start(r->loop, &r->zygote, &err), 0);
	assert_int_equal(worker_start(r->zygote, &options, on_event, r, &r->worker, &err), 0);
	on_event(r);
	if (r->later)
		(void)loop_timer_start(r->loop, 3000, r->later, r); /* gone when it has run */
	if (loop_wait(r->loop, is_over, r, clock_mono_ms() + 60000, &err) < 0)
		fail_msg("%s", err.msg);
	worker_free(r->worker);
	zygote_free(r->zygote);
	assert_int_equal(open_descriptors(), before);
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
	assert_int_equal(errno, ECHILD);
	loop_free(r->loop);
}

#endif
