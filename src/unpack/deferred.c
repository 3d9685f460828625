#include "unpack/deferred.h"

#include <sys/stat.h>

#include "base/mem.h"

/*
 * The encoding: head, path with its NUL, and what the kind needs. Native byte order: both ends are
 * the same program on the same machine.
 */
struct head {
	uint8_t kind;
	uint8_t attributes_only;
	uint16_t path_size; /* with the NUL */
	uint32_t total_size;
};

struct device_part {
	uint32_t mode, uid, gid, major, minor;
	int64_t seconds[2];
	uint32_t nanoseconds[2];
	uint32_t link_size; /* with the NUL */
};

struct xattr_part {
	uint32_t name_size; /* with the NUL */
	uint32_t value_size;
};

struct deferred {
	struct buf bytes;
};

struct deferred *deferred_new(void)
{
	struct deferred *d = xcalloc(1, sizeof *d);

	d->bytes = BUF_INIT(DEFERRED_MAX_BYTES);
	return d;
}

void deferred_free(struct deferred *d)
{
	if (!d)
		return;
	buf_free(&d->bytes);
	free(d);
}

static int add_device(struct deferred *d, const struct deferred_item *item, struct err *err)
{
	struct device_part part = {
		.mode = item->device.mode,
		.uid = item->device.uid,
		.gid = item->device.gid,
		.major = item->device.major,
		.minor = item->device.minor,
		.link_size = (uint32_t)strlen(item->device.link) + 1,
	};

	for (size_t i = 0; i < 2; i++) {
		part.seconds[i] = item->device.times[i].tv_sec;
		part.nanoseconds[i] = (uint32_t)item->device.times[i].tv_nsec;
	}
	return buf_append(&d->bytes, &part, sizeof part, err) < 0 ||
			       buf_append(&d->bytes, item->device.link, part.link_size, err) < 0
		       ? -1
		       : 0;
}

static int add_xattr(struct deferred *d, const struct deferred_item *item, struct err *err)
{
	const struct xattr_part part = { (uint32_t)strlen(item->xattr.name) + 1, (uint32_t)item->xattr.len };

	if (buf_append(&d->bytes, &part, sizeof part, err) < 0 ||
	    buf_append(&d->bytes, item->xattr.name, part.name_size, err) < 0)
		return -1;
	return part.value_size ? buf_append(&d->bytes, item->xattr.value, part.value_size, err) : 0;
}

static int add_parts(struct deferred *d, const struct deferred_item *item, struct err *err)
{
	struct head head = {
		.kind = (uint8_t)item->kind,
		.attributes_only = item->kind == DEFERRED_IMPLICIT_DIR && item->attributes_only,
		.path_size = (uint16_t)(strlen(item->path) + 1),
	};
	size_t start = d->bytes.len;

	if (buf_append(&d->bytes, &head, sizeof head, err) < 0 ||
	    buf_append(&d->bytes, item->path, head.path_size, err) < 0 ||
	    (item->kind == DEFERRED_DEVICE && add_device(d, item, err) < 0) ||
	    (item->kind == DEFERRED_XATTR && add_xattr(d, item, err) < 0)) {
		d->bytes.len = start;
		return -1;
	}
	head.total_size = (uint32_t)(d->bytes.len - start);
	memcpy(d->bytes.data + start, &head, sizeof head);
	return 0;
}

int deferred_add(struct deferred *d, const struct deferred_item *item, struct err *err)
{
	if (add_parts(d, item, err) < 0)
		return err_wrap(err, "what the layer leaves to be done later");
	return 0;
}

static bool path_is_sane(enum deferred_kind kind, const char *path, size_t size)
{
	if (kind == DEFERRED_OPAQUE && size == 2 && path[0] == '.' && !path[1])
		return true;
	if (size < 2 || size > DEFERRED_PATH_MAX || path[size - 1] || memchr(path, '\0', size - 1))
		return false;
	for (const char *p = path;; p++) {
		size_t len = strcspn(p, "/");
		if (len == 0 || (len == 1 && p[0] == '.') || (len == 2 && p[0] == '.' && p[1] == '.'))
			return false;
		p += len;
		if (!*p)
			return true;
	}
}

