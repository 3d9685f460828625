/*
 * JSON: cJSON behind a strict gate. json_parse() first scans the bytes itself
 * (RFC 8259, plus: UTF-8 valid, no duplicate names, no NUL even escaped, nothing
 * behind the value, depth and node caps), so that what cJSON is lax about never
 * reaches it. Values are read by typed getters; a wrong type is an error, not a
 * default. Names are case-sensitive. The only owner of cJSON.
 */
#ifndef BERTH_BASE_JSON_H
#define BERTH_BASE_JSON_H

#include "base/buf.h"

struct json; /* a value: object, array, string, number, true, false, null */

struct json_limits {
	size_t max_bytes;
	size_t max_depth; /* nested arrays and objects */
	size_t max_nodes; /* values in all */
};

/* 4 MiB, depth 64, 100,000 nodes: larger than any manifest that registries accept (4 MiB). */
extern const struct json_limits json_default_limits;

/* Pure scan without building anything; ERR_PROTOCOL or ERR_LIMIT. */
int json_scan(const void *bytes, size_t len, const struct json_limits *limits, struct err *err) MUST_CHECK;

/* *out is the caller's (json_free). ERR_PROTOCOL, ERR_LIMIT. */
int json_parse(const void *bytes, size_t len, const struct json_limits *limits, struct json **out,
	       struct err *err) MUST_CHECK;
void json_free(struct json *v);   /* NULL is fine */
void json_freep(struct json **v); /* for CLEANUP() */

/* The member, or NULL when absent or when obj is NULL or no object. */
const struct json *json_get(const struct json *obj, const char *name);
bool json_is_object(const struct json *v);
bool json_is_array(const struct json *v);
bool json_is_null(const struct json *v);
/* The value's own string, or NULL when it is no string (or v is NULL). */
const char *json_string(const struct json *v);

/*
 * Members by type. The plain forms: absent, null or of another type is
 * ERR_PROTOCOL, "NAME: missing" or "NAME: not a string". The opt forms leave
 * *out untouched when the member is absent or null. Strings point into the tree.
 * Integers: whole, within [min, max], magnitude below 2^53.
 */
int json_str(const struct json *obj, const char *name, const char **out, struct err *err) MUST_CHECK;
int json_opt_str(const struct json *obj, const char *name, const char **out, struct err *err) MUST_CHECK;
int json_int(const struct json *obj, const char *name, int64_t min, int64_t max, int64_t *out,
	     struct err *err) MUST_CHECK;
int json_opt_int(const struct json *obj, const char *name, int64_t min, int64_t max, int64_t *out,
		 struct err *err) MUST_CHECK;
int json_opt_bool(const struct json *obj, const char *name, bool *out, struct err *err) MUST_CHECK;
int json_object(const struct json *obj, const char *name, const struct json **out, struct err *err) MUST_CHECK;
int json_opt_object(const struct json *obj, const char *name, const struct json **out, struct err *err) MUST_CHECK;
int json_array(const struct json *obj, const char *name, const struct json **out, struct err *err) MUST_CHECK;
int json_opt_array(const struct json *obj, const char *name, const struct json **out, struct err *err) MUST_CHECK;

/* Elements of an array, members of an object: for (v = json_first(x); v; v = json_next(v)). */
const struct json *json_first(const struct json *v);
const struct json *json_next(const struct json *v);
const char *json_name(const struct json *member); /* NULL for an array's element */
size_t json_count(const struct json *v);

/* Building. Setters replace a member of that name. `take` arguments become the tree's. */
struct json *json_new_object(void);
struct json *json_new_array(void);
struct json *json_new_str(const char *s);
void json_set(struct json *obj, const char *name, struct json *take);
void json_set_str(struct json *obj, const char *name, const char *value); /* NULL value: sets null */
void json_set_int(struct json *obj, const char *name, int64_t value);
void json_set_bool(struct json *obj, const char *name, bool value);
void json_add(struct json *arr, struct json *take);
void json_add_str(struct json *arr, const char *value);
/* The member for changing, made as an empty object or array if absent. */
struct json *json_ensure_object(struct json *obj, const char *name);
struct json *json_ensure_array(struct json *obj, const char *name);
void json_remove(struct json *obj, const char *name);
struct json *json_clone(const struct json *v);

/* RFC 7396 merge patch: objects member by member, null removes, the rest replaces. Both are objects. */
void json_merge(struct json *target, const struct json *patch);

/* Text; caller frees. sorted: members in byte order at each level, for hashing. */
char *json_print(const struct json *v, bool pretty);
char *json_print_sorted(const struct json *v);

#endif
