/*
 * containerd behind Docker: leases, snapshots and content of one namespace, through its gRPC
 * socket. Waits on the loop; errors are those of grpc_start() and grpc_finish(), their messages say
 * which call failed.
 */
#ifndef BERTH_ENGINE_CONTAINERD_H
#define BERTH_ENGINE_CONTAINERD_H

#include "base/mem.h"
#include "net/http.h"

#define CONTAINERD_TIMEOUT_MS 60000 /* an ordinary call takes milliseconds, and a slow disk's fsync */
/* Committing a snapshot walks its files, deleting a lease may wait for a garbage collection. */
#define CONTAINERD_LONG_TIMEOUT_MS (10 * 60 * 1000)

struct containerd;
struct grpc_call;

/* Says that something goes on. From the loop; must not wait. */
typedef void containerd_event_fn(void *arg);

/* No traffic yet. */
struct containerd *containerd_new(struct http *http, const char *socket, const char *namespace,
				  const char *snapshotter);
void containerd_free(struct containerd *c); /* NULL is fine; what it made stays */

/* What the snapshotter is; once, before the two below. ERR_CONFIG: there is no such snapshotter. */
int containerd_introspect(struct containerd *c, struct err *err) MUST_CHECK;
/* The directory in which it keeps its snapshots, as containerd sees it. */
const char *containerd_root(const struct containerd *c);
/* What was prepared upon nothing can be committed upon a parent (containerd 2.2, capability "rebase"). */
bool containerd_rebases(const struct containerd *c);

/*
 * Leases keep what the garbage collector would take. Each call made under containerd_use_lease()
 * adds what it makes to that lease. NULL: none.
 */
void containerd_use_lease(struct containerd *c, const char *id);
const char *containerd_lease(const struct containerd *c);

struct containerd_label {
	const char *name, *value;
};
struct containerd_leases {
	struct containerd_lease {
		char *id;
		char *holder; /* the value of the label that was asked for, or NULL */
	} *v;
	size_t n;
};
int containerd_lease_create(struct containerd *c, const char *id, const struct containerd_label *labels, size_t n,
			    struct err *err) MUST_CHECK;
/* The leases whose ids begin with prefix. */
int containerd_lease_list(struct containerd *c, const char *prefix, const char *holder_label,
			  struct containerd_leases *out, struct err *err) MUST_CHECK;
void containerd_leases_free(struct containerd_leases *l);
/* sync: what nothing else holds is gone on return. One that is not there is deleted. */
int containerd_lease_delete(struct containerd *c, const char *id, bool sync, int64_t timeout_ms,
			    struct err *err) MUST_CHECK;
/* Puts what exists under the current lease. */
int containerd_lease_snapshot(struct containerd *c, const char *name, struct err *err) MUST_CHECK;
int containerd_lease_contents(struct containerd *c, const char *const *digests, size_t n, struct err *err) MUST_CHECK;

/* Where an active snapshot is written, and what it lies upon. */
struct containerd_mount {
	char *upper;       /* a directory */
	struct strv lower; /* directories, nearest first */
};
void containerd_mount_clear(struct containerd_mount *m);

/*
 * An active snapshot upon parent (NULL: nothing). ERR_NOT_FOUND: no such parent. ERR_CONFIG: the
 * snapshotter keeps no directories for overlayfs.
 */
int containerd_prepare(struct containerd *c, const char *key, const char *parent, struct containerd_mount *out,
		       struct err *err) MUST_CHECK;
/*
 * Its two halves: asks, without waiting (event, or NULL: the call has ended);
 * hears the answer, and frees the call (else grpc_cancel()).
 */
int containerd_prepare_ask(struct containerd *c, const char *key, const char *parent, containerd_event_fn *event,
			   void *arg, struct grpc_call **out, struct err *err) MUST_CHECK;
int containerd_prepare_hear(struct grpc_call *call, struct containerd_mount *out, struct err *err) MUST_CHECK;
/*
 * Makes it immutable, as name; upon parent where that is not NULL (containerd_rebases(), and it was
 * prepared upon nothing). Where name exists (somebody else made the same) that one comes under the
 * lease, and key is removed. ERR_NOT_FOUND: no such parent.
 */
int containerd_commit(struct containerd *c, const char *key, const char *name, const char *parent,
		      struct err *err) MUST_CHECK;
/* exists[i]: there is a snapshot names[i]; all are asked about at once. */
int containerd_exist(struct containerd *c, const char *const *names, size_t n, bool *exists,
		     struct err *err) MUST_CHECK;
/* How many files and directories containerd sees in an active snapshot, its root among them. */
int containerd_inodes(struct containerd *c, const char *key, int64_t *inodes, struct err *err) MUST_CHECK;
/* One that is not there is removed. */
int containerd_remove(struct containerd *c, const char *key, struct err *err) MUST_CHECK;

/* As containerd_exist(), of blobs. */
int containerd_content_exist(struct containerd *c, const char *const *digests, size_t n, bool *exists,
			     struct err *err) MUST_CHECK;
/* A small blob with a label; where the blob exists, the label is added. */
int containerd_content_put(struct containerd *c, const char *digest, const void *bytes, size_t len,
			   const struct containerd_label *label, struct err *err) MUST_CHECK;

#endif
