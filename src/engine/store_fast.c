/* The classic store by --fast-load: see load_fifo.h. */
#include "engine/store.h"

#include "base/mem.h"
#include "engine/load_checks.h"
#include "engine/load_fifo.h"
#include "engine/load_present.h"
#include "engine/load_spool.h"

struct store_session {
	struct docker *docker;
	struct loop *loop;
	const struct store_image *image;
	struct load_fifo *fifo;
};

static bool fast_takes_raw(struct docker *d)
{
	(void)d;
	return true;
}

static int fast_begin(struct docker *d, struct loop *loop, const struct store_image *image,
		      const bool *skip, store_event_fn *event, void *arg,
		      struct store_session **out, struct err *err)
{
	struct store_session *s = xcalloc(1, sizeof *s);
	const struct load_fifo_request req = {
		.docker = d,
		.loop = loop,
		.image = image,
		.skip = skip,
		.event = event,
		.arg = arg,
	};

	*s = (struct store_session){ .docker = d, .loop = loop, .image = image };
	if (load_fifo_begin(&req, &s->fifo, err) < 0) {
		free(s);
		return -1;
	}
	*out = s;
	return 0;
}

static ssize_t fast_wants(const struct store_session *s)
{
	return load_fifo_wants(s->fifo);
}

static ssize_t fast_feed(struct store_session *s, const void *bytes, size_t len, struct err *err)
{
	if (load_fifo_at_layer_start(s->fifo) &&
	    load_check_compression(docker_info(s->docker), bytes, len, err) < 0)
		return -1;
	return load_fifo_feed(s->fifo, bytes, len, err);
}

static void fast_verified(struct store_session *s, size_t i)
{
	load_fifo_verified(s->fifo, i);
}

static int fast_commit(struct store_session *s, struct err *err)
{
	const struct load_outcome outcome = { .docker = s->docker,
					      .image = s->image,
					      .layers_known = true };

	if (load_fifo_finish(s->fifo, s->loop, err) < 0)
		return -1;
	return load_check_outcome(&outcome, err);
}

static void fast_end(struct store_session *s)
{
	load_fifo_end(s->fifo, s->loop);
	free(s);
}

static int fast_tidy(struct docker *d, struct err *err)
{
	return store_load.tidy(d, err);
}

static const struct store store_fast = {
	.name = "load",
	.fast = true,
	.fallback = &store_load,
	.where_lacking = &store_load,
	.image_id = load_image_id,
	.takes_raw = fast_takes_raw,
	.present = load_present,
	.begin = fast_begin,
	.wants = fast_wants,
	.feed = fast_feed,
	.verified = fast_verified,
	.commit = fast_commit,
	.end = fast_end,
	.tidy = fast_tidy,
};

const struct store *store_choose_fast(struct docker *d, const struct store *usual, struct err *why)
{
	CLEANUP(closep) int spool = -1;

	err_clear(why);
	if (load_spool_open(d, &spool, why) == 0)
		return &store_fast;
	(void)err_wrap(why, "--fast-load cannot be had");
	return usual;
}
