#include "base/json.h"

#include <assert.h>
#include <inttypes.h>

#include <cjson/cJSON.h>

#include "base/mem.h"

/* Whole numbers up to here are exact in the double that cJSON keeps (RFC 8259 §6). */
#define INTEGER_MAX ((INT64_C(1) << 53) - 1)

/* struct json is never defined: it is cJSON's node under a name of ours. */
static cJSON *node(const struct json *v)
{
	return (cJSON *)v;
}

static struct json *made(cJSON *v)
{
	if (!v)
		abort(); /* cJSON fails to build only for lack of memory */
	return (struct json *)v;
}

int json_parse(const void *bytes, size_t len, const struct json_limits *limits, struct json **out,
	       struct err *err)
{
	if (json_scan(bytes, len, limits, err) < 0)
		return -1;
	cJSON *v = cJSON_ParseWithLength(bytes, len);
	if (!v)
		return err_set(err, ERR_PROTOCOL, "not JSON that cJSON reads");
	*out = (struct json *)v;
	return 0;
}

void json_free(struct json *v)
{
	cJSON_Delete(node(v));
}

void json_freep(struct json **v)
{
	json_free(*v);
}

const struct json *json_get(const struct json *obj, const char *name)
{
	if (!json_is_object(obj))
		return NULL;
	return (const struct json *)cJSON_GetObjectItemCaseSensitive(node(obj), name);
}

bool json_is_object(const struct json *v)
{
	return cJSON_IsObject(node(v));
}

bool json_is_array(const struct json *v)
{
	return cJSON_IsArray(node(v));
}

bool json_is_null(const struct json *v)
{
	return cJSON_IsNull(node(v));
}

const char *json_string(const struct json *v)
{
	return cJSON_GetStringValue(node(v));
}

/* The member; *out is left as it is when the member is absent or null and that is allowed. */
static int typed(const struct json *obj, const char *name, bool (*is)(const struct json *),
		 const char *type, bool optional, const struct json **out, struct err *err)
{
	const struct json *v = json_get(obj, name);

	if (!v || json_is_null(v)) {
		if (!optional)
			return err_set(err, ERR_PROTOCOL, "%s: missing", name);
		return 0;
	}
	if (!is(v))
		return err_set(err, ERR_PROTOCOL, "%s: not %s", name, type);
	*out = v;
	return 0;
}

static bool is_string(const struct json *v)
{
	return cJSON_IsString(node(v));
}

static bool is_number(const struct json *v)
{
	return cJSON_IsNumber(node(v));
}

static bool is_bool(const struct json *v)
{
	return cJSON_IsBool(node(v));
}

static int get_str(const struct json *obj, const char *name, bool optional, const char **out,
		   struct err *err)
{
	const struct json *v = NULL;

	if (typed(obj, name, is_string, "a string", optional, &v, err) < 0)
		return -1;
	if (v)
		*out = json_string(v);
	return 0;
}

int json_str(const struct json *obj, const char *name, const char **out, struct err *err)
{
	return get_str(obj, name, false, out, err);
}

int json_opt_str(const struct json *obj, const char *name, const char **out, struct err *err)
{
	return get_str(obj, name, true, out, err);
}

static int get_int(const struct json *obj, const char *name, bool optional, int64_t min,
		   int64_t max, int64_t *out, struct err *err)
{
	const struct json *v = NULL;

	if (typed(obj, name, is_number, "a number", optional, &v, err) < 0)
		return -1;
	if (!v)
		return 0;
	double d = node(v)->valuedouble;
	if (d > (double)INTEGER_MAX || d < -(double)INTEGER_MAX)
		return err_set(err, ERR_PROTOCOL, "%s: %.17g is too large", name, d);
	if (d != (double)(int64_t)d)
		return err_set(err, ERR_PROTOCOL, "%s: %.17g is not a whole number", name, d);
	if ((int64_t)d < min || (int64_t)d > max)
		return err_set(err, ERR_PROTOCOL,
			       "%s: %" PRId64 " is not between %" PRId64 " and %" PRId64, name,
			       (int64_t)d, min, max);
	*out = (int64_t)d;
	return 0;
}

