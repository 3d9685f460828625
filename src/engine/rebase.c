#include "engine/rebase.h"

#include "engine/grpc.h"
#include "engine/staging.h"

/* At the same time: containerd makes them one after another, but need not wait for us between two. */
#define PREPARES_MAX 4

struct room {
	char *key;                     /* NULL: left out, not asked for yet, or committed */
	struct grpc_call *asked;       /* or NULL */
	struct containerd_mount mount; /* once it is there */
};

struct rebase {
	struct containerd *c;
	char *prefix;
	const struct store_image *image;
	containerd_event_fn *event; /* NULL: it ends */
	void *arg;
	struct room *rooms; /* by layer */
	size_t first;       /* those below are left out */
	size_t next;        /* those below have been asked for */
	size_t running;     /* calls */
	struct staging *staging;
	struct err error;   /* ERR_NONE: rooms can be made */
};

static const char *below(const struct rebase *r, size_t i)
{
	return i ? r->image->layers[i - 1].chain_id : NULL;
}

static char *new_key(const struct rebase *r, size_t i)
{
	return xasprintf("%s-%zu", r->prefix, i);
}

static int take_room(struct rebase *r, size_t i, struct err *err)
{
	return staging_add(r->staging, i, r->rooms[i].mount.upper, err);
}

static void on_prepared(void *arg);

static void ask_for_more(struct rebase *r)
{
	for (; r->next < r->image->n_layers && r->running < PREPARES_MAX && r->error.kind == ERR_NONE; r->next++) {
		struct room *room = &r->rooms[r->next];
		room->key = new_key(r, r->next);
		if (containerd_prepare_ask(r->c, room->key, NULL, on_prepared, r, &room->asked, &r->error) == 0)
			r->running++;
	}
}

static void on_prepared(void *arg)
{
	struct rebase *r = arg;

	if (!r->event)
		return;
	for (size_t i = r->first; i < r->next; i++) {
		struct room *room = &r->rooms[i];
		if (!room->asked || !grpc_ended(room->asked))
			continue;
		r->running--;
		if (containerd_prepare_hear(STEAL(room->asked), &room->mount, &r->error) < 0 ||
		    take_room(r, i, &r->error) < 0)
			(void)err_wrap(&r->error, "layer %zu of %zu", i + 1, r->image->n_layers);
	}
	ask_for_more(r);
	r->event(r->arg);
}

/* Does containerd see what we make there? Else we are in another mount namespace, and write somewhere else. */
static int check_seen(struct rebase *r, struct err *err)
{
	int64_t inodes;

	if (staging_mark(r->staging, r->first, true, err) < 0 ||
	    containerd_inodes(r->c, r->rooms[r->first].key, &inodes, err) < 0 ||
	    staging_mark(r->staging, r->first, false, err) < 0)
		return -1;
	if (inodes != 2)
		return err_set(err, ERR_CONFIG, "containerd's directories are not the ones seen from here");
	return 0;
}

/* Upon what is there: it tells what the directories below are, and whose the layers' roots. */
static int make_first(struct rebase *r, struct err *err)
{
	struct room *room = &r->rooms[r->first];

	room->key = new_key(r, r->first);
	if (containerd_prepare(r->c, room->key, below(r, r->first), &room->mount, err) < 0 ||
	    take_room(r, r->first, err) < 0 || check_seen(r, err) < 0)
		return -1;
	r->next = r->first + 1;
	return 0;
}

int rebase_begin(struct containerd *c, const char *prefix, const struct store_image *image, size_t first,
		 containerd_event_fn *event, void *arg, struct rebase **out, struct err *err)
{
	struct rebase *r = xcalloc(1, sizeof *r);

	*r = (struct rebase){
		.c = c,
		.prefix = xstrdup(prefix),
		.image = image,
		.event = event,
		.arg = arg,
		.first = first,
		.rooms = xcalloc(image->n_layers, sizeof *r->rooms),
		.staging = staging_new(image->n_layers),
	};
	if (make_first(r, err) < 0) {
		rebase_end(r);
		return -1;
	}
	ask_for_more(r);
	*out = r;
	return 0;
}

int rebase_staging(const struct rebase *r, size_t i, int *fd, struct err *err)
{
	int layer = staging_layer(r->staging, i);

	if (layer < 0 && r->error.kind != ERR_NONE) {
		*err = r->error;
		return -1;
	}
	if (layer < 0)
		return 0;
	*fd = layer;
	return 1;
}

/* Nearest first. */
static void list_lower(const struct rebase *r, size_t i, struct strv *out)
{
	const struct strv *lowest = &r->rooms[r->first].mount.lower;

	while (i-- > r->first)
		strv_add(out, r->rooms[i].mount.upper);
	for (size_t k = 0; k < lowest->n; k++)
		strv_add(out, lowest->v[k]);
}

int rebase_layer(struct rebase *r, size_t i, const struct store_inherit *inherit, size_t n_inherit, struct err *err)
{
	CLEANUP(strv_free) struct strv lower = { 0 };
	struct room *room = &r->rooms[i];
	const char *parent = i == r->first ? NULL : below(r, i); /* the first is upon its own */

	if (n_inherit)
		list_lower(r, i, &lower);
	if (staging_settle(r->staging, i, inherit, n_inherit, &lower, err) < 0 ||
	    containerd_commit(r->c, room->key, r->image->layers[i].chain_id, parent, err) < 0)
		return -1;
	free(room->key);
	room->key = NULL;
	return 0;
}

int rebase_sync(const struct rebase *r, struct loop *loop, struct err *err)
{
	return staging_sync(r->staging, loop, err);
}

void rebase_end(struct rebase *r)
{
	struct err ignored = { 0 };

	if (!r)
		return;
	r->event = NULL;
	/* What runs is waited for: it could come after the removal else. */
	for (size_t i = 0; i < r->image->n_layers; i++)
		if (r->rooms[i].asked && containerd_prepare_hear(r->rooms[i].asked, &r->rooms[i].mount, &ignored) < 0)
			err_clear(&ignored);
	for (size_t i = 0; i < r->image->n_layers; i++) {
		struct room *room = &r->rooms[i];
		if (room->key && containerd_remove(r->c, room->key, &ignored) < 0)
			err_clear(&ignored);
		containerd_mount_clear(&room->mount);
		free(room->key);
	}
	staging_close(r->staging);
	free(r->rooms);
	free(r->prefix);
	free(r);
}
