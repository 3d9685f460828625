#include "engine/load_temporary.h"

#include "base/hash.h"
#include "base/mem.h"
#include "engine/holder.h"

static int read_config(const struct store_document *config, struct json **out, struct err *err)
{
	if (json_parse(config->bytes, config->len, &json_default_limits, out, err) < 0)
		return err_wrap(err, "the image's config");
	return 0;
}

/* What the engine looks at before it takes an image; nobody runs this one. */
static void copy_platform(const struct json *config, struct json *to)
{
	static const char *const names[] = { "architecture", "os", "os.version", "variant" };

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (json_string(json_get(config, names[i])))
			json_set_str(to, names[i], json_string(json_get(config, names[i])));
}

int load_temporary_config(const struct store_image *image, size_t n, struct store_document *out, char **text,
			  struct err *err)
{
	CLEANUP(json_freep) struct json *config = NULL;
	CLEANUP(json_freep) struct json *made = json_new_object();
	char holder[HOLDER_SIZE], hex[SHA256_HEX_SIZE];

	if (holder_self(holder, err) < 0 || read_config(&image->config, &config, err) < 0)
		return -1;
	copy_platform(config, made);
	json_set_str(json_ensure_object(json_ensure_object(made, "config"), "Labels"), LOAD_TEMPORARY_LABEL, holder);
	struct json *rootfs = json_ensure_object(made, "rootfs");
	json_set_str(rootfs, "type", "layers");
	for (size_t i = 0; i < n; i++)
		json_add_str(json_ensure_array(rootfs, "diff_ids"), image->layers[i].diff_id);
	*text = json_print(made, false);
	*out = (struct store_document){ .media_type = image->config.media_type, .bytes = *text, .len = strlen(*text) };
	sha256_hex_of(out->bytes, out->len, hex);
	(void)snprintf(out->digest, sizeof out->digest, "sha256:%s", hex);
	return 0;
}

/* Named by somebody, who may have built upon it: no longer ours. Old engines list <none>:<none>. */
static bool has_name(const struct json *image)
{
	const struct json *tags = json_get(image, "RepoTags");

	for (const struct json *v = json_first(tags); v; v = json_next(v))
		if (json_string(v) && !streq(json_string(v), "<none>:<none>"))
			return true;
	return false;
}

static bool may_go(const struct json *image, const char *self, bool own)
{
	const char *holder = json_string(json_get(json_get(image, "Labels"), LOAD_TEMPORARY_LABEL));

	if (!holder || has_name(image))
		return false;
	if (streq(holder, self))
		return own;
	enum holder_state state = holder_judge(holder);
	return state == HOLDER_GONE || state == HOLDER_OTHER_BOOT;
}

/* Gone already, or in use by whoever found it useful: either way not ours to worry about. */
static int remove_one(struct docker *d, const char *id, int64_t timeout_ms, struct err *err)
{
	CLEANUP(freep) char *escaped = docker_escape(id);
	CLEANUP(freep) char *path = xasprintf("/images/%s?noprune=1", escaped);

	if (docker_call_for(d, "DELETE", path, NULL, timeout_ms, NULL, err) == 0)
		return 0;
	if (err->kind != ERR_NOT_FOUND && err->kind != ERR_CONFLICT)
		return err_wrap(err, "remove temporary image %.19s", id);
	err_clear(err);
	return 0;
}

int load_temporary_remove(struct docker *d, bool own, int64_t timeout_ms, struct err *err)
{
	CLEANUP(freep) char *filters = docker_escape("{\"label\":[\"" LOAD_TEMPORARY_LABEL "\"]}");
	CLEANUP(freep) char *path = xasprintf("/images/json?all=1&filters=%s", filters);
	CLEANUP(json_freep) struct json *list = NULL;
	char self[HOLDER_SIZE];

	if (holder_self(self, err) < 0 || docker_call_for(d, "GET", path, NULL, timeout_ms, &list, err) < 0)
		return -1;
	for (const struct json *v = json_first(list); v; v = json_next(v)) {
		const char *id;
		if (!may_go(v, self, own))
			continue;
		if (json_str(v, "Id", &id, err) < 0 || remove_one(d, id, timeout_ms, err) < 0)
			return -1;
	}
	return 0;
}
