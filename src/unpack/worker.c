/* The parent's side: the pipes on the loop, the stall clock, the verdict. */
#include "unpack/worker.h"

#include <errno.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/mem.h"
#include "unpack/worker_private.h"

/* One that has said its last word and does not go. */
#define EXIT_MS 1000

int64_t worker_stall_ms = WORKER_STALL_MS;

/* Emitted bytes taken from the pipe at once. */
#define OUTPUT_BYTES (256 * KIB)

struct worker {
	struct loop *loop;
	worker_event_fn *event;
	void *arg;

	struct zygote_child *child;
	struct worker_pipes pipes; /* data_fd -1: closed by either side */
	struct loop_watch *data_watch, *result_watch, *output_watch;
	struct loop_timer *stall_timer; /* later, the one that waits for its exit */
	struct worker_record record;
	size_t record_len;
	bool unpacks;
	struct buf list_bytes;     /* behind the record of one that unpacks */
	struct deferred *deferred; /* the same, understood */

	uint8_t *output;                /* of one that emits: what was read and not consumed */
	size_t output_start, output_end;

	int64_t fed_bytes, emitted_bytes;
	int64_t moved_bytes;            /* through both pipes, as of the last look of the stall clock */
	bool input_ended;               /* worker_end_input() was called */
	bool blocked;                   /* waits for room in the pipe */
	bool stalled;                   /* killed for it */
	bool answered, answered_early;  /* early: its input had not ended */
	bool ended;                     /* reaped; result and error below are final */
	bool good;
	struct worker_result result;
	struct err error;
};

static void close_data(struct worker *w)
{
	loop_unwatch(w->data_watch);
	w->data_watch = NULL;
	closep(&w->pipes.data_fd);
	w->pipes.data_fd = -1;
}

static void release(struct worker *w)
{
	loop_timer_cancel(w->stall_timer);
	w->stall_timer = NULL;
	loop_unwatch(w->result_watch);
	w->result_watch = NULL;
	closep(&w->pipes.result_fd);
	w->pipes.result_fd = -1;
	close_data(w);
}

static void close_output(struct worker *w)
{
	loop_unwatch(w->output_watch);
	w->output_watch = NULL;
	closep(&w->pipes.output_fd);
	w->pipes.output_fd = -1;
}

/* The last words of one that unpacks. */
static int take_list(struct worker *w)
{
	if (w->list_bytes.len != w->record.deferred_bytes)
		return err_set(&w->error, ERR_PROTOCOL, "the worker's answer is malformed");
	return deferred_parse(w->list_bytes.data, w->list_bytes.len, &w->deferred, &w->error);
}

/* 1: there may be more, 0: it has said all that it will, -1: not now. */
static int read_answer(struct worker *w)
{
	char piece[4096];
	size_t room = sizeof w->record - w->record_len;
	struct err too_much;
	ssize_t n = room ? read(w->pipes.result_fd, (char *)&w->record + w->record_len, room)
			 : read(w->pipes.result_fd, piece, sizeof piece);

	if (n < 0 && errno == EINTR)
		return 1;
	if (n < 0 && errno == EAGAIN)
		return -1;
	if (n <= 0)
		return 0;
	if (room) {
		w->record_len += (size_t)n;
		return 1;
	}
	if (w->unpacks && buf_append(&w->list_bytes, piece, (size_t)n, &too_much) == 0)
		return 1;
	w->record.magic = 0; /* more than it may say: that will be called malformed */
	return 0;
}

/* Its result pipe has ended, by its death or just before. */
static void note_answer(struct worker *w)
{
	w->answered = true;
	w->answered_early = !w->input_ended;
	release(w);
}

static void on_exit_timer(void *arg)
{
	struct worker *w = arg;

	w->stall_timer = NULL;
	zygote_kill(w->child);
}

/* There is a core for another while the kernel takes this one apart. */
static void on_result(void *arg, uint32_t events)
{
	struct worker *w = arg;
	int state;

	(void)events;
	while ((state = read_answer(w)) > 0)
		;
	if (state < 0)
		return;
	note_answer(w);
	w->stall_timer = loop_timer_start(w->loop, EXIT_MS, on_exit_timer, w);
	w->event(w->arg);
}

static void on_ended(void *arg, int wait_status)
{
	struct worker *w = arg;

	if (!w->answered) {
		while (read_answer(w) > 0)
			;
		note_answer(w);
	}
	release(w);
	w->ended = true;
	if (w->stalled)
		(void)err_set(&w->error, ERR_TIMEOUT, "the worker made no progress for %lld ms",
			      (long long)worker_stall_ms);
	else if (worker_judge(&w->record, w->record_len, wait_status, &w->result, &w->error) == 0 &&
		 w->answered_early)
		(void)err_set(&w->error, ERR_PROTOCOL, "the worker answered before its input had ended");
	else
		w->good = w->error.kind == ERR_NONE && take_list(w) == 0;
	w->event(w->arg);
}

static void on_room(void *arg, uint32_t events)
{
	struct worker *w = arg;

	w->blocked = false;
	loop_watch_change(w->data_watch, 0);
	/* EPOLLERR: the child has closed its end; the answer follows on the other pipe. */
	if (events & EPOLLERR)
		close_data(w);
	w->event(w->arg);
}

static void on_output(void *arg, uint32_t events)
{
	struct worker *w = arg;

	(void)events;
	loop_watch_change(w->output_watch, 0); /* until there is room for it again */
	w->event(w->arg);
}

