#include "engine/load_fifo.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "engine/load_archive.h"
#include "engine/load_checks.h"
#include "engine/load_spool.h"

#define SEEN_MS 5000      /* for dockerd to make the FIFOs: on an idle machine 0.03 s */
#define TICK_MS 2         /* until a waiting dockerd, or room in a full pipe, is seen */
#define PATIENCE_MS 10000 /* to let go of a load that is not to be */
#define PIPE_BYTES ((int)(1 * MIB)) /* fs.pipe-max-size of an unchanged system */

/*
 * Of each layer, held back until it is verified. More than what ends a tar, so that one that is cut
 * there ends, for dockerd too, in the midst of a file, mostly.
 */
#define TAIL_BYTES (64 * KIB)

struct load_fifo {
	struct loop *loop;
	const struct store_image *image;
	store_event_fn *event;
	void *arg;
	struct load_upload *upload;
	char *prefix; /* of the names of the FIFOs */
	int dir;      /* that they are in */
	bool *skip;   /* left out */
	bool *taken;  /* all of its bytes */
	bool *verified;
	size_t at;     /* the layer that comes next; n: all are in */
	int64_t left;  /* bytes of it to come */
	size_t next;   /* dockerd has opened none from there on */
	size_t open;   /* the layer that it reads */
	int fd;        /* to there; -1: none */
	uint8_t *tail; /* of that layer */
	size_t tail_len, tail_sent;
	bool is_full;  /* the pipe was */
	bool unread;   /* dockerd has closed its end */
	bool released; /* dockerd has the archive whole */
	bool committing, ended;
	struct loop_timer *tick;
	bool waiting; /* since moved_ms, for dockerd */
	int64_t moved_ms;
	struct err error; /* ERR_NONE: ended well */
};

static int64_t layer_bytes(const struct load_fifo *f, size_t i)
{
	const struct store_layer *l = &f->image->layers[i];

	return l->raw_bytes > 0 ? l->raw_bytes : l->size_bytes;
}

static void enter_layer(struct load_fifo *f)
{
	for (; f->at < f->image->n_layers; f->at++) {
		if (f->skip[f->at])
			continue;
		f->left = layer_bytes(f, f->at);
		if (f->left)
			return;
		f->taken[f->at] = true;
	}
}

/* Of those that have a FIFO; -1: none has. */
static ssize_t last_layer(const struct load_fifo *f)
{
	ssize_t i = (ssize_t)f->image->n_layers - 1;

	while (i >= 0 && f->skip[i])
		i--;
	return i;
}

static void moved(struct load_fifo *f)
{
	f->moved_ms = clock_mono_ms();
}

/*
 * Docker's no to this way in is not to say that it would not take the image another way. Returns
 * -1.
 */
static int explain(struct err *err)
{
	(void)load_explain(err);
	if (err->kind == ERR_NETWORK || err->kind == ERR_CANCELLED || docker_disk_is_full(err))
		return -1; /* nor would it then */
	err->kind = ERR_CONFIG;
	return err_wrap(err,
			"--fast-load does not work here, layers are loaded the documented way");
}

/* Bytes to the layer that dockerd reads; how many it has taken. */
static size_t write_some(struct load_fifo *f, const void *bytes, size_t len)
{
	ssize_t n = write(f->fd, bytes, len);

	if (n < 0 && errno != EAGAIN && errno != EINTR)
		f->unread = true; /* dockerd is about to say why */
	f->is_full = n < (ssize_t)len;
	if (n <= 0)
		return 0;
	moved(f);
	return (size_t)n;
}

static void close_layer(struct load_fifo *f)
{
	if (f->fd >= 0)
		(void)close(f->fd);
	f->fd = -1;
	f->tail_len = f->tail_sent = 0;
	f->is_full = f->unread = false;
	moved(f);
}

/*
 * The end of the layer that dockerd reads; of the last only when the word has come from whoever
 * knows of all.
 */
