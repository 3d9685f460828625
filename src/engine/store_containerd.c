/*
 * Images by containerd's snapshots: the layers' files are put where Docker's containerd store would
 * unpack them, and only the documents go through Docker. See docs/design.md.
 */
#include "engine/store.h"

#include "base/clock.h"
#include "engine/containerd_keep.h"
#include "engine/docker_internal.h"
#include "engine/grpc.h"
#include "engine/holder.h"
#include "engine/load_documents.h"
#include "engine/rebase.h"
#include "engine/staging.h"

#define LEASE_PREFIX "berth-"
#define HOLDER_LABEL "io.berth.holder"
/* A lease without it lives for ever; none of ours is needed for so long. */
#define EXPIRE_LABEL "containerd.io/gc.expire"
#define LEASE_LIFE_MS ((int64_t)24 * 60 * 60 * 1000)
#define SNAPSHOT_LABEL "containerd.io/gc.ref.snapshot." /* on an image's config: what it needs unpacked */

struct store_session {
	struct docker *docker;
	struct loop *loop;
	struct containerd *c;
	const struct store_image *image;
	struct containerd_keeper *keeper; /* or NULL: the blobs are left out */
	char *staging_key; /* of the one staging snapshot; of what rebase has, the prefix */
	struct staging *staging; /* or: */
	struct rebase *rebase;
	char *active; /* the snapshot that is being made, or NULL */
	struct grpc_call *preparing; /* that one, or NULL: it is, or is not yet asked for */
};

static void containerd_image_id(struct docker *d, const struct store_image *image, char out[80])
{
	(void)d;
	(void)snprintf(out, 80, "%s", image->top.digest);
}

static bool containerd_takes_raw(struct docker *d)
{
	(void)d;
	return false;
}

static int make_lease(struct containerd *c, struct err *err)
{
	char holder[HOLDER_SIZE], expire[CLOCK_RFC3339_SIZE];
	CLEANUP(freep)
	char *id = xasprintf(LEASE_PREFIX "%08x%08x", clock_jitter(UINT32_MAX), clock_jitter(UINT32_MAX));
	const struct containerd_label labels[] = { { EXPIRE_LABEL, expire }, { HOLDER_LABEL, holder } };

	clock_rfc3339(clock_wall_ms() + LEASE_LIFE_MS, expire);
	if (holder_self(holder, err) < 0 || containerd_lease_create(c, id, labels, ARRAY_LEN(labels), err) < 0)
		return -1;
	containerd_use_lease(c, id);
	return 0;
}

/* What was made before a power cut may lack what was not synced: it must be gone before anybody looks what is there. */
static int drop_unsynced(struct containerd *c, const struct containerd_leases *leases, struct err *err)
{
	for (size_t i = 0; i < leases->n; i++)
		if (holder_judge(leases->v[i].holder) == HOLDER_OTHER_BOOT &&
		    containerd_lease_delete(c, leases->v[i].id, true, CONTAINERD_LONG_TIMEOUT_MS, err) < 0)
			return -1;
	return 0;
}

/* Those of dead processes, after what was good of theirs has come under ours. */
static int drop_orphans(struct containerd *c, const struct containerd_leases *leases, struct err *err)
{
	for (size_t i = 0; i < leases->n; i++)
		if (holder_judge(leases->v[i].holder) == HOLDER_GONE &&
		    containerd_lease_delete(c, leases->v[i].id, false, CONTAINERD_TIMEOUT_MS, err) < 0)
			return -1;
	return 0;
}

static bool has_lease(const struct containerd *c, const struct containerd_leases *leases)
{
	for (size_t i = 0; i < leases->n; i++)
		if (streq(leases->v[i].id, containerd_lease(c)))
			return true;
	return false;
}

#define PROBES 8 /* asked about at once */

/* The first and the last of `left` layers from low on, and as many between: layer of the ith probe. */
static size_t probe_at(size_t low, size_t left, size_t probes, size_t i)
{
	return low + (probes > 1 ? i * (left - 1) / (probes - 1) : 0);
}

/* A snapshot keeps those below it, so the ones that are there are the first *n. */
static int count_present(struct containerd *c, const struct store_image *image, size_t *n, struct err *err)
{
	size_t low = 0, high = image->n_layers;

	/*
	 * [0, low) are there, from high on they are not. All of a usual image at once, all or none of a long one, too.
	 */
	while (low < high) {
		const char *names[PROBES];
		bool exist[PROBES];
		size_t left = high - low, probes = left < PROBES ? left : PROBES, base = low;
		for (size_t i = 0; i < probes; i++)
			names[i] = image->layers[probe_at(base, left, probes, i)].chain_id;
		if (containerd_exist(c, names, probes, exist, err) < 0)
			return -1;
		for (size_t i = 0; i < probes && exist[i]; i++)
			low = probe_at(base, left, probes, i) + 1;
		for (size_t i = probes; i > 0 && !exist[i - 1]; i--)
			high = probe_at(base, left, probes, i - 1);
	}
	*n = low;
	return 0;
}

