/* Calls in general, plugins, leases. */
#include "engine/containerd.h"

#include "engine/containerd_internal.h"
#include "engine/grpc.h"

struct containerd *containerd_new(struct http *http, const char *socket, const char *namespace, const char *snapshotter)
{
	struct containerd *c = xcalloc(1, sizeof *c);

	*c = (struct containerd){
		.http = http,
		.socket = xstrdup(socket),
		.namespace = xstrdup(namespace),
		.snapshotter = xstrdup(snapshotter),
	};
	return c;
}

void containerd_free(struct containerd *c)
{
	if (!c)
		return;
	free(c->socket);
	free(c->namespace);
	free(c->snapshotter);
	free(c->lease);
	free(c);
}

void containerd_use_lease(struct containerd *c, const char *id)
{
	char *old = c->lease;

	c->lease = xstrdup(id);
	free(old);
}

const char *containerd_lease(const struct containerd *c)
{
	return c->lease;
}

void containerd_message_freep(ProtobufCMessage **m)
{
	if (*m)
		protobuf_c_message_free_unpacked(*m, NULL);
}

/* Packs, sends, waits; out is initialised. */
static int exchange(struct containerd *c, const char *service, struct grpc_call *call, const ProtobufCMessage *request,
		    struct buf *out, struct err *err)
{
	const struct http_header metadata[] = { { "containerd-namespace", c->namespace },
						{ "containerd-lease", c->lease ? c->lease : "" } };
	const char *method = call->method;
	CLEANUP(freep) char *path = xasprintf("/containerd.services.%s/%s", service, method);
	CLEANUP(freep) uint8_t *bytes = xmalloc(protobuf_c_message_get_packed_size(request) + 1);

	call->method = path;
	call->metadata = metadata;
	call->n_metadata = c->lease ? 2 : 1;
	call->message = bytes;
	call->message_len = protobuf_c_message_pack(request, bytes);
	return grpc_unary(c->http, c->socket, call, out, err) < 0 ? err_wrap(err, "containerd: %s", method) : 0;
}

int containerd_call(struct containerd *c, const char *service, const char *method, const ProtobufCMessage *request,
		    const ProtobufCMessageDescriptor *type, ProtobufCMessage **answer, int64_t timeout_ms,
		    struct err *err)
{
	CLEANUP(buf_free) struct buf out = BUF_INIT(GRPC_MESSAGE_MAX_BYTES + GRPC_FRAME_HEAD_BYTES);
	struct grpc_call call = { .method = method, .timeout_ms = timeout_ms };

	if (exchange(c, service, &call, request, &out, err) < 0)
		return -1;
	if (!answer)
		return 0;
	ProtobufCMessage *m = protobuf_c_message_unpack(type, NULL, out.len, (const uint8_t *)buf_str(&out));
	if (!m)
		return err_set(err, ERR_PROTOCOL, "containerd: %s: an unreadable answer", method);
	*answer = m;
	return 0;
}

int containerd_send(struct containerd *c, const char *service, const char *method, const ProtobufCMessage *request,
		    struct err *err)
{
	CLEANUP(buf_free) struct buf out = BUF_INIT(GRPC_MESSAGE_MAX_BYTES + GRPC_FRAME_HEAD_BYTES);
	struct grpc_call call = { .method = method, .answers = true, .timeout_ms = CONTAINERD_TIMEOUT_MS };

	return exchange(c, service, &call, request, &out, err);
}

/* --- plugins --- */

int containerd_root(struct containerd *c, char **out, struct err *err)
{
	CLEANUP(containerd_message_freep) ProtobufCMessage *m = NULL;
	CLEANUP(freep) char *filter = xasprintf("type==io.containerd.snapshotter.v1,id==%s", c->snapshotter);
	Ctd__PluginsRequest req = CTD__PLUGINS_REQUEST__INIT;

	req.n_filters = 1;
	req.filters = &filter;
	if (containerd_call(c, "introspection.v1.Introspection", "Plugins", &req.base, &ctd__plugins_response__descriptor, &m,
			    CONTAINERD_TIMEOUT_MS, err) < 0)
		return -1;
	const Ctd__PluginsResponse *answer = (Ctd__PluginsResponse *)m;
	for (size_t i = 0; i < answer->n_plugins; i++)
		for (size_t k = 0; k < answer->plugins[i]->n_exports; k++)
			if (streq(answer->plugins[i]->exports[k]->key, "root")) {
				*out = xasprintf("%s/snapshots", answer->plugins[i]->exports[k]->value);
				return 0;
			}
	return err_set(err, ERR_CONFIG, "containerd has no snapshotter %s with a directory", c->snapshotter);
}

