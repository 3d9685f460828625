/*
 * usage: driver_layer BLOB DIRECTORY [bottom]
 * Unpacks a layer into an empty directory through a worker, as a pull into the containerd store does, and says how that
 * went in one line of JSON: diff_id and size, the directories that the layer implies, or the error.
 */
#include <fcntl.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/json.h"
#include "base/mem.h"
#include "unpack/worker.h"

#define PIECE_BYTES (1 * MIB)

struct driver {
	struct zygote *zygote;
	struct worker *worker;
	int fd;
	char *piece;
	size_t len, at;
	bool ended;
	int state;
	struct worker_result result;
	struct err err;
};

static int read_piece(struct driver *d)
{
	ssize_t n = read(d->fd, d->piece, PIECE_BYTES);

	if (n < 0)
		return err_set(&d->err, ERR_FAILED, "cannot read the layer");
	d->len = (size_t)n;
	d->at = 0;
	if (!n) {
		worker_end_input(d->worker);
		d->ended = true;
	}
	return 0;
}

static void on_event(void *arg)
{
	struct driver *d = arg;

	while (d->state == 1 && !d->ended) {
		if (d->at == d->len && read_piece(d) < 0) {
			d->state = -1;
			return;
		}
		if (d->ended)
			break;
		ssize_t n = worker_feed(d->worker, d->piece + d->at, d->len - d->at, &d->err);
		if (n <= 0)
			break;
		d->at += (size_t)n;
	}
	d->state = worker_result(d->worker, &d->result, &d->err);
}

static bool is_over(void *arg)
{
	return ((struct driver *)arg)->state != 1;
}

static int detect(struct driver *d, struct worker_options *options)
{
	char head[INFLATE_DETECT_BYTES];
	ssize_t n = pread(d->fd, head, sizeof head, 0);

	if (n < 0)
		return err_set(&d->err, ERR_FAILED, "cannot read the layer");
	options->format = inflate_detect(head, (size_t)n);
	return 0;
}

static int unpack(struct driver *d, const char *directory, bool bottom)
{
	CLEANUP(closep) int root_fd = open(directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
	struct worker_options options = { .unpack = true, .bottom = bottom, .root_fd = root_fd };
	struct loop *loop;

	if (root_fd < 0 || d->fd < 0)
		return err_set(&d->err, ERR_FAILED, "cannot open the layer or the directory");
	if (detect(d, &options) < 0 || loop_new(&loop, &d->err) < 0 ||
	    zygote_start(loop, &d->zygote, &d->err) < 0 ||
	    worker_start(d->zygote, &options, on_event, d, &d->worker, &d->err) < 0)
		return -1;
	d->state = 1;
	on_event(d);
	int result = loop_wait(loop, is_over, d, -1, &d->err);
	if (result == 0)
		result = d->state;
	if (result == 0)
		result = deferred_apply(worker_deferred(d->worker), root_fd, &d->err);
	return result;
}

static void list_implied(struct json *answer, const struct deferred *list)
{
	struct json *implied = json_ensure_array(answer, "implied");
	struct deferred_item item;
	size_t at = 0;

	while (deferred_next(list, &at, &item))
		if (item.kind == DEFERRED_IMPLICIT_DIR && !item.attributes_only)
			json_add_str(implied, item.path);
	at = 0;
	implied = json_ensure_array(answer, "implied_attributes");
	while (deferred_next(list, &at, &item))
		if (item.kind == DEFERRED_IMPLICIT_DIR)
			json_add_str(implied, item.path);
}

int main(int argc, char **argv)
{
	struct driver d = { 0 };
	CLEANUP(json_freep) struct json *answer = json_new_object();
	char hex[SHA256_HEX_SIZE];

	if (streq(argv[0], ZYGOTE_ARGV0))
		return worker_main(argc, argv);
	if (argc < 3)
		return 2;
	d.fd = open(argv[1], O_RDONLY | O_CLOEXEC);
	d.piece = xmalloc(PIECE_BYTES);
	int64_t began = clock_mono_ms();
	int result = unpack(&d, argv[2], argc > 3 && streq(argv[3], "bottom"));
	json_set_int(answer, "took_ms", clock_mono_ms() - began);
	if (result == 0) {
		hex_encode(d.result.diff_id, sizeof d.result.diff_id, hex);
		json_set_str(answer, "diff_id", hex);
		json_set_int(answer, "size", d.result.size_bytes);
		list_implied(answer, worker_deferred(d.worker));
	} else {
		json_set_str(answer, "kind", err_kind_name(d.err.kind));
		json_set_str(answer, "error", d.err.msg);
	}
	CLEANUP(freep) char *text = json_print(answer, false);
	(void)puts(text);
	worker_free(d.worker);
	zygote_free(d.zygote);
	free(d.piece);
	return result < 0;
}
