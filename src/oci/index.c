#include "oci/manifest.h"

#include "base/mem.h"
#include "oci/document.h"

/* How many platforms a message lists. */
#define LISTED_MAX 16

/* BuildKit's attestations stand in an index as manifests that no machine runs. */
#define ATTESTATION_ANNOTATION "vnd.docker.reference.type"

static int copy_word(const struct json *v, const char *name, char *out, size_t size,
		     struct err *err)
{
	const char *s = "";

	if (json_opt_str(v, name, &s, err) < 0)
		return -1;
	if (strlen(s) >= size)
		return err_set(err, ERR_PROTOCOL, "%s: longer than %zu characters", name, size - 1);
	memcpy(out, s, strlen(s) + 1);
	return 0;
}

int document_platform(const struct json *v, struct platform *out, struct err *err)
{
	struct platform p = { 0 };

	if (copy_word(v, "os", p.os, sizeof p.os, err) < 0 ||
	    copy_word(v, "architecture", p.arch, sizeof p.arch, err) < 0 ||
	    copy_word(v, "variant", p.variant, sizeof p.variant, err) < 0)
		return -1;
	*out = p;
	return 0;
}

static int parse_platform(const struct json *v, struct index_entry *e, struct err *err)
{
	const struct json *platform = NULL, *annotations = NULL;
	const char *type = NULL;

	if (json_opt_object(v, "platform", &platform, err) < 0 ||
	    json_opt_object(v, "annotations", &annotations, err) < 0 ||
	    json_opt_str(annotations, ATTESTATION_ANNOTATION, &type, err) < 0)
		return -1;
	if (platform && document_platform(platform, &e->platform, err) < 0)
		return err_wrap(err, "platform");
	e->has_platform = e->platform.os[0] || e->platform.arch[0];
	e->attestation =
		type || (streq(e->platform.os, "unknown") && streq(e->platform.arch, "unknown"));
	return 0;
}

/*
 * An entry of a type we do not know is passed over, as image-index.md wants; one
 * whose type is known is held to it. *known tells which.
 */
static int parse_entry(const struct json *v, struct index_entry *out, bool *known, struct err *err)
{
	struct index_entry e = { 0 };
	const char *name;

	if (!json_is_object(v))
		return err_set(err, ERR_PROTOCOL, "not an object");
	if (json_str(v, "mediaType", &name, err) < 0)
		return -1;
	const struct media_type *media = media_type_find(name, strlen(name));
	*known = media;
	if (!media)
		return 0;
	if (descriptor_parse(v, media->kind == MEDIA_INDEX ? MEDIA_INDEX : MEDIA_MANIFEST,
			     (int64_t)MANIFEST_MAX_BYTES, &e.descriptor, err) < 0 ||
	    parse_platform(v, &e, err) < 0)
		return -1;
	*out = e;
	return 0;
}

static int parse_entries(const struct json *doc, struct index *x, struct err *err)
{
	const struct json *entries;
	size_t n, i = 0;
	bool known = false;

	if (document_array(doc, "manifests", INDEX_ENTRIES_MAX, &entries, &n, err) < 0)
		return -1;
	x->entries = xcalloc(n, sizeof *x->entries);
	for (const struct json *v = json_first(entries); v; v = json_next(v), i++) {
		if (parse_entry(v, &x->entries[x->n_entries], &known, err) < 0)
			return err_wrap(err, "manifests[%zu]", i);
		x->n_entries += known;
	}
	return 0;
}

int index_parse(const void *bytes, size_t len, const char *content_type, struct index *out,
		struct err *err)
{
	CLEANUP(json_freep) struct json *doc = NULL;
	CLEANUP(index_free) struct index x = { 0 };

	if (document_parse(bytes, len, content_type, MEDIA_INDEX, &doc, &x.media, err) < 0 ||
	    parse_entries(doc, &x, err) < 0)
		return err_wrap(err, "index");
	*out = x;
	x = (struct index){ 0 };
	return 0;
}

void index_free(struct index *x)
{
	free(x->entries);
	*x = (struct index){ 0 };
}

/* Images only: the attestations would just lengthen the list. */
static int refuse_all(const struct index *x, const struct platform *host, struct err *err)
{
	struct buf list = BUF_INIT(LISTED_MAX * (PLATFORM_STR_SIZE + 2));
	char want[PLATFORM_STR_SIZE], have[PLATFORM_STR_SIZE];
	size_t images = 0;

	for (size_t i = 0; i < x->n_entries; i++) {
		const struct index_entry *e = &x->entries[i];
		if (e->attestation || ++images > LISTED_MAX)
			continue;
		const char *name =
			e->has_platform ? platform_str(&e->platform, have) : "no platform";
		if (buf_printf(&list, err, "%s%s", images > 1 ? ", " : "", name) < 0)
			break; /* cannot be: LISTED_MAX of them fit */
	}
	err_set(err, ERR_REFUSED, "index: no image for %s; it has %s%s", platform_str(host, want),
		images ? buf_str(&list) : "none at all", images > LISTED_MAX ? " and more" : "");
	buf_free(&list);
	return -1;
}

int index_choose(const struct index *x, const struct platform *host, const struct index_entry **out,
		 struct err *err)
{
	const struct index_entry *best = NULL, *only = NULL;
	int best_match = 0;
	size_t images = 0;

	for (size_t i = 0; i < x->n_entries; i++) {
		const struct index_entry *e = &x->entries[i];
		if (e->attestation)
			continue;
		images++;
		only = e;
		int match = e->has_platform ? platform_match(host, &e->platform) : 0;
		if (match > best_match) {
			best = e;
			best_match = match;
		}
	}
	if (!best && images == 1 && !only->has_platform)
		best = only; /* the config says later what it is for */
	if (!best)
		return refuse_all(x, host, err);
	*out = best;
	return 0;
}