/* Capabilities that turn out to be missing, before anything was begun: another store may serve. Returns -1. */
static int incapable(struct err *err)
{
	if (err->kind == ERR_DENIED)
		err->kind = ERR_CONFIG;
	return err->kind == ERR_CONFIG ? err_wrap(err, "layers are loaded through Docker, which is slower") : -1;
}

static int look(struct containerd *c, const struct containerd_leases *leases, const struct store_image *image,
		size_t *n, struct err *err)
{
	if (drop_unsynced(c, leases, err) < 0 || (!has_lease(c, leases) && make_lease(c, err) < 0) ||
	    count_present(c, image, n, err) < 0)
		return -1;
	if (*n && containerd_lease_snapshot(c, image->layers[*n - 1].chain_id, err) < 0)
		return -1;
	if (leases->n && image->keep_blobs && containerd_keep_present(c, image, *n, err) < 0)
		return -1;
	return drop_orphans(c, leases, err);
}

static int containerd_present(struct docker *d, const struct store_image *image, bool *present, struct err *err)
{
	CLEANUP(containerd_leases_free) struct containerd_leases leases = { 0 };
	size_t n;

	if (containerd_lease_list(d->containerd, LEASE_PREFIX, HOLDER_LABEL, &leases, err) < 0 ||
	    look(d->containerd, &leases, image, &n, err) < 0)
		return incapable(err);
	for (size_t i = 0; i < image->n_layers; i++)
		present[i] = i < n;
	return 0;
}

static int containerd_tidy(struct docker *d, struct err *err)
{
	CLEANUP(containerd_leases_free) struct containerd_leases leases = { 0 };

	if (containerd_lease_list(d->containerd, LEASE_PREFIX, HOLDER_LABEL, &leases, err) == 0 &&
	    drop_unsynced(d->containerd, &leases, err) == 0 && drop_orphans(d->containerd, &leases, err) == 0)
		return 0;
	if (err->kind != ERR_CONFIG && err->kind != ERR_DENIED)
		return -1;
	err_clear(err); /* who may not have leases has left none */
	return 0;
}

/*
 * Does containerd see the directories that we made? Else we are in another mount namespace, and wrote somewhere else.
 */
static int check_seen(struct store_session *s, struct err *err)
{
	int64_t inodes;

	if (containerd_inodes(s->c, s->staging_key, &inodes, err) < 0)
		return -1;
	if (inodes != (int64_t)staging_inodes(s->staging))
		return err_set(err, ERR_CONFIG, "containerd's directories are not the ones seen from here");
	return 0;
}

static int begin_staging(struct store_session *s, const bool *skip, struct err *err)
{
	CLEANUP(containerd_mount_clear) struct containerd_mount mount = { 0 };

	if (containerd_prepare(s->c, s->staging_key, NULL, &mount, err) < 0 ||
	    staging_open(mount.upper, skip, s->image->n_layers, &s->staging, err) < 0)
		return -1;
	return check_seen(s, err);
}

/* What is not removed now goes with the lease. */
static void containerd_end(struct store_session *s)
{
	struct err ignored;

	grpc_cancel(s->preparing);
	if (s->active && containerd_remove(s->c, s->active, &ignored) < 0)
		err_clear(&ignored);
	if (s->staging && containerd_remove(s->c, s->staging_key, &ignored) < 0)
		err_clear(&ignored);
	rebase_end(s->rebase);
	containerd_keep_free(s->keeper);
	staging_close(s->staging);
	free(s->staging_key);
	free(s->active);
	free(s);
}

/* The layers that are there are the lowest. */
static size_t count_skipped(const struct store_image *image, const bool *skip)
{
	size_t n = 0;

	while (n < image->n_layers && skip && skip[n])
		n++;
	return n;
}

static int begin_layers(struct store_session *s, const bool *skip, store_event_fn *event, void *arg, struct err *err)
{
	size_t first = count_skipped(s->image, skip);

	if (!containerd_lease(s->c) && make_lease(s->c, err) < 0)
		return -1;
	s->staging_key = xasprintf("%s-%08x", containerd_lease(s->c), clock_jitter(UINT32_MAX));
	if (containerd_rebases(s->c) && first < s->image->n_layers)
		return rebase_begin(s->c, s->staging_key, s->image, first, event, arg, &s->rebase, err);
	return begin_staging(s, skip, err);
}

static int containerd_begin(struct docker *d, struct loop *loop, const struct store_image *image, const bool *skip,
			    store_event_fn *event, void *arg, struct store_session **out, struct err *err)
{
	struct store_session *s = xcalloc(1, sizeof *s);

	*s = (struct store_session){ .docker = d, .loop = loop, .c = d->containerd, .image = image };
	if (begin_layers(s, skip, event, arg, err) < 0 ||
	    (image->keep_blobs &&
	     containerd_keep_start(s->c, s->staging_key, image, skip, event, arg, &s->keeper, err) < 0)) {
		containerd_end(s);
		return incapable(err);
	}
	*out = s;
	return 0;
}

