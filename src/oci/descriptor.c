#include "oci/descriptor.h"

#include "base/mem.h"

#define OCI "application/vnd.oci.image."
#define DOCKER "application/vnd.docker."

static const struct media_type media_types[] = {
	{ OCI "index.v1+json", MEDIA_INDEX, COMPRESSION_NONE, false },
	{ OCI "manifest.v1+json", MEDIA_MANIFEST, COMPRESSION_NONE, false },
	{ OCI "config.v1+json", MEDIA_CONFIG, COMPRESSION_NONE, false },
	{ OCI "layer.v1.tar", MEDIA_LAYER, COMPRESSION_NONE, false },
	{ OCI "layer.v1.tar+gzip", MEDIA_LAYER, COMPRESSION_GZIP, false },
	{ OCI "layer.v1.tar+zstd", MEDIA_LAYER, COMPRESSION_ZSTD, false },
	{ DOCKER "distribution.manifest.list.v2+json", MEDIA_INDEX, COMPRESSION_NONE, true },
	{ DOCKER "distribution.manifest.v2+json", MEDIA_MANIFEST, COMPRESSION_NONE, true },
	{ DOCKER "container.image.v1+json", MEDIA_CONFIG, COMPRESSION_NONE, true },
	{ DOCKER "image.rootfs.diff.tar", MEDIA_LAYER, COMPRESSION_NONE, true },
	{ DOCKER "image.rootfs.diff.tar.gzip", MEDIA_LAYER, COMPRESSION_GZIP, true },
	{ DOCKER "image.rootfs.diff.tar.zstd", MEDIA_LAYER, COMPRESSION_ZSTD, true },
};

/* Types that people meet and that berth does not run, each with its own words. */
static const struct {
	const char *part; /* of the type's name */
	const char *what;
} refused[] = {
	{ "+encrypted", "encrypted layers are not supported" },
	{ "nondistributable", "foreign (non-distributable) layers are not supported" },
	{ "rootfs.foreign", "foreign layers are not supported" },
	{ "distribution.manifest.v1+",
	  "schema 1 images are not supported: build and push it anew" },
	{ "vnd.oci.artifact.", "an artifact is not an image" },
	{ "vnd.oci.empty.", "an artifact is not an image" },
	{ "vnd.cncf.helm.", "a Helm chart is not an image" },
	{ "vnd.docker.plugin.", "a Docker plugin is not an image" },
	{ "vnd.docker.ai.", "a model is not an image" },
};

static const char *const kind_names[] = {
	[MEDIA_UNKNOWN] = "unknown",     [MEDIA_INDEX] = "an index",
	[MEDIA_MANIFEST] = "a manifest", [MEDIA_CONFIG] = "an image config",
	[MEDIA_LAYER] = "a layer",
};

const struct media_type *media_type_find(const char *name, size_t len)
{
	const char *parameters = memchr(name, ';', len);

	if (parameters)
		len = (size_t)(parameters - name);
	while (len && (name[len - 1] == ' ' || name[len - 1] == '\t'))
		len--;
	for (size_t i = 0; i < ARRAY_LEN(media_types); i++)
		if (strlen(media_types[i].name) == len &&
		    memcmp(media_types[i].name, name, len) == 0)
			return &media_types[i];
	return NULL;
}

int media_type_refuse(const char *name, struct err *err)
{
	for (size_t i = 0; i < ARRAY_LEN(refused); i++)
		if (strstr(name, refused[i].part))
			return err_set(err, ERR_REFUSED, "media type \"%.120s\": %s", name,
				       refused[i].what);
	return err_set(err, ERR_REFUSED, "media type \"%.120s\" is not supported", name);
}

int descriptor_parse(const struct json *v, enum media_kind expected, int64_t max_size,
		     struct descriptor *out, struct err *err)
{
	struct descriptor d = { 0 };
	const char *name, *digest;
	const struct json *urls = NULL;

	if (!json_is_object(v))
		return err_set(err, ERR_PROTOCOL, "not an object");
	if (json_str(v, "mediaType", &name, err) < 0)
		return -1;
	d.media = media_type_find(name, strlen(name));
	if (!d.media)
		return media_type_refuse(name, err);
	if (d.media->kind != expected)
		return err_set(err, ERR_REFUSED, "media type \"%s\" is %s, not %s", name,
			       kind_names[d.media->kind], kind_names[expected]);
	if (json_int(v, "size", 0, max_size, &d.size, err) < 0 ||
	    json_str(v, "digest", &digest, err) < 0 ||
	    digest_parse(digest, strlen(digest), &d.digest, err) < 0 ||
	    json_opt_array(v, "urls", &urls, err) < 0)
		return -1;
	if (expected == MEDIA_LAYER && json_count(urls) > 0)
		return err_set(err, ERR_REFUSED, "foreign layers (\"urls\") are not supported");
	*out = d;
	return 0;
}