/* --- leases --- */

#define LEASES "leases.v1.Leases"

int containerd_lease_create(struct containerd *c, const char *id, const struct containerd_label *labels, size_t n,
			    struct err *err)
{
	CLEANUP(freep) Ctd__Label *entries = xcalloc(n + 1, sizeof *entries);
	CLEANUP(freep) Ctd__Label **pointers = xcalloc(n + 1, sizeof *pointers);
	Ctd__CreateLeaseRequest req = CTD__CREATE_LEASE_REQUEST__INIT;

	for (size_t i = 0; i < n; i++) {
		ctd__label__init(&entries[i]);
		entries[i].key = (char *)labels[i].name;
		entries[i].value = (char *)labels[i].value;
		pointers[i] = &entries[i];
	}
	req.id = (char *)id;
	req.n_labels = n;
	req.labels = pointers;
	return containerd_call(c, LEASES, "Create", &req.base, NULL, NULL, CONTAINERD_TIMEOUT_MS, err);
}

int containerd_lease_list(struct containerd *c, const char *prefix, const char *holder_label,
			  struct containerd_leases *out, struct err *err)
{
	CLEANUP(containerd_message_freep) ProtobufCMessage *m = NULL;
	CLEANUP(freep) char *filter = xasprintf("id~=^%s", prefix);
	Ctd__ListLeasesRequest req = CTD__LIST_LEASES_REQUEST__INIT;

	/* A build host has thousands of others. */
	req.n_filters = 1;
	req.filters = &filter;
	if (containerd_call(c, LEASES, "List", &req.base, &ctd__list_leases_response__descriptor, &m, CONTAINERD_TIMEOUT_MS,
			    err) < 0)
		return -1;
	const Ctd__ListLeasesResponse *answer = (Ctd__ListLeasesResponse *)m;
	struct containerd_leases l = { .v = xcalloc(answer->n_leases + 1, sizeof *l.v) };
	for (size_t i = 0; i < answer->n_leases; i++) {
		const Ctd__Lease *lease = answer->leases[i];
		if (!skip_prefix(lease->id, prefix))
			continue;
		struct containerd_lease *to = &l.v[l.n++];
		to->id = xstrdup(lease->id);
		for (size_t k = 0; k < lease->n_labels && !to->holder; k++)
			if (streq(lease->labels[k]->key, holder_label))
				to->holder = xstrdup(lease->labels[k]->value);
	}
	*out = l;
	return 0;
}

void containerd_leases_free(struct containerd_leases *l)
{
	for (size_t i = 0; i < l->n; i++) {
		free(l->v[i].id);
		free(l->v[i].holder);
	}
	free(l->v);
	*l = (struct containerd_leases){ 0 };
}

int containerd_lease_delete(struct containerd *c, const char *id, bool sync, int64_t timeout_ms, struct err *err)
{
	Ctd__DeleteLeaseRequest req = CTD__DELETE_LEASE_REQUEST__INIT;

	req.id = (char *)id;
	req.sync = sync;
	if (containerd_call(c, LEASES, "Delete", &req.base, NULL, NULL, timeout_ms, err) < 0 &&
	    err->kind != ERR_NOT_FOUND)
		return -1;
	err_clear(err);
	return 0;
}

static int add_to_lease(struct containerd *c, const char *type, const char *id, struct err *err)
{
	Ctd__Resource resource = CTD__RESOURCE__INIT;
	Ctd__AddResourceRequest req = CTD__ADD_RESOURCE_REQUEST__INIT;

	resource.id = (char *)id;
	resource.type = (char *)type;
	req.id = c->lease;
	req.resource = &resource;
	return containerd_call(c, LEASES, "AddResource", &req.base, NULL, NULL, CONTAINERD_TIMEOUT_MS, err);
}

int containerd_lease_snapshot(struct containerd *c, const char *name, struct err *err)
{
	CLEANUP(freep) char *type = xasprintf("snapshots/%s", c->snapshotter);

	return add_to_lease(c, type, name, err);
}

int containerd_lease_content(struct containerd *c, const char *digest, struct err *err)
{
	return add_to_lease(c, "content", digest, err);
}
