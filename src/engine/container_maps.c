/* Options of the form KEY=VALUE or PATH:REST: labels, log options, tmpfs, volumes, GPUs. */
#include <unistd.h>

#include "base/mem.h"
#include "engine/container_options.h"

/* obj[KEY] = VALUE of "KEY<separator>VALUE"; without the separator the value is "". */
static void set_pair(struct json *obj, const char *text, char separator)
{
	const char *cut = strchrnul(text, separator);
	CLEANUP(freep) char *key = xstrndup(text, (size_t)(cut - text));

	json_set_str(obj, key, *cut ? cut + 1 : "");
}

int option_label(struct container_builder *b, const struct container_option *o, const char *text,
		 struct err *err)
{
	const char *key = text + strspn(text, " \t");
	size_t len = strcspn(key, "=");

	if (!len)
		return err_set(err, ERR_USAGE, "\"%s\" has no name", text);
	if (strcspn(key, " \t") < len)
		return err_set(err, ERR_USAGE, "\"%.*s\" has white space in its name", (int)len,
			       key);
	set_pair(json_ensure_object(b->body, o->key), text, '=');
	return 0;
}

int option_log_driver(struct container_builder *b, const struct container_option *o,
		      const char *text, struct err *err)
{
	(void)err; /* the engine knows its drivers */
	json_set_str(json_ensure_object(b->host, o->key), "Type", text);
	return 0;
}

int option_log_opt(struct container_builder *b, const struct container_option *o, const char *text,
		   struct err *err)
{
	struct json *config = json_ensure_object(b->host, o->key);

	if (streq(json_string(json_get(config, "Type")), "none"))
		return err_set(err, ERR_USAGE, "\"%s\": the log driver none takes no options",
			       text);
	set_pair(json_ensure_object(config, "Config"), text, '=');
	return 0;
}

int option_tmpfs(struct container_builder *b, const struct container_option *o, const char *text,
		 struct err *err)
{
	if (*text != '/')
		return err_set(err, ERR_USAGE, "\"%s\" is no absolute path", text);
	set_pair(json_ensure_object(b->host, o->key), text, ':');
	return 0;
}

static bool has_item(const struct json *array, const char *text)
{
	for (const struct json *v = json_first(array); v; v = json_next(v))
		if (streq(json_string(v), text))
			return true;
	return false;
}

/*
 * A bind whose source starts with a dot is meant from here; the engine takes absolute paths only.
 */
static char *absolute_bind(const char *text, struct err *err)
{
	CLEANUP(freep) char *here = NULL;
	const char *colon = strchr(text, ':');

	if (*text != '.')
		return xstrdup(text);
	CLEANUP(freep) char *source = xstrndup(text, (size_t)(colon - text));
	CLEANUP(freep) char *real = realpath(source, NULL);
	if (real)
		return xasprintf("%s%s", real, colon);
	if (!(here = getcwd(NULL, 0))) {
		(void)err_set(err, ERR_USAGE, "\"%s\": where \".\" is cannot be told", text);
		return NULL;
	}
	const char *rest = skip_prefix(source, "./");
	return xasprintf("%s/%s%s", here, rest ? rest : source, colon);
}

/*
 * docker/cli internal/volumespec: one section is an anonymous volume, two or three are
 * SOURCE:TARGET[:OPTIONS].
 */
int option_volume(struct container_builder *b, const struct container_option *o, const char *text,
		  struct err *err)
{
	size_t sections = 1, len = strlen(text);

	for (const char *p = text; (p = strchr(p, ':')); p++)
		sections++;
	if (!len || *text == ':' || text[len - 1] == ':' || strstr(text, "::"))
		return err_set(err, ERR_USAGE, "\"%s\" has an empty part", text);
	if (sections > 3)
		return err_set(err, ERR_USAGE, "\"%s\" is not [SOURCE:]TARGET[:OPTIONS]", text);
	const char *target = sections == 1 ? text : strchr(text, ':') + 1;
	if (*target != '/')
		return err_set(err, ERR_USAGE, "\"%s\": the path in the container is not absolute",
			       text);
	if (sections == 1) {
		json_set(json_ensure_object(b->body, "Volumes"), text, json_new_object());
		return 0;
	}
	CLEANUP(freep) char *bind = absolute_bind(text, err);
	if (!bind)
		return -1;
	struct json *binds = json_ensure_array(b->host, o->key);
	if (!has_item(binds, bind))
		json_add_str(binds, bind);
	return 0;
}

