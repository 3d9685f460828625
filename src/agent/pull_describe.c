/* The image in the store's words: chain IDs, names, documents, and how large layers are when inflated. */
#include "agent/pull_internal.h"

#include "oci/blob_tail.h"

/*
 * Layers whose inflated size is looked up in their last bytes: below it, inflating is not worth a
 * round trip; above, the size (which gzip keeps modulo 4 GiB) may have wrapped.
 */
#define HINT_MIN_BYTES ((int64_t)(1 * MIB))
#define HINT_MAX_BYTES ((int64_t)(1 * GIB))
#define TAR_BLOCK 512

/* Of all that is fetched: up to there a second way to the registry costs more than writing it at once. */
#define KEEP_AT_ONCE_MAX_BYTES ((int64_t)(8 * MIB))

static enum store_compression compression_of(const struct descriptor *d)
{
	static const enum store_compression map[] = {
		[COMPRESSION_NONE] = STORE_PLAIN,
		[COMPRESSION_GZIP] = STORE_GZIP,
		[COMPRESSION_ZSTD] = STORE_ZSTD,
	};

	return map[d->media->compression];
}

static void describe_layers(struct pull_job *j)
{
	const struct manifest *m = &j->image.parsed;
	struct digest chain, below;

	j->layers = xcalloc(m->n_layers, sizeof *j->layers);
	j->skip = xcalloc(m->n_layers, sizeof *j->skip);
	for (size_t i = 0; i < m->n_layers; i++) {
		const struct digest *diff_id = &j->image.image_config.diff_ids[i];
		struct store_layer *l = &j->layers[i];

		chain_id(i ? &below : NULL, diff_id, &chain);
		below = chain;
		memcpy(l->digest, m->layers[i].digest.text, DIGEST_SIZE);
		memcpy(l->diff_id, diff_id->text, DIGEST_SIZE);
		memcpy(l->chain_id, chain.text, DIGEST_SIZE);
		l->size_bytes = m->layers[i].size;
		l->compression = compression_of(&m->layers[i]);
		l->media_type = m->layers[i].media->name;
	}
}

static struct store_document store_document(const struct document *d)
{
	struct store_document out = {
		.media_type = d->descriptor.media->name,
		.bytes = d->bytes,
		.len = d->len,
	};

	memcpy(out.digest, d->descriptor.digest.text, DIGEST_SIZE);
	return out;
}

void pull_describe(struct pull_job *j)
{
	describe_layers(j);
	if (j->ref->tag) {
		/* The name without the digest: it is what `docker images` lists. */
		struct reference tagged = *j->ref;
		tagged.digest = NULL;
		j->name = reference_familiar(&tagged);
		j->full_name = reference_str(&tagged);
	} else {
		j->full_name = reference_str(j->ref);
	}
	j->store_image = (struct store_image){
		.name = j->name,
		.full_name = j->full_name,
		.top = store_document(&j->image.top),
		.manifest = store_document(&j->image.manifest),
		.config = store_document(&j->image.config),
		.layers = j->layers,
		.n_layers = j->image.parsed.n_layers,
	};
}

void pull_choose_keeping(struct pull_job *j)
{
	const char *when = opt_str(j->context->options, OPT_BACKFILL);
	int64_t sum = 0;

	for (size_t i = 0; i < j->image.parsed.n_layers; i++)
		if (!j->skip[i])
			sum += j->layers[i].size_bytes;
	j->store_image.keep_blobs = streq(when, "tee") ||
				    (streq(when, "auto") && (j->whole || sum <= KEEP_AT_ONCE_MAX_BYTES));
}

/* A gzip stream of one member ends with its length; what cannot be a tar's is another member's. */
static int64_t raw_size(const struct blob_tail *tail, int64_t compressed)
{
	const uint8_t *b = tail->bytes + 4;
	int64_t size = (int64_t)b[0] | (int64_t)b[1] << 8 | (int64_t)b[2] << 16 | (int64_t)b[3] << 24;

	return tail->known && size % TAR_BLOCK == 0 && size > compressed ? size : 0;
}

/* Where the store takes inflated layers: asks for their sizes, so that the engine need not inflate again. */
int pull_hint_sizes(struct pull_job *j, struct err *err)
{
	size_t n = j->image.parsed.n_layers;
	CLEANUP(freep) bool *wanted = xcalloc(n, sizeof *wanted);
	CLEANUP(freep) struct blob_tail *tails = xcalloc(n, sizeof *tails);

	for (size_t i = 0; i < n; i++) {
		j->layers[i].raw_bytes = 0;
		wanted[i] = !j->no_hints && !j->skip[i] && j->layers[i].compression == STORE_GZIP &&
			    j->layers[i].size_bytes >= HINT_MIN_BYTES && j->layers[i].size_bytes <= HINT_MAX_BYTES;
	}
	if (j->no_hints || !j->store->takes_raw(j->context->docker))
		return 0;
	if (blob_tails(j->registry, j->context->loop, j->image.parsed.layers, wanted, n, tails, err) < 0)
		return -1;
	for (size_t i = 0; i < n; i++)
		j->layers[i].raw_bytes = raw_size(&tails[i], j->layers[i].size_bytes);
	return 0;
}

void pull_show_layers(const struct pull_job *j)
{
	size_t n = j->image.parsed.n_layers;
	CLEANUP(freep) const char **digests = xcalloc(n, sizeof *digests);
	CLEANUP(freep) int64_t *sizes = xcalloc(n, sizeof *sizes);

	for (size_t i = 0; i < n; i++) {
		digests[i] = j->layers[i].digest;
		sizes[i] = j->layers[i].size_bytes;
	}
	progress_begin(j->progress, j->ref->repository, n, digests, sizes);
	for (size_t i = 0; i < n; i++)
		if (j->skip[i])
			progress_layer(j->progress, i, LAYER_PRESENT, 0);
}

void pull_job_free(struct pull_job *j)
{
	if (j->registry)
		registry_free(j->registry);
	image_free(&j->image);
	free(j->layers);
	free(j->skip);
	free(j->name);
	free(j->full_name);
	login_clear(&j->login);
	free(j);
}

struct pull_daemon pull_to_daemon(const struct pull_job *j, const char *image_id)
{
	return (struct pull_daemon){
		.context = j->context,
		.ref = j->ref,
		.login = &j->login,
		.image = &j->store_image,
		.image_id = image_id,
	};
}
