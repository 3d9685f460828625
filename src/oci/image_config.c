#include "oci/manifest.h"

#include "base/mem.h"
#include "oci/document.h"

static int parse_diff_ids(const struct json *doc, size_t n_layers, struct image_config *c,
			  struct err *err)
{
	const struct json *rootfs = NULL, *ids = NULL;
	const char *type = "layers";

	/* Absent or null is how Go writes an image without layers. */
	if (json_opt_object(doc, "rootfs", &rootfs, err) < 0)
		return -1;
	if (json_opt_str(rootfs, "type", &type, err) < 0 ||
	    json_opt_array(rootfs, "diff_ids", &ids, err) < 0)
		return err_wrap(err, "rootfs");
	if (!streq(type, "layers"))
		return err_set(err, ERR_REFUSED, "rootfs: type \"%.40s\" is not supported", type);
	size_t n = json_count(ids);
	if (n != n_layers)
		return err_set(err, ERR_REFUSED, "rootfs: %zu diff_ids for %zu layers", n,
			       n_layers);
	c->diff_ids = xcalloc(n, sizeof *c->diff_ids);
	for (const struct json *v = json_first(ids); v; v = json_next(v), c->n_diff_ids++) {
		const char *s = json_string(v);
		if (!s)
			return err_set(err, ERR_PROTOCOL, "rootfs: diff_ids[%zu]: not a string",
				       c->n_diff_ids);
		if (digest_parse(s, strlen(s), &c->diff_ids[c->n_diff_ids], err) < 0)
			return err_wrap(err, "rootfs: diff_ids[%zu]", c->n_diff_ids);
	}
	return 0;
}

/* Docker probes for these two; NONE, an empty list and other words mean no probe. */
static int parse_healthcheck(const struct json *doc, struct image_config *c, struct err *err)
{
	const struct json *config = NULL, *check = NULL, *test = NULL;

	if (json_opt_object(doc, "config", &config, err) < 0)
		return -1;
	if (json_opt_object(config, "Healthcheck", &check, err) < 0 ||
	    json_opt_array(check, "Test", &test, err) < 0)
		return err_wrap(err, "config");
	const char *how = json_string(json_first(test));
	c->has_healthcheck = streq(how, "CMD") || streq(how, "CMD-SHELL");
	return 0;
}

int image_config_parse(const void *bytes, size_t len, size_t n_layers, struct image_config *out,
		       struct err *err)
{
	struct json_limits limits = json_default_limits;
	CLEANUP(image_config_free) struct image_config c = { 0 };

	limits.max_bytes = CONFIG_MAX_BYTES;
	if (json_parse(bytes, len, &limits, &c.config, err) < 0)
		return err_wrap(err, "image config");
	if (!json_is_object(c.config))
		return err_set(err, ERR_PROTOCOL, "image config: not an object");
	if (document_platform(c.config, &c.platform, err) < 0 ||
	    parse_diff_ids(c.config, n_layers, &c, err) < 0 ||
	    parse_healthcheck(c.config, &c, err) < 0)
		return err_wrap(err, "image config");
	*out = c;
	c = (struct image_config){ 0 };
	return 0;
}

void image_config_free(struct image_config *c)
{
	free(c->diff_ids);
	json_free(c->config);
	*c = (struct image_config){ 0 };
}