int json_int(const struct json *obj, const char *name, int64_t min, int64_t max, int64_t *out,
	     struct err *err)
{
	return get_int(obj, name, false, min, max, out, err);
}

int json_opt_int(const struct json *obj, const char *name, int64_t min, int64_t max, int64_t *out,
		 struct err *err)
{
	return get_int(obj, name, true, min, max, out, err);
}

int json_opt_bool(const struct json *obj, const char *name, bool *out, struct err *err)
{
	const struct json *v = NULL;

	if (typed(obj, name, is_bool, "true or false", true, &v, err) < 0)
		return -1;
	if (v)
		*out = cJSON_IsTrue(node(v));
	return 0;
}

int json_object(const struct json *obj, const char *name, const struct json **out, struct err *err)
{
	return typed(obj, name, json_is_object, "an object", false, out, err);
}

int json_array(const struct json *obj, const char *name, const struct json **out, struct err *err)
{
	return typed(obj, name, json_is_array, "an array", false, out, err);
}

int json_opt_object(const struct json *obj, const char *name, const struct json **out,
		    struct err *err)
{
	return typed(obj, name, json_is_object, "an object", true, out, err);
}

int json_opt_array(const struct json *obj, const char *name, const struct json **out,
		   struct err *err)
{
	return typed(obj, name, json_is_array, "an array", true, out, err);
}

const struct json *json_first(const struct json *v)
{
	return v ? (const struct json *)node(v)->child : NULL;
}

const struct json *json_next(const struct json *v)
{
	return (const struct json *)node(v)->next;
}

const char *json_name(const struct json *member)
{
	return node(member)->string;
}

size_t json_count(const struct json *v)
{
	size_t n = 0;

	for (const struct json *i = json_first(v); i; i = json_next(i))
		n++;
	return n;
}

struct json *json_new_object(void)
{
	return made(cJSON_CreateObject());
}

struct json *json_new_array(void)
{
	return made(cJSON_CreateArray());
}

struct json *json_new_str(const char *s)
{
	return made(s ? cJSON_CreateString(s) : cJSON_CreateNull());
}

void json_set(struct json *obj, const char *name, struct json *take)
{
	bool done = json_get(obj, name)
			    ? cJSON_ReplaceItemInObjectCaseSensitive(node(obj), name, node(take))
			    : cJSON_AddItemToObject(node(obj), name, node(take));

	if (!done)
		abort(); /* no memory for the name */
}

void json_set_str(struct json *obj, const char *name, const char *value)
{
	json_set(obj, name, json_new_str(value));
}

void json_set_int(struct json *obj, const char *name, int64_t value)
{
	json_set(obj, name, made(cJSON_CreateNumber((double)value)));
}

void json_set_bool(struct json *obj, const char *name, bool value)
{
	json_set(obj, name, made(cJSON_CreateBool(value)));
}

void json_add(struct json *arr, struct json *take)
{
	if (!cJSON_AddItemToArray(node(arr), node(take)))
		abort(); /* both are there, or the caller is wrong */
}

void json_add_str(struct json *arr, const char *value)
{
	json_add(arr, json_new_str(value));
}

struct json *json_ensure_object(struct json *obj, const char *name)
{
	if (!json_is_object(json_get(obj, name)))
		json_set(obj, name, json_new_object());
	return (struct json *)json_get(obj, name);
}

struct json *json_ensure_array(struct json *obj, const char *name)
{
	if (!json_is_array(json_get(obj, name)))
		json_set(obj, name, json_new_array());
	return (struct json *)json_get(obj, name);
}

void json_remove(struct json *obj, const char *name)
{
	cJSON_DeleteItemFromObjectCaseSensitive(node(obj), name);
}

struct json *json_clone(const struct json *v)
{
	return made(cJSON_Duplicate(node(v), true));
}

void json_merge(struct json *target, const struct json *patch)
{
	assert(json_is_object(target) && json_is_object(patch));
	for (const struct json *v = json_first(patch); v; v = json_next(v)) {
		const char *name = json_name(v);
		if (json_is_null(v))
			json_remove(target, name);
		else if (json_is_object(v)) /* into {} where there was none: its own nulls go (RFC
					       7396 §2) */
			json_merge(json_ensure_object(target, name), v);
		else
			json_set(target, name, json_clone(v));
	}
}