static void end_layer(struct load_fifo *f)
{
	if (f->fd < 0 || f->unread || !f->taken[f->open] || !f->verified[f->open] ||
	    ((ssize_t)f->open == last_layer(f) && !f->committing))
		return;
	if (f->tail_sent < f->tail_len)
		f->tail_sent += write_some(f, f->tail + f->tail_sent, f->tail_len - f->tail_sent);
	if (f->tail_sent == f->tail_len)
		close_layer(f);
}

/* Layers that dockerd passes over are there already: somebody else has brought them meanwhile. */
static void look_for_reader(struct load_fifo *f)
{
	if (f->fd >= 0 && !f->unread)
		return;
	for (size_t i = f->next; i < f->image->n_layers; i++) {
		CLEANUP(freep) char *name = load_archive_fifo(f->prefix, i);
		int fd = f->skip[i] ? -1 : load_spool_writer(f->dir, name);
		if (fd < 0)
			continue;
		close_layer(f);
		(void)fcntl(fd, F_SETPIPE_SZ, PIPE_BYTES); /* a smaller one is only slower */
		f->fd = fd;
		f->open = i;
		f->next = i + 1;
		return;
	}
}

static bool waits(const struct load_fifo *f)
{
	return f->fd < 0 || f->is_full || f->unread;
}

static void look_at_clock(struct load_fifo *f)
{
	int64_t heard_ms = load_upload_heard_ms(f->upload), now_ms = clock_mono_ms();

	if (heard_ms > f->moved_ms)
		f->moved_ms = heard_ms;
	if (now_ms - f->moved_ms < load_classic_idle_ms)
		return;
	(void)err_set(&f->error, ERR_TIMEOUT, "it has taken nothing for %lld ms",
		      (long long)(now_ms - f->moved_ms));
	f->ended = true;
}

static void on_tick(void *arg);

static void arm(struct load_fifo *f)
{
	if (f->tick || f->ended || !f->released)
		return;
	if (!waits(f)) {
		f->waiting = false;
		return;
	}
	if (!f->waiting)
		moved(f);
	f->waiting = true;
	f->tick = loop_timer_start(f->loop, TICK_MS, on_tick, f);
}

/*
 * There are no events of a FIFO that is waited for; and of a full one, one for each page that is
 * read.
 */
static void on_tick(void *arg)
{
	struct load_fifo *f = arg;

	f->tick = NULL;
	if (f->ended)
		return;
	f->is_full = false;
	look_for_reader(f);
	end_layer(f);
	look_at_clock(f);
	f->event(f->arg);
	arm(f);
}

static void on_upload(void *arg)
{
	struct load_fifo *f = arg;

	if (!f->upload || f->ended || !load_upload_ended(f->upload, &f->error))
		return;
	f->ended = true;
	f->event(f->arg);
}

static int start(struct load_fifo *f, const struct load_fifo_request *req, struct err *err)
{
	const struct load_upload_request upload = {
		.docker = req->docker,
		.image = f->image,
		.skip = f->skip,
		.fifos = f->prefix,
		.event = on_upload,
		.arg = f,
	};

	return load_upload_start(&upload, &f->upload, err);
}

/*
 * That all of them are there, in a directory seen from here, is what proves that Docker is on this
 * machine, and does as it used to.
 */
static int wait_until_seen(struct load_fifo *f, int spool, struct err *err)
{
	int64_t deadline_ms = clock_mono_ms() + SEEN_MS;
	CLEANUP(freep) char *name = load_archive_fifo(f->prefix, (size_t)last_layer(f));

	while (!f->ended && (f->dir = load_spool_find(spool, name)) < 0) {
		if (clock_mono_ms() > deadline_ms)
			return err_set(err, ERR_CONFIG,
				       "Docker makes no FIFOs where they could be seen from here");
		if (loop_sleep(f->loop, TICK_MS, err) < 0)
			return -1;
	}
	if (!f->ended)
		return 0;
	*err = f->error;
	return f->error.kind != ERR_NONE
		       ? -1
		       : err_set(err, ERR_CONFIG, "Docker did not wait for the layers");
}

