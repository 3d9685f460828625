#include "engine/containerd_internal.h"

#define CONTENT "content.v1.Content/"

static int ask_about(struct containerd *c, const char *digest, struct grpc_call **out, struct err *err)
{
	Ctd__ContentInfoRequest req = CTD__CONTENT_INFO_REQUEST__INIT;

	req.digest = (char *)digest;
	return containerd_ask(c, &CALL(CONTENT "Info", req), out, err);
}

int containerd_content_exist(struct containerd *c, const char *const *digests, size_t n, bool *exists, struct err *err)
{
	return containerd_ask_all(c, ask_about, digests, n, exists, err);
}

static int set_label(struct containerd *c, const char *digest, Ctd__Label *label, struct err *err)
{
	CLEANUP(freep) char *path = xasprintf("labels.%s", label->key);
	Ctd__ContentInfo info = CTD__CONTENT_INFO__INIT;
	Ctd__FieldMask mask = CTD__FIELD_MASK__INIT;
	Ctd__UpdateContentRequest req = CTD__UPDATE_CONTENT_REQUEST__INIT;

	info.digest = (char *)digest;
	info.n_labels = 1;
	info.labels = &label;
	mask.n_paths = 1;
	mask.paths = &path;
	req.info = &info;
	req.update_mask = &mask;
	return containerd_call(c, &CALL(CONTENT "Update", req), NULL, NULL, err);
}

/*
 * Write is a stream both ways; one message that commits ends it. A blob that the namespace has not
 * got but another one has is taken over, without its bytes.
 */
int containerd_content_put(struct containerd *c, const char *digest, const void *bytes, size_t len,
			   const struct containerd_label *label, struct err *err)
{
	CLEANUP(freep) char *ref = xasprintf("%s-%s", c->lease ? c->lease : "berth", digest);
	Ctd__Label entry = CTD__LABEL__INIT, *labels = &entry;
	Ctd__WriteContentRequest req = CTD__WRITE_CONTENT_REQUEST__INIT;

	entry.key = (char *)label->name;
	entry.value = (char *)label->value;
	req.action = CTD__WRITE_ACTION__COMMIT;
	req.ref = ref;
	req.total = (int64_t)len;
	req.expected = (char *)digest;
	req.data.data = (uint8_t *)bytes;
	req.data.len = len;
	req.n_labels = 1;
	req.labels = &labels;
	const struct containerd_request call = { .method = CONTENT "Write", .message = &req.base,
						 .timeout_ms = CONTAINERD_TIMEOUT_MS, .streams = true };
	if (containerd_call(c, &call, NULL, NULL, err) == 0)
		return 0;
	if (err->kind != ERR_CONFLICT)
		return -1;
	err_clear(err);
	return set_label(c, digest, &entry, err);
}
