#include "engine/containerd_internal.h"

#define SNAPSHOTS "snapshots.v1.Snapshots/"

void containerd_mount_clear(struct containerd_mount *m)
{
	free(m->upper);
	strv_free(&m->lower);
	*m = (struct containerd_mount){ 0 };
}

static void split_lower(const char *list, struct strv *out)
{
	while (*list) {
		size_t len = strcspn(list, ":");
		strv_take(out, xstrndup(list, len));
		list += len + (list[len] == ':');
	}
}

/* Without a parent the snapshot is its directory, bound; with one an overlay that is written in its upper directory. */
static int read_mount(const Ctd__PrepareSnapshotResponse *answer, struct containerd_mount *out, struct err *err)
{
	const Ctd__Mount *m = answer->n_mounts == 1 ? answer->mounts[0] : NULL;
	const char *upper = NULL, *lower = "";

	if (m && streq(m->type, "bind"))
		upper = m->source;
	for (size_t i = 0; m && streq(m->type, "overlay") && i < m->n_options; i++) {
		const char *rest;
		if ((rest = skip_prefix(m->options[i], "upperdir=")))
			upper = rest;
		else if ((rest = skip_prefix(m->options[i], "lowerdir=")))
			lower = rest;
		else if (streq(m->options[i], "userxattr"))
			return err_set(err, ERR_CONFIG, "containerd runs in a user namespace");
	}
	if (!upper || *upper != '/')
		return err_set(err, ERR_CONFIG, "containerd's snapshots are no directories for overlayfs");
	*out = (struct containerd_mount){ .upper = xstrdup(upper) };
	split_lower(lower, &out->lower);
	return 0;
}

int containerd_prepare_ask(struct containerd *c, const char *key, const char *parent, containerd_event_fn *event,
			   void *arg, struct grpc_call **out, struct err *err)
{
	Ctd__PrepareSnapshotRequest req = CTD__PREPARE_SNAPSHOT_REQUEST__INIT;
	struct containerd_request call = CALL(SNAPSHOTS "Prepare", req);

	call.event = event;
	call.event_arg = arg;
	req.snapshotter = c->snapshotter;
	req.key = (char *)key;
	req.parent = (char *)(parent ? parent : "");
	return containerd_ask(c, &call, out, err) < 0 ? err_wrap(err, "containerd: Prepare") : 0;
}

int containerd_prepare_hear(struct grpc_call *call, struct containerd_mount *out, struct err *err)
{
	CLEANUP(containerd_message_freep) ProtobufCMessage *m = NULL;

	if (containerd_hear(call, &ctd__prepare_snapshot_response__descriptor, &m, err) < 0)
		return err_wrap(err, "containerd: Prepare");
	return read_mount((Ctd__PrepareSnapshotResponse *)m, out, err);
}

int containerd_prepare(struct containerd *c, const char *key, const char *parent, struct containerd_mount *out,
		       struct err *err)
{
	struct grpc_call *call;

	if (containerd_prepare_ask(c, key, parent, NULL, NULL, &call, err) < 0)
		return -1;
	return containerd_prepare_hear(call, out, err);
}

Ctd__CommitSnapshotRequest containerd_commit_request(const struct containerd *c, const char *key, const char *name,
						     const char *parent)
{
	Ctd__CommitSnapshotRequest req = CTD__COMMIT_SNAPSHOT_REQUEST__INIT;

	req.snapshotter = c->snapshotter;
	req.key = (char *)key;
	req.name = (char *)name;
	req.parent = (char *)(parent ? parent : "");
	return req;
}

int containerd_commit(struct containerd *c, const char *key, const char *name, const char *parent, struct err *err)
{
	Ctd__CommitSnapshotRequest req = containerd_commit_request(c, key, name, parent);
	struct containerd_request call = CALL(SNAPSHOTS "Commit", req);

	call.timeout_ms = CONTAINERD_LONG_TIMEOUT_MS;
	if (containerd_call(c, &call, NULL, NULL, err) == 0)
		return 0;
	if (err->kind != ERR_CONFLICT)
		return -1;
	err_clear(err);
	return containerd_lease_snapshot(c, name, err) < 0 ? -1 : containerd_remove(c, key, err);
}

/* Stat, Usage and Remove ask alike. */
static int ask_about(struct containerd *c, const char *method, const char *key, struct grpc_call **out, struct err *err)
{
	Ctd__SnapshotRequest req = CTD__SNAPSHOT_REQUEST__INIT;

	req.snapshotter = c->snapshotter;
	req.key = (char *)key;
	return containerd_ask(c, &CALL(method, req), out, err);
}

static int about(struct containerd *c, const char *method, const char *key, const ProtobufCMessageDescriptor *type,
		 ProtobufCMessage **answer, struct err *err)
{
	struct grpc_call *call;

	return ask_about(c, method, key, &call, err) < 0 ? -1 : containerd_hear(call, type, answer, err);
}

static int ask_stat(struct containerd *c, const char *name, struct grpc_call **out, struct err *err)
{
	return ask_about(c, SNAPSHOTS "Stat", name, out, err);
}

int containerd_exist(struct containerd *c, const char *const *names, size_t n, bool *exists, struct err *err)
{
	return containerd_ask_all(c, ask_stat, names, n, exists, err);
}

int containerd_inodes(struct containerd *c, const char *key, int64_t *inodes, struct err *err)
{
	CLEANUP(containerd_message_freep) ProtobufCMessage *m = NULL;

	if (about(c, SNAPSHOTS "Usage", key, &ctd__usage_response__descriptor, &m, err) < 0)
		return -1;
	*inodes = ((Ctd__UsageResponse *)m)->inodes;
	return 0;
}

int containerd_remove(struct containerd *c, const char *key, struct err *err)
{
	if (about(c, SNAPSHOTS "Remove", key, NULL, NULL, err) < 0 && err->kind != ERR_NOT_FOUND)
		return -1;
	err_clear(err);
	return 0;
}
