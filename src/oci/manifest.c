#include "oci/manifest.h"

#include "base/mem.h"
#include "oci/document.h"

/* Members that say what a document is; each kind refuses the other's (CVE-2021-41190). */
static const char *const manifest_only[] = { "layers", "config" };
static const char *const index_only[] = { "manifests" };
static const char *const schema1_only[] = { "fsLayers" };

static int refuse_members(const struct json *doc, const char *what, const char *const *names,
			  size_t n, struct err *err)
{
	for (size_t i = 0; i < n; i++)
		if (json_get(doc, names[i]))
			return err_set(err, ERR_REFUSED,
				       "%s with \"%s\": it could be read in two ways", what,
				       names[i]);
	return 0;
}

static int check_members(const struct json *doc, enum media_kind kind, struct err *err)
{
	const char *what = kind == MEDIA_INDEX ? "an index" : "a manifest";

	if (refuse_members(doc, what, schema1_only, ARRAY_LEN(schema1_only), err) < 0)
		return -1;
	return kind == MEDIA_INDEX
		       ? refuse_members(doc, what, manifest_only, ARRAY_LEN(manifest_only), err)
		       : refuse_members(doc, what, index_only, ARRAY_LEN(index_only), err);
}

/* Schema 1 says schemaVersion 1 and has no mediaType of its own. */
static int check_version(const struct json *doc, struct err *err)
{
	int64_t version;

	if (json_int(doc, "schemaVersion", 0, INT32_MAX, &version, err) < 0)
		return -1;
	if (version == 1)
		return err_set(err, ERR_REFUSED,
			       "schema 1 images are not supported: build and push it anew");
	if (version != 2)
		return err_set(err, ERR_REFUSED, "schemaVersion %d is not supported, only 2",
			       (int)version);
	return 0;
}

int document_media_type(const struct json *doc, const char *content_type,
			const struct media_type **out, struct err *err)
{
	const struct media_type *told =
		content_type ? media_type_find(content_type, strlen(content_type)) : NULL;
	const struct media_type *own = NULL;
	const char *name = NULL;

	if (!json_is_object(doc))
		return err_set(err, ERR_PROTOCOL, "not an object");
	if (json_opt_str(doc, "mediaType", &name, err) < 0)
		return -1;
	if (name && *name) {
		own = media_type_find(name, strlen(name));
		if (!own)
			return media_type_refuse(name, err);
	}
	if (check_version(doc, err) < 0)
		return -1;
	if (own && told && own != told)
		return err_set(err, ERR_REFUSED,
			       "its mediaType is \"%s\", but it was sent as \"%s\"", own->name,
			       told->name);
	const struct media_type *media = own ? own : told;
	if (!media && content_type)
		return media_type_refuse(content_type, err);
	if (!media)
		return err_set(err, ERR_REFUSED,
			       "neither a mediaType nor a Content-Type says what it is");
	if (media->kind != MEDIA_INDEX && media->kind != MEDIA_MANIFEST)
		return err_set(err, ERR_REFUSED, "\"%s\" is neither a manifest nor an index",
			       media->name);
	if (check_members(doc, media->kind, err) < 0)
		return -1;
	*out = media;
	return 0;
}

int document_parse(const void *bytes, size_t len, const char *content_type, enum media_kind kind,
		   struct json **doc_out, const struct media_type **media_out, struct err *err)
{
	struct json_limits limits = json_default_limits;
	CLEANUP(json_freep) struct json *doc = NULL;
	const struct media_type *media;

	limits.max_bytes = MANIFEST_MAX_BYTES;
	if (json_parse(bytes, len, &limits, &doc, err) < 0 ||
	    document_media_type(doc, content_type, &media, err) < 0)
		return -1;
	if (media->kind != kind)
		return err_set(err, ERR_REFUSED, "\"%s\" came where %s was expected", media->name,
			       kind == MEDIA_INDEX ? "an index" : "a manifest");
	*doc_out = STEAL(doc);
	*media_out = media;
	return 0;
}

int document_array(const struct json *doc, const char *name, size_t max, const struct json **out,
		   size_t *n, struct err *err)
{
	const struct json *v = json_get(doc, name);

	*out = NULL;
	*n = 0;
	if (v && json_is_null(v)) /* how Go writes an empty list */
		return 0;
	if (json_array(doc, name, out, err) < 0)
		return -1;
	*n = json_count(*out);
	if (*n > max)
		return err_set(err, ERR_LIMIT, "%s: %zu entries; at most %zu are read", name, *n,
			       max);
	return 0;
}

/* An artifact is told from an image by its config's type (image-spec manifest.md, artifact usage).
 */
static int parse_config(const struct json *doc, struct manifest *m, struct err *err)
{
	const char *artifact = NULL;
	const struct json *config;

	if (json_opt_str(doc, "artifactType", &artifact, err) < 0 ||
	    json_object(doc, "config", &config, err) < 0)
		return -1;
	if (descriptor_parse(config, MEDIA_CONFIG, (int64_t)CONFIG_MAX_BYTES, &m->config, err) == 0)
		return 0;
	if (artifact && *artifact && err->kind == ERR_REFUSED)
		return err_set(err, ERR_REFUSED, "an artifact of type \"%.120s\" is not an image",
			       artifact);
	return err_wrap(err, "config");
}

static int parse_layers(const struct json *doc, struct manifest *m, struct err *err)
{
	const struct json *layers;
	size_t n;

	if (document_array(doc, "layers", MANIFEST_LAYERS_MAX, &layers, &n, err) < 0)
		return -1;
	m->layers = xcalloc(n, sizeof *m->layers);
	for (const struct json *v = json_first(layers); v; v = json_next(v), m->n_layers++)
		if (descriptor_parse(v, MEDIA_LAYER, BLOB_MAX_BYTES, &m->layers[m->n_layers], err) <
		    0)
			return err_wrap(err, "layers[%zu]", m->n_layers);
	return 0;
}

int manifest_parse(const void *bytes, size_t len, const char *content_type, struct manifest *out,
		   struct err *err)
{
	CLEANUP(json_freep) struct json *doc = NULL;
	CLEANUP(manifest_free) struct manifest m = { 0 };

	if (document_parse(bytes, len, content_type, MEDIA_MANIFEST, &doc, &m.media, err) < 0 ||
	    parse_config(doc, &m, err) < 0 || parse_layers(doc, &m, err) < 0)
		return err_wrap(err, "manifest");
	*out = m;
	m = (struct manifest){ 0 };
	return 0;
}

void manifest_free(struct manifest *m)
{
	free(m->layers);
	*m = (struct manifest){ 0 };
}
