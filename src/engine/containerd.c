/* Calls in general, plugins, leases. */
#include "engine/containerd_internal.h"

struct containerd *containerd_new(struct http *http, const char *socket, const char *namespace, const char *snapshotter)
{
	struct containerd *c = xcalloc(1, sizeof *c);

	*c = (struct containerd){
		.grpc = grpc_new(http, socket),
		.namespace = xstrdup(namespace),
		.snapshotter = xstrdup(snapshotter),
	};
	return c;
}

void containerd_free(struct containerd *c)
{
	if (!c)
		return;
	grpc_free(c->grpc);
	free(c->namespace);
	free(c->snapshotter);
	free(c->lease);
	free(c->root);
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

/* --- calls --- */

/* Done a second time, these fail or do something else. */
static const char *const once[] = { "Create", "Prepare", "Commit" };

static bool is_once(const char *method)
{
	const char *name = strrchr(method, '/') + 1;

	for (size_t i = 0; i < ARRAY_LEN(once); i++)
		if (streq(name, once[i]))
			return true;
	return false;
}

uint8_t *containerd_pack(const ProtobufCMessage *message)
{
	uint8_t *frame = grpc_frame_new(protobuf_c_message_get_packed_size(message));

	(void)protobuf_c_message_pack(message, frame + GRPC_FRAME_HEAD_BYTES); /* the size is known */
	return frame;
}

static int failed(const char *name, struct err *err)
{
	return err_wrap(err, "containerd: %s", name);
}

int containerd_ask(struct containerd *c, const struct containerd_request *req, struct grpc_call **out, struct err *err)
{
	const struct http_header metadata[] = { { "containerd-namespace", c->namespace },
						{ "containerd-lease", c->lease } };
	CLEANUP(freep) char *method = xasprintf("/containerd.services.%s", req->method);
	const struct grpc_request call = {
		.method = method,
		.metadata = metadata,
		.n_metadata = c->lease ? 2 : 1,
		.more = req->more,
		.answers = req->streams,
		.once = is_once(method),
		.timeout_ms = req->timeout_ms || req->stall_timeout_ms ? req->timeout_ms : CONTAINERD_TIMEOUT_MS,
		.stall_timeout_ms = req->stall_timeout_ms,
		.event = req->event,
		.event_arg = req->event_arg,
	};

	return grpc_start(c->grpc, &call, containerd_pack(req->message), out, err) < 0 ?
		       failed(strrchr(method, '/') + 1, err) : 0;
}

int containerd_hear(struct grpc_call *call, const ProtobufCMessageDescriptor *type, ProtobufCMessage **answer,
		    struct err *err)
{
	CLEANUP(buf_free) struct buf out = BUF_INIT(GRPC_MESSAGE_MAX_BYTES);
	CLEANUP(freep) char *name = xstrdup(grpc_method(call));

	if (grpc_finish(call, &out, err) < 0)
		return failed(name, err);
	if (!answer)
		return 0;
	ProtobufCMessage *m = protobuf_c_message_unpack(type, NULL, out.len, (const uint8_t *)buf_str(&out));
	if (!m) {
		(void)err_set(err, ERR_PROTOCOL, "an unreadable answer");
		return failed(name, err);
	}
	*answer = m;
	return 0;
}

int containerd_call(struct containerd *c, const struct containerd_request *req, const ProtobufCMessageDescriptor *type,
		    ProtobufCMessage **answer, struct err *err)
{
	struct grpc_call *call;

	return containerd_ask(c, req, &call, err) < 0 ? -1 : containerd_hear(call, type, answer, err);
}

static int hear_whether(struct grpc_call *call, bool *found, struct err *err)
{
	if (containerd_hear(call, NULL, NULL, err) == 0) {
		if (found)
			*found = true;
		return 0;
	}
	if (!found || err->kind != ERR_NOT_FOUND)
		return -1;
	err_clear(err);
	*found = false;
	return 0;
}

int containerd_ask_all(struct containerd *c, containerd_ask_fn *ask, const char *const *names, size_t n, bool *found,
		       struct err *err)
{
	CLEANUP(freep) struct grpc_call **calls = xcalloc(n + 1, sizeof *calls);
	size_t asked = 0, heard = 0;
	int result = 0;

	while (result == 0 && asked < n) {
		result = ask(c, names[asked], &calls[asked], err);
		asked += result == 0;
	}
	for (; result == 0 && heard < n; heard++)
		result = hear_whether(calls[heard], found ? &found[heard] : NULL, err);
	for (; heard < asked; heard++)
		grpc_cancel(calls[heard]);
	return result;
}

/* --- plugins --- */

static const char *root_of(const Ctd__Plugin *plugin)
{
	for (size_t i = 0; i < plugin->n_exports; i++)
		if (streq(plugin->exports[i]->key, "root"))
			return plugin->exports[i]->value;
	return NULL;
}

static bool rebases(const Ctd__Plugin *plugin)
{
	for (size_t i = 0; i < plugin->n_capabilities; i++)
		if (streq(plugin->capabilities[i], "rebase"))
			return true;
	return false;
}

int containerd_note_plugins(struct containerd *c, const Ctd__PluginsResponse *answer, struct err *err)
{
	for (size_t i = 0; i < answer->n_plugins; i++) {
		const char *root = root_of(answer->plugins[i]);
		if (!root)
			continue;
		free(c->root);
		c->root = xasprintf("%s/snapshots", root);
		c->rebases = rebases(answer->plugins[i]);
		return 0;
	}
	return err_set(err, ERR_CONFIG, "containerd has no snapshotter %s with a directory", c->snapshotter);
}

int containerd_introspect(struct containerd *c, struct err *err)
{
	CLEANUP(containerd_message_freep) ProtobufCMessage *m = NULL;
	CLEANUP(freep) char *filter = xasprintf("type==io.containerd.snapshotter.v1,id==%s", c->snapshotter);
	Ctd__PluginsRequest req = CTD__PLUGINS_REQUEST__INIT;

	req.n_filters = 1;
	req.filters = &filter;
	if (containerd_call(c, &CALL("introspection.v1.Introspection/Plugins", req), &ctd__plugins_response__descriptor,
			    &m, err) < 0)
		return -1;
	return containerd_note_plugins(c, (Ctd__PluginsResponse *)m, err);
}

const char *containerd_root(const struct containerd *c)
{
	return c->root;
}

bool containerd_rebases(const struct containerd *c)
{
	return c->rebases;
}

/* --- leases --- */

#define LEASES "leases.v1.Leases/"

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
	return containerd_call(c, &CALL(LEASES "Create", req), NULL, NULL, err);
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
	if (containerd_call(c, &CALL(LEASES "List", req), &ctd__list_leases_response__descriptor, &m, err) < 0)
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
	const struct containerd_request call = { .method = LEASES "Delete", .message = &req.base,
						 .timeout_ms = timeout_ms };
	if (containerd_call(c, &call, NULL, NULL, err) < 0 && err->kind != ERR_NOT_FOUND)
		return -1;
	err_clear(err);
	return 0;
}

static int add_to_lease(struct containerd *c, const char *type, const char *id, struct grpc_call **out, struct err *err)
{
	Ctd__Resource resource = CTD__RESOURCE__INIT;
	Ctd__AddResourceRequest req = CTD__ADD_RESOURCE_REQUEST__INIT;

	resource.id = (char *)id;
	resource.type = (char *)type;
	req.id = c->lease;
	req.resource = &resource;
	return containerd_ask(c, &CALL(LEASES "AddResource", req), out, err);
}

int containerd_lease_snapshot(struct containerd *c, const char *name, struct err *err)
{
	CLEANUP(freep) char *type = xasprintf("snapshots/%s", c->snapshotter);
	struct grpc_call *call;

	return add_to_lease(c, type, name, &call, err) < 0 ? -1 : containerd_hear(call, NULL, NULL, err);
}

static int add_content(struct containerd *c, const char *digest, struct grpc_call **out, struct err *err)
{
	return add_to_lease(c, "content", digest, out, err);
}

int containerd_lease_contents(struct containerd *c, const char *const *digests, size_t n, struct err *err)
{
	return containerd_ask_all(c, add_content, digests, n, NULL, err);
}
