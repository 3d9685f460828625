/* One value of one option: what text is right for its type, and where it came from. */
#include "agent/options_internal.h"

#include <errno.h>

#define DURATION_MAX_MS ((int64_t)365 * 24 * 3600 * 1000)
#define COUNT_MAX 1000

int duration_parse(const char *text, int64_t *ms_out, struct err *err)
{
	static const struct {
		const char *unit;
		int64_t ms;
	} units[] = { { "ms", 1 }, { "s", 1000 }, { "m", 60000 }, { "h", 3600000 } };
	char *end;

	errno = 0;
	long long n = strtoll(text, &end, 10);
	if (end != text && *text >= '0' && *text <= '9' && !errno)
		for (size_t i = 0; i < ARRAY_LEN(units); i++)
			if (streq(end, units[i].unit) && n <= DURATION_MAX_MS / units[i].ms) {
				*ms_out = n * units[i].ms;
				return 0;
			}
	return err_set(err, ERR_USAGE, "'%.100s' is not a time such as 500ms, 2s or 5m", text);
}

static int parse_count(const char *text, int64_t *out, struct err *err)
{
	size_t digits = strspn(text, "0123456789");
	long n = strtol(text, NULL, 10);

	if (!digits || text[digits] || n < 1 || n > COUNT_MAX)
		return err_set(err, ERR_USAGE, "'%.100s' is not a number from 1 to %d", text, COUNT_MAX);
	*out = n;
	return 0;
}

static int parse_flag(const char *text, int64_t *out, struct err *err)
{
	static const struct {
		const char *word;
		int value;
	} words[] = { { "true", 1 }, { "1", 1 }, { "yes", 1 }, { "false", 0 }, { "0", 0 }, { "no", 0 } };

	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (streq(text, words[i].word)) {
			*out = words[i].value;
			return 0;
		}
	return err_set(err, ERR_USAGE, "'%.100s' is neither true nor false", text);
}

static int check_choice(const char *text, const char *choices, struct err *err)
{
	size_t len = strlen(text);

	for (const char *p = choices;; p++) {
		size_t n = strcspn(p, "|");
		if (n == len && strncmp(p, text, n) == 0)
			return 0;
		p += n;
		if (!*p)
			return err_set(err, ERR_USAGE, "'%.100s' is not one of %s", text, choices);
	}
}

int container_name_check(const char *name, struct err *err)
{
	static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-";
	size_t len = strlen(name);

	if (len < 2 || strspn(name, letters) != len || strchr("_.-", *name))
		return err_set(err, ERR_USAGE,
			       "'%.100s' is not a container name: two or more of letters, digits, '_', '.' and '-', "
			       "the first a letter or digit", name);
	if (len > CONTAINER_NAME_MAX)
		return err_set(err, ERR_USAGE, "'%.100s...' is longer than %d", name, CONTAINER_NAME_MAX);
	return 0;
}

static int check_value(const struct option_row *row, const char *text, int64_t *number, struct err *err)
{
	switch (row->type) {
	case OPTION_DURATION:
		if (duration_parse(text, number, err) < 0)
			return -1;
		if (*number < row->least_ms)
			return err_set(err, ERR_USAGE, "'%.100s' is less than %lldms", text, (long long)row->least_ms);
		return 0;
	case OPTION_COUNT:
		return parse_count(text, number, err);
	case OPTION_FLAG:
		return parse_flag(text, number, err);
	case OPTION_CHOICE:
		return check_choice(text, row->choices, err);
	case OPTION_NAME:
		return container_name_check(text, err);
	case OPTION_STRING:
	case OPTION_LIST:
		return 0;
	}
	return 0;
}

/* Splits "a,b\,c" into "a" and "b,c". */
static void split_list(const char *text, struct strv *out)
{
	CLEANUP(freep) char *piece = xmalloc(strlen(text) + 1);
	size_t n = 0;

	for (const char *p = text;; p++) {
		if (*p == '\\' && p[1] == ',') {
			piece[n++] = *++p;
		} else if (*p == ',' || !*p) {
			piece[n] = '\0';
			if (n)
				strv_add(out, piece);
			n = 0;
			if (!*p)
				return;
		} else {
			piece[n++] = *p;
		}
	}
}

int option_set(struct options *o, enum option_id id, const char *text, const char *source, enum option_origin origin,
	       struct err *err)
{
	const struct option_row *row = &option_table[id];
	bool same_source = o->v[id].source && streq(o->v[id].source, source);
	bool whole = origin == ORIGIN_FILE || origin == ORIGIN_ENVIRONMENT;
	int64_t number = 0;

	if (check_value(row, text, &number, err) < 0)
		return err_wrap(err, "%s", source);
	if (row->type != OPTION_LIST || !same_source)
		option_unset(o, id);
	if (!o->v[id].source) {
		strv_add(&o->sources, source);
		o->v[id].source = o->sources.v[o->sources.n - 1];
	}
	o->v[id].origin = origin;
	o->v[id].number = number;
	if (row->type == OPTION_LIST && whole)
		split_list(text, &o->v[id].values);
	else
		strv_add(&o->v[id].values, text);
	return 0;
}

void option_unset(struct options *o, enum option_id id)
{
	strv_free(&o->v[id].values);
	o->v[id].source = NULL;
	o->v[id].origin = ORIGIN_NONE;
	o->v[id].number = 0;
}