static int begin(struct load_fifo *f, const struct load_fifo_request *req, struct err *err)
{
	CLEANUP(closep) int spool = -1;

	if (load_spool_open(req->docker, &spool, err) < 0 ||
	    load_spool_prefix(&f->prefix, err) < 0 || start(f, req, err) < 0)
		return -1;
	if (last_layer(f) >= 0 && wait_until_seen(f, spool, err) < 0)
		return -1;
	f->released = true;
	return load_upload_finish(f->upload, err);
}

int load_fifo_begin(const struct load_fifo_request *req, struct load_fifo **out, struct err *err)
{
	struct load_fifo *f = xcalloc(1, sizeof *f);
	size_t n = req->image->n_layers;

	*f = (struct load_fifo){ .loop = req->loop,
				 .image = req->image,
				 .event = req->event,
				 .arg = req->arg,
				 .dir = -1,
				 .fd = -1 };
	f->skip = xcalloc(n + 1, sizeof *f->skip);
	f->taken = xcalloc(n + 1, sizeof *f->taken);
	f->verified = xcalloc(n + 1, sizeof *f->verified);
	f->tail = xmalloc(TAIL_BYTES);
	for (size_t i = 0; i < n; i++)
		f->skip[i] = req->skip && req->skip[i];
	enter_layer(f);
	if (begin(f, req, err) < 0) {
		load_fifo_end(f, req->loop);
		return explain(err);
	}
	arm(f);
	*out = f;
	return 0;
}

ssize_t load_fifo_wants(const struct load_fifo *f)
{
	return f->at < f->image->n_layers ? (ssize_t)f->at : -1;
}

bool load_fifo_at_layer_start(const struct load_fifo *f)
{
	return f->at < f->image->n_layers && f->left == layer_bytes(f, f->at);
}

/* What the layer that dockerd reads takes. */
static size_t take(struct load_fifo *f, const void *bytes, size_t len)
{
	if (f->unread || f->is_full)
		return 0; /* until the next tick: to ask at each event of others costs more */
	if (f->left > (int64_t)TAIL_BYTES) {
		int64_t now = f->left - (int64_t)TAIL_BYTES;
		return write_some(f, bytes, (int64_t)len < now ? len : (size_t)now);
	}
	memcpy(f->tail + f->tail_len, bytes, len);
	f->tail_len += len;
	return len;
}

ssize_t load_fifo_feed(struct load_fifo *f, const void *bytes, size_t len, struct err *err)
{
	size_t n = 0;

	if (f->error.kind != ERR_NONE) {
		*err = f->error;
		return explain(err);
	}
	if ((int64_t)len > f->left)
		len = (size_t)f->left;
	if (f->fd >= 0 && f->open == f->at)
		n = take(f, bytes, len);
	else if (f->at < f->next || f->ended)
		n = len; /* dockerd has no use for it */
	f->left -= (int64_t)n;
	if (!f->left) {
		f->taken[f->at++] = true;
		enter_layer(f);
		end_layer(f);
	}
	arm(f);
	return (ssize_t)n;
}

void load_fifo_verified(struct load_fifo *f, size_t i)
{
	f->verified[i] = true;
	end_layer(f);
	arm(f);
}

static bool has_ended(void *arg)
{
	return ((const struct load_fifo *)arg)->ended;
}

int load_fifo_finish(struct load_fifo *f, struct loop *loop, struct err *err)
{
	f->committing = true;
	end_layer(f);
	arm(f);
	if (loop_wait(loop, has_ended, f, -1, err) < 0)
		return -1;
	if (f->error.kind == ERR_NONE)
		return 0;
	*err = f->error;
	return explain(err);
}

void load_fifo_end(struct load_fifo *f, struct loop *loop)
{
	struct err ignored;
	bool answered = f->upload && load_upload_ended(f->upload, &ignored);

	loop_timer_cancel(f->tick);
	close_layer(f);
	load_upload_free(f->upload);
	if (f->released && !answered)
		load_spool_release(f->dir, f->prefix, loop, PATIENCE_MS);
	closep(&f->dir);
	free(f->prefix);
	free(f->skip);
	free(f->taken);
	free(f->verified);
	free(f->tail);
	free(f);
}
