/*
 * Any bytes as a worker's list: what is taken is a list that says the same when it is written again, and harms
 * nobody.
 */
#include "fuzz.h"

#include <sys/stat.h>

#include "unpack/deferred.h"

static void check_path(const char *path)
{
	MUST(strlen(path) < DEFERRED_PATH_MAX && path[0] && path[0] != '/');
	for (const char *p = path; p; p = strchr(p, '/')) {
		p += *p == '/';
		size_t len = strcspn(p, "/");
		MUST(len > 0 && !(len == 2 && memcmp(p, "..", 2) == 0));
	}
}

static void check_item(const struct deferred_item *item)
{
	check_path(item->path);
	switch (item->kind) {
	case DEFERRED_DEVICE:
		MUST(S_ISCHR(item->device.mode) || S_ISBLK(item->device.mode));
		MUST((item->device.mode & ~(mode_t)(S_IFMT | 07777)) == 0);
		if (*item->device.link)
			check_path(item->device.link);
		break;
	case DEFERRED_XATTR:
		MUST(skip_prefix(item->xattr.name, "security."));
		MUST(item->xattr.len <= DEFERRED_XATTR_VALUE_MAX);
		break;
	case DEFERRED_OPAQUE:
	case DEFERRED_IMPLICIT_DIR:
		break;
	case DEFERRED_KINDS:
		MUST(!"a kind");
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct deferred *list = NULL, *again = deferred_new();
	struct deferred_item item;
	struct err err = { 0 };
	size_t at = 0, len, items = 0, left = 0;

	if (deferred_parse(data, size, &list, &err) < 0) {
		MUST(!list && (err.kind == ERR_PROTOCOL || err.kind == ERR_LIMIT));
		deferred_free(again);
		return 0;
	}
	while (deferred_next(list, &at, &item)) {
		check_item(&item);
		MUST(deferred_add(again, &item, &err) == 0);
		items++;
	}
	(void)deferred_bytes(again, &len);
	MUST(at == size && len == size);
	/* What one of them was about can be taken out, and nothing else is lost on the way. */
	at = 0;
	if (deferred_next(list, &at, &item)) {
		CLEANUP(freep) char *path = xstrdup(item.path);
		deferred_forget(again, path);
		for (at = 0; deferred_next(again, &at, &item); left++)
			MUST(!streq(item.path, path));
		MUST(left < items);
	}
	deferred_free(list);
	deferred_free(again);
	return 0;
}
