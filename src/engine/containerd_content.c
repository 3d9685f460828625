#include "engine/containerd_internal.h"

#define CONTENT "content.v1.Content"

int containerd_content_exists(struct containerd *c, const char *digest, bool *exists, struct err *err)
{
	Ctd__ContentInfoRequest req = CTD__CONTENT_INFO_REQUEST__INIT;

	req.digest = (char *)digest;
	*exists = containerd_call(c, CONTENT, "Info", &req.base, NULL, NULL, CONTAINERD_TIMEOUT_MS, err) == 0;
	if (!*exists && err->kind != ERR_NOT_FOUND)
		return -1;
	err_clear(err);
	return 0;
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
	return containerd_call(c, CONTENT, "Update", &req.base, NULL, NULL, CONTAINERD_TIMEOUT_MS, err);
}

/*
 * Write is a stream both ways; one message that commits ends it. A blob that the namespace has not got
 * but another one has is taken over, without its bytes.
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
	if (containerd_send(c, CONTENT, "Write", &req.base, err) == 0)
		return 0;
	if (err->kind != ERR_CONFLICT)
		return -1;
	err_clear(err);
	return set_label(c, digest, &entry, err);
}