static bool read_device(const char *bytes, size_t len, struct deferred_item *out)
{
	struct device_part part;

	if (len < sizeof part)
		return false;
	memcpy(&part, bytes, sizeof part);
	out->device.link = bytes + sizeof part;
	if (part.link_size != len - sizeof part ||
	    !(part.link_size == 1 ? !*out->device.link
				  : path_is_sane(DEFERRED_DEVICE, out->device.link, part.link_size)))
		return false;
	out->device.mode = (mode_t)part.mode;
	out->device.uid = part.uid;
	out->device.gid = part.gid;
	out->device.major = part.major;
	out->device.minor = part.minor;
	for (size_t i = 0; i < 2; i++) {
		if (part.nanoseconds[i] > 999999999)
			return false;
		out->device.times[i] = (struct timespec){ part.seconds[i], (long)part.nanoseconds[i] };
	}
	return !(part.mode & ~(uint32_t)(S_IFMT | 07777)) && (S_ISCHR(part.mode) || S_ISBLK(part.mode));
}

/*
 * Only the security class: attributes of the trusted class steer overlayfs, which follows
 * trusted.overlay.redirect to wherever it says.
 */
static bool read_xattr(const char *bytes, size_t len, struct deferred_item *out)
{
	struct xattr_part part;

	if (len < sizeof part)
		return false;
	memcpy(&part, bytes, sizeof part);
	bytes += sizeof part;
	len -= sizeof part;
	if (part.name_size < 2 || part.name_size > DEFERRED_XATTR_NAME_MAX + 1 || part.name_size > len ||
	    part.value_size > DEFERRED_XATTR_VALUE_MAX || part.value_size != len - part.name_size ||
	    memchr(bytes, '\0', part.name_size) != bytes + part.name_size - 1)
		return false;
	out->xattr.name = bytes;
	out->xattr.value = bytes + part.name_size;
	out->xattr.len = part.value_size;
	return skip_prefix(bytes, "security.") != NULL;
}

/* How many bytes the item at the beginning of these takes; 0: it is none. */
static size_t read_item(const char *bytes, size_t len, struct deferred_item *out)
{
	struct head head;

	if (len < sizeof head)
		return 0;
	memcpy(&head, bytes, sizeof head);
	if (head.total_size > len || head.total_size < sizeof head + head.path_size || head.kind >= DEFERRED_KINDS ||
	    !path_is_sane((enum deferred_kind)head.kind, bytes + sizeof head, head.path_size))
		return 0;

	*out = (struct deferred_item){ .kind = (enum deferred_kind)head.kind, .path = bytes + sizeof head };
	const char *rest = out->path + head.path_size;
	size_t rest_len = head.total_size - sizeof head - head.path_size;
	bool good = false;
	switch (out->kind) {
	case DEFERRED_DEVICE:
		good = read_device(rest, rest_len, out);
		break;
	case DEFERRED_XATTR:
		good = read_xattr(rest, rest_len, out);
		break;
	case DEFERRED_IMPLICIT_DIR:
		out->attributes_only = head.attributes_only;
		good = rest_len == 0;
		break;
	case DEFERRED_OPAQUE:
		good = rest_len == 0;
		break;
	case DEFERRED_KINDS:
		break;
	}
	return good ? head.total_size : 0;
}

bool deferred_next(const struct deferred *d, size_t *at, struct deferred_item *out)
{
	size_t size = *at < d->bytes.len ? read_item(d->bytes.data + *at, d->bytes.len - *at, out) : 0;

	*at += size;
	return size > 0;
}

static bool concerns(const char *path, const char *removed)
{
	const char *rest = skip_prefix(path, removed);

	return rest && (!*rest || *rest == '/');
}

void deferred_forget(struct deferred *d, const char *path)
{
	struct deferred_item item;
	size_t at = 0, kept = 0, start = 0;

	while (deferred_next(d, &at, &item)) {
		if (!concerns(item.path, path)) {
			memmove(d->bytes.data + kept, d->bytes.data + start, at - start);
			kept += at - start;
		}
		start = at;
	}
	d->bytes.len = kept;
}

const void *deferred_bytes(const struct deferred *d, size_t *len)
{
	*len = d->bytes.len;
	return d->bytes.data;
}

int deferred_parse(const void *bytes, size_t len, struct deferred **out, struct err *err)
{
	struct deferred *d = deferred_new();
	struct deferred_item item;
	size_t at = 0;

	if (len && buf_append(&d->bytes, bytes, len, err) < 0) {
		deferred_free(d);
		return -1;
	}
	while (deferred_next(d, &at, &item))
		;
	if (at != len) {
		deferred_free(d);
		return err_set(err, ERR_PROTOCOL, "the worker's list of what is left to do is malformed");
	}
	*out = d;
	return 0;
}
