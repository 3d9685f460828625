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

/* has[i]: the blob of layer i is there, and will not go while the lease is. */
static int hold(struct containerd *c, const struct store_image *image, size_t n, const bool *skip, bool *has,
		struct err *err)
{
	CLEANUP(freep) const char **digests = xcalloc(n + 1, sizeof *digests);
	CLEANUP(freep) size_t *layers = xcalloc(n + 1, sizeof *layers);
	CLEANUP(freep) bool *exist = xcalloc(n + 1, sizeof *exist);
	size_t asked = 0, held = 0;

	for (size_t i = 0; i < n; i++)
		if (!(skip && skip[i])) {
			layers[asked] = i;
			digests[asked++] = image->layers[i].digest;
		}
	if (containerd_content_exist(c, digests, asked, exist, err) < 0)
		return -1;
	for (size_t i = 0; i < asked; i++)
		if (exist[i]) {
			has[layers[i]] = true;
			digests[held++] = digests[i];
		}
	return containerd_lease_contents(c, digests, held, err);
}

int containerd_keep_present(struct containerd *c, const struct store_image *image, size_t n, struct err *err)
{
	CLEANUP(freep) bool *has = xcalloc(n + 1, sizeof *has);

	return hold(c, image, n, NULL, has, err);
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
	if (hold(c, image, image->n_layers, skip, k->has, err) < 0) {
		containerd_keep_free(k);
		return -1;
	}
	*out = k;
	return 0;
}

static struct containerd_writer *writer_of(struct containerd_keeper *k, size_t i)
{
	const struct store_layer *layer = &k->image->layers[i];
	/* With the layer's number: an image may have the same layer twice. */
	CLEANUP(freep) char *ref = xasprintf("%s-%zu", k->prefix, i);

	if (!k->writers[i])
		k->writers[i] = containerd_write_new(k->c, ref, layer->digest, layer->size_bytes, k->event, k->arg);
	return k->writers[i];
}

ssize_t containerd_keep_feed(struct containerd_keeper *k, size_t i, const void *bytes, size_t len, struct err *err)
{
	if (k->has[i] || !len)
		return (ssize_t)len;
	ssize_t n = containerd_write_feed(writer_of(k, i), bytes, len, err);
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
