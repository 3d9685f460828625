#include "engine/containerd_keep.h"

struct containerd_keeper {
	struct containerd *c;
	char *prefix;
	const struct store_image *image;
	struct containerd_writer **writers; /* by layer; NULL: none yet, or none needed */
	bool *has;                          /* containerd has it */
	containerd_event_fn *event;
	void *arg;
};

/* *has: it is there, and will not go while the lease is. */
static int hold(struct containerd *c, const char *digest, bool *has, struct err *err)
{
	if (containerd_content_exists(c, digest, has, err) < 0)
		return -1;
	return *has ? containerd_lease_content(c, digest, err) : 0;
}

int containerd_keep_present(struct containerd *c, const struct store_image *image, size_t n, struct err *err)
{
	bool has;

	for (size_t i = 0; i < n; i++)
		if (hold(c, image->layers[i].digest, &has, err) < 0)
			return -1;
	return 0;
}

int containerd_keep_start(struct containerd *c, const char *prefix, const struct store_image *image, const bool *skip,
			  containerd_event_fn *event, void *arg, struct containerd_keeper **out, struct err *err)
{
	struct containerd_keeper *k = xcalloc(1, sizeof *k);

	*k = (struct containerd_keeper){
		.c = c,
		.prefix = xstrdup(prefix),
		.image = image,
		.writers = xcalloc(image->n_layers + 1, sizeof(struct containerd_writer *)),
		.has = xcalloc(image->n_layers + 1, sizeof(bool)),
		.event = event,
		.arg = arg,
	};
	for (size_t i = 0; i < image->n_layers; i++)
		if (!(skip && skip[i]) && hold(c, image->layers[i].digest, &k->has[i], err) < 0) {
			containerd_keep_free(k);
			return -1;
		}
	*out = k;
	return 0;
}

static int start_writer(struct containerd_keeper *k, size_t i, struct err *err)
{
	const struct store_layer *layer = &k->image->layers[i];
	/* With the layer's number: an image may have the same layer twice. */
	CLEANUP(freep) char *ref = xasprintf("%s-%zu", k->prefix, i);

	return containerd_write_start(k->c, ref, layer->digest, layer->size_bytes, k->event, k->arg, &k->writers[i], err);
}

ssize_t containerd_keep_feed(struct containerd_keeper *k, size_t i, const void *bytes, size_t len, struct err *err)
{
	if (k->has[i] || !len)
		return (ssize_t)len;
	if (!k->writers[i] && start_writer(k, i, err) < 0)
		return -1;
	ssize_t n = containerd_write_feed(k->writers[i], bytes, len, err);
	return n < 0 ? err_wrap(err, "layer %zu of %zu", i + 1, k->image->n_layers) : n;
}

static bool all_ended(void *arg)
{
	const struct containerd_keeper *k = arg;

	for (size_t i = 0; i < k->image->n_layers; i++)
		if (k->writers[i] && !containerd_write_ended(k->writers[i]))
			return false;
	return true;
}

int containerd_keep_finish(struct containerd_keeper *k, struct loop *loop, struct err *err)
{
	if (loop_wait(loop, all_ended, k, -1, err) < 0)
		return -1;
	for (size_t i = 0; i < k->image->n_layers; i++)
		if (k->writers[i] && containerd_write_result(k->writers[i], err) < 0)
			return err_wrap(err, "layer %zu of %zu", i + 1, k->image->n_layers);
	return 0;
}

void containerd_keep_free(struct containerd_keeper *k)
{
	if (!k)
		return;
	for (size_t i = 0; i < k->image->n_layers; i++)
		containerd_write_free(k->writers[i]);
	free(k->writers);
	free(k->has);
	free(k->prefix);
	free(k);
}