static ssize_t containerd_keep(struct store_session *s, size_t i, const void *bytes, size_t len, struct err *err)
{
	return containerd_keep_feed(s->keeper, i, bytes, len, err);
}

static int containerd_staging(const struct store_session *s, size_t i, int *fd, struct err *err)
{
	if (s->rebase)
		return rebase_staging(s->rebase, i, fd, err);
	*fd = staging_layer(s->staging, i);
	return 1;
}

static int ask_layer(struct store_session *s, size_t i, struct err *err)
{
	s->active = xasprintf("%s-%zu", s->staging_key, i);
	return containerd_prepare_ask(s->c, s->active, i ? s->image->layers[i - 1].chain_id : NULL, NULL, NULL,
				      &s->preparing, err);
}

static int hear_layer(struct store_session *s, struct containerd_mount *mount, struct err *err)
{
	struct grpc_call *call = s->preparing;

	s->preparing = NULL;
	return containerd_prepare_hear(call, mount, err);
}

/* Meanwhile it is still being fetched or unpacked. */
static int ask_next(struct store_session *s, size_t i, struct err *err)
{
	return i < s->image->n_layers ? ask_layer(s, i, err) : 0;
}

static int move_layer(struct store_session *s, size_t i, const struct store_inherit *inherit, size_t n_inherit,
		      struct err *err)
{
	CLEANUP(containerd_mount_clear) struct containerd_mount mount = { 0 };

	if ((!s->preparing && ask_layer(s, i, err) < 0) || hear_layer(s, &mount, err) < 0 ||
	    staging_move(s->staging, i, inherit, n_inherit, &mount.lower, mount.upper, err) < 0 ||
	    containerd_commit(s->c, s->active, s->image->layers[i].chain_id, NULL, err) < 0)
		return -1;
	free(s->active);
	s->active = NULL;
	return ask_next(s, i + 1, err);
}

static int containerd_layer(struct store_session *s, size_t i, const struct store_inherit *inherit, size_t n_inherit,
			    struct err *err)
{
	int result = s->rebase ? rebase_layer(s->rebase, i, inherit, n_inherit, err)
			       : move_layer(s, i, inherit, n_inherit, err);

	return result < 0 ? err_wrap(err, "layer %zu of %zu", i + 1, s->image->n_layers) : 0;
}

/* One that is empty by now is no more needed. */
static int drop_staging(struct store_session *s, struct err *err)
{
	if (s->staging && containerd_remove(s->c, s->staging_key, err) < 0)
		return -1;
	staging_close(s->staging);
	s->staging = NULL;
	return 0;
}

static int sync_layers(const struct store_session *s, struct err *err)
{
	return s->rebase ? rebase_sync(s->rebase, s->loop, err) : staging_sync(s->staging, s->loop, err);
}

/* Before the image exists: nothing but this label keeps the snapshots once the lease is gone. */
static int label_config(struct store_session *s, struct err *err)
{
	const struct store_image *image = s->image;
	CLEANUP(freep) char *name = xasprintf(SNAPSHOT_LABEL "%s", docker_info(s->docker)->driver);

	if (!image->n_layers)
		return 0;
	const struct containerd_label label = { name, image->layers[image->n_layers - 1].chain_id };
	return containerd_content_put(s->c, image->config.digest, image->config.bytes, image->config.len, &label, err);
}

static int containerd_commit_image(struct store_session *s, struct err *err)
{
	if ((s->keeper && containerd_keep_finish(s->keeper, s->loop, err) < 0) ||
	    sync_layers(s, err) < 0 || label_config(s, err) < 0 ||
	    load_documents(s->docker, s->loop, s->image, err) < 0 || drop_staging(s, err) < 0 ||
	    containerd_lease_delete(s->c, containerd_lease(s->c), false, CONTAINERD_TIMEOUT_MS, err) < 0)
		return -1;
	containerd_use_lease(s->c, NULL);
	return 0;
}

static int containerd_lacks(struct docker *d, const struct store_image *image, bool *lacks, struct err *err)
{
	CLEANUP(freep) const char **digests = xcalloc(image->n_layers + 1, sizeof *digests);

	for (size_t i = 0; i < image->n_layers; i++)
		digests[i] = image->layers[i].digest;
	if (containerd_content_exist(d->containerd, digests, image->n_layers, lacks, err) < 0)
		return -1;
	for (size_t i = 0; i < image->n_layers; i++)
		lacks[i] = !lacks[i];
	return 0;
}

const struct store store_containerd = {
	.name = "containerd",
	.parallel = true,
	.fallback = &store_load,
	.image_id = containerd_image_id,
	.takes_raw = containerd_takes_raw,
	.present = containerd_present,
	.begin = containerd_begin,
	.staging = containerd_staging,
	.keep = containerd_keep,
	.layer = containerd_layer,
	.commit = containerd_commit_image,
	.end = containerd_end,
	.tidy = containerd_tidy,
	.lacks = containerd_lacks,
};
