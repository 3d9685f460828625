/* JSON values: typed getters, building, merging. */
#include "table.h"

#include "base/json.h"

#define NO_VALUE 4711

static void integers(void **state)
{
	static const struct {
		const char *doc;
		int64_t min, max, value;
		const char *why, *opt_why; /* NULL: read */
	} rows[] = {
		{ "{\"n\":0}", 0, 10, 0, NULL, NULL },
		{ "{\"n\":10}", 0, 10, 10, NULL, NULL },
		{ "{\"n\":1e1}", 0, 10, 10, NULL, NULL },
		{ "{\"n\":-5}", -5, 0, -5, NULL, NULL },
		{ "{\"n\":9007199254740991}", 0, INT64_MAX, INT64_C(9007199254740991), NULL, NULL },
		{ "{\"n\":-1}", 0, 10, NO_VALUE, "n: -1 is not between 0 and 10", "n: -1 is not" },
		{ "{\"n\":11}", 0, 10, NO_VALUE, "n: 11 is not between 0 and 10", "n: 11 is not" },
		{ "{\"n\":1.5}", 0, 10, NO_VALUE, "n: 1.5 is not a whole number", "n: 1.5 is not" },
		{ "{\"n\":9007199254740992}", 0, INT64_MAX, NO_VALUE,
		  "n: 9007199254740992 is too large", "too large" },
		{ "{\"n\":9007199254740993}", 0, INT64_MAX, NO_VALUE, "too large", "too large" },
		{ "{\"n\":-9007199254740993}", INT64_MIN, 0, NO_VALUE, "too large", "too large" },
		{ "{\"n\":1e308}", 0, INT64_MAX, NO_VALUE, "too large", "too large" },
		{ "{\"n\":\"12\"}", 0, 100, NO_VALUE, "n: not a number", "n: not a number" },
		{ "{\"n\":true}", 0, 100, NO_VALUE, "n: not a number", "n: not a number" },
		{ "{\"n\":[1]}", 0, 100, NO_VALUE, "n: not a number", "n: not a number" },
		{ "{\"n\":null}", 0, 100, NO_VALUE, "n: missing", NULL },
		{ "{}", 0, 100, NO_VALUE, "n: missing", NULL },
		{ "{\"N\":1}", 0, 100, NO_VALUE, "n: missing", NULL },
		{ "[1]", 0, 100, NO_VALUE, "n: missing", NULL },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		CLEANUP(json_freep) struct json *v = NULL;
		struct err err = { 0 };
		int64_t plain = NO_VALUE, opt = NO_VALUE;

		assert_int_equal(json_parse(rows[i].doc, strlen(rows[i].doc), &json_default_limits,
					    &v, &err),
				 0);
		int result = json_int(v, "n", rows[i].min, rows[i].max, &plain, &err);
		if (rows[i].why)
			row_refused(rows[i].doc, result, ERR_PROTOCOL, rows[i].why, &err);
		else
			(void)row_ok(rows[i].doc, result, &err);
		result = json_opt_int(v, "n", rows[i].min, rows[i].max, &opt, &err);
		if (rows[i].opt_why)
			row_refused(rows[i].doc, result, ERR_PROTOCOL, rows[i].opt_why, &err);
		else
			(void)row_ok(rows[i].doc, result, &err);
		row_int(rows[i].doc, "json_int", rows[i].value, plain);
		row_int(rows[i].doc, "json_opt_int", rows[i].value, opt);
	}
	table_end();
}

enum getter { STR, OPT_STR, OBJECT, OPT_OBJECT, ARRAY, OPT_ARRAY, OPT_BOOL };

static int get(enum getter getter, const struct json *v, struct err *err)
{
	const struct json *container;
	const char *s;
	bool b;

	switch (getter) {
	case STR:
		return json_str(v, "m", &s, err);
	case OPT_STR:
		return json_opt_str(v, "m", &s, err);
	case OBJECT:
		return json_object(v, "m", &container, err);
	case OPT_OBJECT:
		return json_opt_object(v, "m", &container, err);
	case ARRAY:
		return json_array(v, "m", &container, err);
	case OPT_ARRAY:
		return json_opt_array(v, "m", &container, err);
	default:
		return json_opt_bool(v, "m", &b, err);
	}
}

static void a_wrong_type_is_an_error(void **state)
{
	static const struct {
		enum getter getter;
		const char *name, *good, *not ;
		bool optional;
	} getters[] = {
		{ STR, "json_str", "{\"m\":\"\"}", "m: not a string", false },
		{ OPT_STR, "json_opt_str", "{\"m\":\"\"}", "m: not a string", true },
		{ OBJECT, "json_object", "{\"m\":{}}", "m: not an object", false },
		{ OPT_OBJECT, "json_opt_object", "{\"m\":{}}", "m: not an object", true },
		{ ARRAY, "json_array", "{\"m\":[]}", "m: not an array", false },
		{ OPT_ARRAY, "json_opt_array", "{\"m\":[]}", "m: not an array", true },
		{ OPT_BOOL, "json_opt_bool", "{\"m\":false}", "m: not true or false", true },
	};
	static const char *const docs[] = { "{\"m\":\"\"}",  "{\"m\":{}}", "{\"m\":[]}",
					    "{\"m\":false}", "{\"m\":0}",  "{}",
					    "{\"m\":null}" };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(getters); i++) {
		for (size_t k = 0; k < ARRAY_LEN(docs); k++) {
			CLEANUP(json_freep) struct json *v = NULL;
			struct err err = { 0 };
			bool absent = k >= 5;

			assert_int_equal(json_parse(docs[k], strlen(docs[k]), &json_default_limits,
						    &v, &err),
					 0);
			int result = get(getters[i].getter, v, &err);
			if (streq(docs[k], getters[i].good) || (absent && getters[i].optional))
				(void)row_ok(getters[i].name, result, &err);
			else
				row_refused(getters[i].name, result, ERR_PROTOCOL,
					    absent ? "m: missing" : getters[i].not, &err);
		}
	}
	table_end();
}