static void arm_stall_timer(struct worker *w);

/* Its output waits to be read, and so it may wait too. */
static bool waits_for_us(const struct worker *w)
{
	int unread = 0;

	if (w->pipes.output_fd >= 0)
		(void)ioctl(w->pipes.output_fd, FIONREAD, &unread);
	return unread > 0 || w->output_start < w->output_end;
}

/* Progress is what has left the pipes: when we take its output only now, its wait for that was no stall. */
static void on_stall_timer(void *arg)
{
	struct worker *w = arg;
	int unread = 0;

	w->stall_timer = NULL;
	if (w->pipes.data_fd >= 0)
		(void)ioctl(w->pipes.data_fd, FIONREAD, &unread);
	int64_t moved = w->fed_bytes - unread + w->emitted_bytes;
	bool owes_us = (unread > 0 || w->input_ended) && !waits_for_us(w);
	if (owes_us && moved == w->moved_bytes) {
		w->stalled = true;
		zygote_kill(w->child);
		return;
	}
	w->moved_bytes = moved;
	arm_stall_timer(w);
}

static void arm_stall_timer(struct worker *w)
{
	w->stall_timer = loop_timer_start(w->loop, worker_stall_ms, on_stall_timer, w);
}

static int watch_all(struct worker *w, struct err *err)
{
	if (loop_watch_fd(w->loop, w->pipes.result_fd, EPOLLIN, on_result, w, &w->result_watch, err) < 0 ||
	    loop_watch_fd(w->loop, w->pipes.data_fd, 0, on_room, w, &w->data_watch, err) < 0)
		return -1;
	if (w->pipes.output_fd < 0)
		return 0;
	w->output = xmalloc(OUTPUT_BYTES);
	return loop_watch_fd(w->loop, w->pipes.output_fd, EPOLLIN, on_output, w, &w->output_watch, err);
}

int worker_start(struct zygote *zygote, const struct worker_options *options, worker_event_fn *event, void *arg,
		 struct worker **out, struct err *err)
{
	struct worker *w = xcalloc(1, sizeof *w);

	/* A worker that dies early must be an error value, not the end of this process. */
	(void)signal(SIGPIPE, SIG_IGN);
	w->loop = zygote_loop(zygote);
	w->event = event;
	w->arg = arg;
	w->unpacks = options->unpack;
	w->list_bytes = BUF_INIT(DEFERRED_MAX_BYTES);
	if (worker_spawn(zygote, options, on_ended, w, &w->pipes, &w->child, err) < 0) {
		free(w);
		return -1;
	}
	if (watch_all(w, err) < 0) {
		worker_free(w);
		return -1;
	}
	arm_stall_timer(w);
	*out = w;
	return 0;
}

void worker_free(struct worker *w)
{
	if (!w)
		return;
	release(w);
	close_output(w);
	zygote_child_free(w->child);
	buf_free(&w->list_bytes);
	deferred_free(w->deferred);
	free(w->output);
	free(w);
}

ssize_t worker_feed(struct worker *w, const void *bytes, size_t len, struct err *err)
{
	if (w->ended) {
		if (w->good)
			return err_set(err, ERR_PROTOCOL, "bytes behind the end of the input");
		*err = w->error;
		return -1;
	}
	/* Closed by the child: its answer is on the way. Blocked: event() is. */
	if (w->pipes.data_fd < 0 || w->blocked || !len)
		return 0;

	ssize_t n = write(w->pipes.data_fd, bytes, len);
	if (n < 0 && errno == EPIPE) {
		close_data(w);
		return 0;
	}
	if (n < 0 && errno != EAGAIN && errno != EINTR)
		return err_sys(err, errno, "feeding the worker");
	if (n > 0)
		w->fed_bytes += n;
	if (n < 0 || (size_t)n < len) {
		w->blocked = true;
		loop_watch_change(w->data_watch, EPOLLOUT);
	}
	return n > 0 ? n : 0;
}

void worker_end_input(struct worker *w)
{
	w->input_ended = true;
	close_data(w);
}

bool worker_busy(const struct worker *w)
{
	return !w->answered;
}

int worker_result(struct worker *w, struct worker_result *out, struct err *err)
{
	if (!w->ended)
		return 1;
	if (!w->good) {
		*err = w->error;
		return -1;
	}
	*out = w->result;
	return 0;
}

static void read_output(struct worker *w)
{
	ssize_t n;

	do
		n = read(w->pipes.output_fd, w->output, OUTPUT_BYTES);
	while (n < 0 && errno == EINTR);
	if (n > 0) {
		w->output_end = (size_t)n;
		w->emitted_bytes += n;
	} else if (n < 0 && errno == EAGAIN) {
		loop_watch_change(w->output_watch, EPOLLIN);
	} else {
		close_output(w);
	}
}

void worker_peek(struct worker *w, const void **bytes, size_t *len)
{
	if (w->output_start == w->output_end) {
		w->output_start = w->output_end = 0;
		if (w->pipes.output_fd >= 0)
			read_output(w);
	}
	*bytes = w->output + w->output_start;
	*len = w->output_end - w->output_start;
}

void worker_consume(struct worker *w, size_t len)
{
	w->output_start += len;
}

bool worker_output_ended(const struct worker *w)
{
	return w->pipes.output_fd < 0 && w->output_start == w->output_end;
}

const struct deferred *worker_deferred(const struct worker *w)
{
	return w->deferred;
}