/* RFC 4180, one record: quoted fields may hold commas, "" is a quote in them. */
static int csv_fields(const char *text, struct strv *out, struct err *err)
{
	for (const char *p = text;; p++) {
		CLEANUP(freep) char *field = xmalloc(strlen(p) + 1);
		bool quoted = *p == '"';
		size_t n = 0;

		for (p += quoted; *p && (quoted || *p != ','); p++) {
			if (*p == '"' && !quoted)
				return err_set(err, ERR_USAGE, "\"%s\": a quote inside a field",
					       text);
			if (*p == '"' && *++p != '"') {
				quoted = false;
				if (*p && *p != ',')
					return err_set(err, ERR_USAGE,
						       "\"%s\": something behind a quote", text);
				break;
			}
			field[n++] = *p;
		}
		if (quoted)
			return err_set(err, ERR_USAGE, "\"%s\": a quote is not closed", text);
		field[n] = '\0';
		strv_add(out, field);
		if (!*p)
			return 0;
	}
}

static struct json *split_commas(const char *text)
{
	struct json *list = json_new_array();

	for (;;) {
		const char *comma = strchrnul(text, ',');
		CLEANUP(freep) char *item = xstrndup(text, (size_t)(comma - text));
		json_add_str(list, item);
		if (!*comma)
			return list;
		text = comma + 1;
	}
}

static int gpu_count(struct json *request, const char *text, struct err *err)
{
	int64_t count = -1; /* all */

	if (!streq(text, "all") && (option_integer(text, &count, err) < 0 || count < -1))
		return err_set(err, ERR_USAGE, "\"%s\" is neither all nor a number", text);
	json_set_int(request, "Count", count);
	return 0;
}

static int gpu_driver(struct json *request, const char *text, struct err *err)
{
	(void)err; /* the engine knows its drivers */
	json_set_str(request, "Driver", text);
	return 0;
}

static int gpu_device(struct json *request, const char *text, struct err *err)
{
	(void)err; /* indices or UUIDs: the driver's business */
	json_set(request, "DeviceIDs", split_commas(text));
	return 0;
}

static int gpu_capabilities(struct json *request, const char *text, struct err *err)
{
	struct json *list = split_commas(text);

	(void)err; /* the driver's business */
	json_add_str(list, "gpu");
	json_set(request, "Capabilities", json_new_array());
	json_add(json_ensure_array(request, "Capabilities"), list);
	return 0;
}

static int gpu_options(struct json *request, const char *text, struct err *err)
{
	CLEANUP(strv_free) struct strv pairs = { 0 };

	if (csv_fields(text, &pairs, err) < 0)
		return -1;
	for (size_t i = 0; i < pairs.n; i++)
		set_pair(json_ensure_object(request, "Options"), pairs.v[i], '=');
	return 0;
}

static int gpu_field(struct json *request, const char *text, struct err *err)
{
	static const struct {
		const char *name;
		const char *member;
		int (*set)(struct json *, const char *, struct err *);
	} keys[] = {
		{ "driver", "Driver", gpu_driver },
		{ "count", "Count", gpu_count },
		{ "device", "DeviceIDs", gpu_device },
		{ "capabilities", "Capabilities", gpu_capabilities },
		{ "options", "Options", gpu_options },
	};
	const char *equals = strchr(text, '=');
	const char *value = equals ? equals + 1 : text;
	size_t len = equals ? (size_t)(equals - text) : strlen("count");
	const char *name = equals ? text : "count";

	for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
		if (strlen(keys[i].name) != len || memcmp(keys[i].name, name, len) != 0)
			continue;
		if (json_get(request, keys[i].member))
			return err_set(err, ERR_USAGE, "\"%s\" is given twice", keys[i].name);
		return keys[i].set(request, value, err);
	}
	return err_set(err, ERR_USAGE, "\"%s\": no such key", text);
}

/* "all", "2", "device=0", "\"device=0,1\",capabilities=utility" (docker/cli opts/gpus.go). */
int option_gpus(struct container_builder *b, const struct container_option *o, const char *text,
		struct err *err)
{
	CLEANUP(strv_free) struct strv fields = { 0 };
	CLEANUP(json_freep) struct json *request = json_new_object();

	if (csv_fields(text, &fields, err) < 0)
		return -1;
	for (size_t i = 0; i < fields.n; i++)
		if (gpu_field(request, fields.v[i], err) < 0)
			return -1;
	if (!json_get(request, "Count") && !json_get(request, "DeviceIDs"))
		json_set_int(request, "Count", 1);
	if (!json_get(request, "Capabilities"))
		json_add(json_ensure_array(request, "Capabilities"), split_commas("gpu"));
	(void)json_ensure_object(request, "Options"); /* Docker sends {}, never null */
	json_add(json_ensure_array(b->host, o->key), STEAL(request));
	return 0;
}