static void values_are_walked_in_order(void **state)
{
	CLEANUP(json_freep) struct json *v = NULL;
	struct err err = { 0 };

	(void)state;
	assert_int_equal(
		json_parse(BYTES("{\"x\":\"1\",\"y\":[true]}"), &json_default_limits, &v, &err), 0);
	const struct json *m = json_first(v);
	assert_string_equal(json_name(m), "x");
	assert_string_equal(json_string(m), "1");
	m = json_next(m);
	assert_string_equal(json_name(m), "y");
	assert_null(json_string(m));
	assert_null(json_name(json_first(m)));
	assert_null(json_next(m));
	assert_int_equal(json_count(v), 2);
	assert_int_equal(json_count(NULL), 0);
	assert_null(json_first(NULL));
	assert_null(json_get(NULL, "x"));
	assert_null(json_get(m, "x"));
	assert_null(json_string(NULL));
	json_free(NULL);
}

static void a_tree_is_built_and_changed(void **state)
{
	CLEANUP(json_freep) struct json *v = json_new_object();

	(void)state;
	json_set_str(v, "s", "a\"b");
	json_set_int(v, "n", INT64_C(9007199254740991));
	json_set_bool(v, "b", true);
	json_set_str(v, "none", NULL);
	json_add_str(json_ensure_array(v, "list"), "one");
	json_add_str(json_ensure_array(v, "list"), "two");
	json_set_str(json_ensure_object(v, "obj"), "k", "v");
	json_set_str(json_ensure_object(v, "obj"), "k", "w"); /* replaces, and keeps its place */
	json_ensure_object(v, "s2");
	json_set(v, "b", json_new_array());
	json_remove(v, "s2");
	json_remove(v, "absent");
	CLEANUP(json_freep) struct json *copy = json_clone(v);
	json_remove(v, "list");
	CLEANUP(freep) char *text = json_print(copy, false);
	assert_string_equal(text, "{\"s\":\"a\\\"b\",\"n\":9007199254740991,\"b\":[],\"none\":null,"
				  "\"list\":[\"one\",\"two\"],\"obj\":{\"k\":\"w\"}}");
	CLEANUP(freep) char *pretty = json_print(v, true);
	assert_string_equal(pretty,
			    "{\n  \"s\": \"a\\\"b\",\n  \"n\": 9007199254740991,\n  \"b\": [],\n"
			    "  \"none\": null,\n  \"obj\": {\n    \"k\": \"w\"\n  }\n}");
}

/* RFC 7396, the rows of appendix A that are two objects, and nulls below a new member. */
static void patches_are_merged(void **state)
{
	static const struct {
		const char *target, *patch, *result;
	} rows[] = {
		{ "{\"a\":\"b\"}", "{\"a\":\"c\"}", "{\"a\":\"c\"}" },
		{ "{\"a\":\"b\"}", "{\"b\":\"c\"}", "{\"a\":\"b\",\"b\":\"c\"}" },
		{ "{\"a\":\"b\"}", "{\"a\":null}", "{}" },
		{ "{\"a\":\"b\",\"b\":\"c\"}", "{\"a\":null}", "{\"b\":\"c\"}" },
		{ "{\"a\":[\"b\"]}", "{\"a\":\"c\"}", "{\"a\":\"c\"}" },
		{ "{\"a\":\"c\"}", "{\"a\":[\"b\"]}", "{\"a\":[\"b\"]}" },
		{ "{\"a\":{\"b\":\"c\"}}", "{\"a\":{\"b\":\"d\",\"c\":null}}",
		  "{\"a\":{\"b\":\"d\"}}" },
		{ "{\"a\":[{\"b\":\"c\"}]}", "{\"a\":[1]}", "{\"a\":[1]}" },
		{ "{\"e\":null}", "{\"a\":1}", "{\"e\":null,\"a\":1}" },
		{ "{}", "{\"a\":{\"bb\":{\"ccc\":null}}}", "{\"a\":{\"bb\":{}}}" },
		{ "{\"a\":null}", "{\"a\":{\"b\":1}}", "{\"a\":{\"b\":1}}" },
		{ "{\"a\":1}", "{}", "{\"a\":1}" },
		{ "{\"a\":1}", "{\"A\":null}", "{\"a\":1}" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		CLEANUP(json_freep) struct json *target = NULL;
		CLEANUP(json_freep) struct json *patch = NULL;
		struct err err = { 0 };

		assert_int_equal(json_parse(rows[i].target, strlen(rows[i].target),
					    &json_default_limits, &target, &err),
				 0);
		assert_int_equal(json_parse(rows[i].patch, strlen(rows[i].patch),
					    &json_default_limits, &patch, &err),
				 0);
		json_merge(target, patch);
		CLEANUP(freep) char *text = json_print(target, false);
		row_str(rows[i].patch, "merged", rows[i].result, text);
	}
	table_end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(integers),
		cmocka_unit_test(a_wrong_type_is_an_error),
		cmocka_unit_test(values_are_walked_in_order),
		cmocka_unit_test(a_tree_is_built_and_changed),
		cmocka_unit_test(patches_are_merged),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
