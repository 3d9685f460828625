#include "base/json.h"

#include <inttypes.h>

#include <cjson/cJSON.h>

#include "base/mem.h"

/*
 * Our own printer: cJSON's rounds whole numbers of 16 digits and writes large
 * ones with an exponent, which Go does not read as an integer.
 */
struct printer {
	FILE *f;
	bool pretty, sorted;
};

static void print_string(FILE *f, const char *s)
{
	static const char plain[] = "\"\\\b\f\n\r\t", escaped[] = "\"\\bfnrt";

	fputc('"', f);
	for (; *s; s++) {
		const char *at = strchr(plain, *s);
		if (at)
			fprintf(f, "\\%c", escaped[at - plain]);
		else if ((unsigned char)*s < 0x20)
			fprintf(f, "\\u%04x", (unsigned char)*s);
		else
			fputc(*s, f);
	}
	fputc('"', f);
}

/* Whole numbers without an exponent, others in the fewest digits that read back the same. */
static void print_number(FILE *f, double d)
{
	char text[32];

	if (d >= -0x1p63 && d < 0x1p63 && d == (double)(int64_t)d) {
		fprintf(f, "%" PRId64, (int64_t)d);
		return;
	}
	for (int digits = 15; digits <= 17; digits++) {
		(void)snprintf(text, sizeof text, "%.*g", digits, d);
		if (strtod(text, NULL) == d)
			break;
	}
	fputs(text, f);
}

static int compare_members(const void *a, const void *b)
{
	return strcmp(json_name(*(const struct json *const *)a),
		      json_name(*(const struct json *const *)b));
}

static void print_value(const struct printer *p, const struct json *v, int depth);

static void print_container(const struct printer *p, const struct json *v, int depth)
{
	bool object = json_is_object(v);
	size_t n = json_count(v), i = 0;
	CLEANUP(freep) const struct json **items = xcalloc(n, sizeof(*items));

	for (const struct json *item = json_first(v); item; item = json_next(item))
		items[i++] = item;
	if (p->sorted && object)
		qsort(items, n, sizeof *items, compare_members);
	fputc(object ? '{' : '[', p->f);
	for (i = 0; i < n; i++) {
		if (i)
			fputc(',', p->f);
		if (p->pretty)
			fprintf(p->f, "\n%*s", 2 * (depth + 1), "");
		if (object) {
			print_string(p->f, json_name(items[i]));
			fputs(p->pretty ? ": " : ":", p->f);
		}
		print_value(p, items[i], depth + 1);
	}
	if (p->pretty && n)
		fprintf(p->f, "\n%*s", 2 * depth, "");
	fputc(object ? '}' : ']', p->f);
}

static void print_value(const struct printer *p, const struct json *v, int depth)
{
	const cJSON *c = (const cJSON *)v;

	if (cJSON_IsString(c))
		print_string(p->f, c->valuestring);
	else if (cJSON_IsNumber(c))
		print_number(p->f, c->valuedouble);
	else if (cJSON_IsBool(c))
		fputs(cJSON_IsTrue(c) ? "true" : "false", p->f);
	else if (json_is_object(v) || json_is_array(v))
		print_container(p, v, depth);
	else
		fputs("null", p->f);
}

static char *print(const struct json *v, bool pretty, bool sorted)
{
	char *text = NULL;
	size_t len;
	struct printer p = { .f = open_memstream(&text, &len), .pretty = pretty, .sorted = sorted };

	if (!p.f)
		abort();
	print_value(&p, v, 0);
	if (fclose(p.f) != 0)
		abort(); /* no memory: the only way a memory stream fails */
	return text;
}

char *json_print(const struct json *v, bool pretty)
{
	return print(v, pretty, false);
}

char *json_print_sorted(const struct json *v)
{
	return print(v, false, true);
}
