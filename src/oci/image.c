#include "oci/registry.h"

#include "base/mem.h"

void image_free(struct image *image)
{
	document_free(&image->top);
	document_free(&image->manifest);
	document_free(&image->config);
	manifest_free(&image->parsed);
	image_config_free(&image->image_config);
	*image = (struct image){ 0 };
}

static void document_copy(struct document *to, const struct document *from)
{
	*to = *from;
	to->bytes = xmalloc(from->len + 1);
	memcpy(to->bytes, from->bytes, from->len);
	to->bytes[from->len] = '\0';
}

/* What the index said of the document that its digest named. */
static int check_descriptor(const struct descriptor *said, const struct document *got,
			    struct err *err)
{
	if (said->size != got->descriptor.size)
		return err_set(err, ERR_REFUSED, "%s has %lld bytes, the index says %lld",
			       said->digest.text, (long long)got->descriptor.size,
			       (long long)said->size);
	if (said->media != got->descriptor.media)
		return err_set(err, ERR_REFUSED, "%s is a %s, the index says %s", said->digest.text,
			       got->descriptor.media->name, said->media->name);
	return 0;
}

/* *at, an index, becomes the document it has for the platform; *told: it says that it is for that. */
static int descend(struct registry *r, const struct platform *platform, struct document *at,
		   bool *told, struct err *err)
{
	CLEANUP(index_free) struct index index = { 0 };
	CLEANUP(document_free) struct document next = { 0 };
	const struct index_entry *entry;

	if (index_parse(at->bytes, at->len, at->descriptor.media->name, &index, err) < 0 ||
	    index_choose(&index, platform, &entry, err) < 0 ||
	    registry_manifest(r, entry->descriptor.digest.text, &next, err) < 0 ||
	    check_descriptor(&entry->descriptor, &next, err) < 0)
		return -1;
	*told = entry->has_platform;
	document_free(at);
	*at = next;
	next = (struct document){ 0 };
	return 0;
}

/*
 * An image that no index gives a platform is for whatever its config says; one that says nothing
 * may be for anything. The index's word is enough, as for docker: configs are often copied without
 * a thought.
 */
static int check_platform(const struct platform *host, const struct platform *image,
			  struct err *err)
{
	char want[PLATFORM_STR_SIZE], have[PLATFORM_STR_SIZE];

	if (!image->os[0] || !image->arch[0] || platform_match(host, image) > 0)
		return 0;
	(void)err_set(err, ERR_REFUSED, "the image is for %s, not for %s",
		      platform_str(image, have), platform_str(host, want));
	return err_hint(err, "build it for %s, or give --platform", want);
}

static int fetch_config(struct registry *r, struct image *image, struct err *err)
{
	if (manifest_parse(image->manifest.bytes, image->manifest.len,
			   image->manifest.descriptor.media->name, &image->parsed, err) < 0)
		return -1;
	if (registry_small_blob(r, &image->parsed.config, &image->config, err) < 0)
		return err_wrap(err, "config");
	return image_config_parse(image->config.bytes, image->config.len, image->parsed.n_layers,
				  &image->image_config, err);
}

static int resolve(struct registry *r, const struct platform *platform, struct image *image,
		   struct err *err)
{
	bool told = false;

	if (registry_resolve_top(r, &image->top, err) < 0)
		return -1;
	document_copy(&image->manifest, &image->top);
	for (int depth = 0; image->manifest.descriptor.media->kind == MEDIA_INDEX; depth++) {
		if (depth == INDEX_DEPTH_MAX)
			return err_set(err, ERR_REFUSED, "an index in an index in an index");
		if (descend(r, platform, &image->manifest, &told, err) < 0)
			return -1;
	}
	if (fetch_config(r, image, err) < 0)
		return -1;
	return told ? 0 : check_platform(platform, &image->image_config.platform, err);
}

int registry_resolve(struct registry *r, const struct platform *platform, struct image *out,
		     struct err *err)
{
	CLEANUP(image_free) struct image image = { 0 };

	if (resolve(r, platform, &image, err) < 0)
		return -1;
	*out = image;
	image = (struct image){ 0 };
	return 0;
}
