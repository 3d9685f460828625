#include "agent/options.h"

#include <errno.h>
#include <getopt.h>

#include "base/buf.h"
#include "base/fs.h"

#define DURATION_MAX_MS ((int64_t)365 * 24 * 3600 * 1000)
#define COUNT_MAX 1000
#define LONG_VALUE_BASE 256 /* getopt values above every letter: LONG_VALUE_BASE + option_id */

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
	return err_set(err, ERR_USAGE, "'%s' is not a time such as 500ms, 2s or 5m", text);
}

static int parse_count(const char *text, int64_t *out, struct err *err)
{
	char *end;
	long n = strtol(text, &end, 10);

	if (end == text || *end || n < 1 || n > COUNT_MAX)
		return err_set(err, ERR_USAGE, "'%s' is not a number from 1 to %d", text, COUNT_MAX);
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
	return err_set(err, ERR_USAGE, "'%s' is neither true nor false", text);
}

static int check_choice(const char *text, const char *choices, struct err *err)
{
	size_t len = strlen(text);

	for (const char *p = choices; p; p = strchr(p, '|') ? strchr(p, '|') + 1 : NULL)
		if (len && strncmp(p, text, len) == 0 && (p[len] == '|' || !p[len]))
			return 0;
	return err_set(err, ERR_USAGE, "'%s' is not one of %s", text, choices);
}

static int check_value(const struct option_row *row, const char *text, int64_t *number, struct err *err)
{
	switch (row->type) {
	case OPTION_DURATION:
		return duration_parse(text, number, err);
	case OPTION_COUNT:
		return parse_count(text, number, err);
	case OPTION_FLAG:
		return parse_flag(text, number, err);
	case OPTION_CHOICE:
		return check_choice(text, row->choices, err);
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

/* One value from one place; `whole` values (variables, file) may hold a list. */
static int set_value(struct options *o, enum option_id id, const char *text, const char *source, bool whole,
		     struct err *err)
{
	const struct option_row *row = &option_table[id];
	bool same_source = o->v[id].source && streq(o->v[id].source, source);

	if (check_value(row, text, &o->v[id].number, err) < 0)
		return err_wrap(err, "%s", source);
	if (row->type != OPTION_LIST || !same_source)
		strv_free(&o->v[id].values);
	if (!same_source) {
		strv_add(&o->sources, source);
		o->v[id].source = o->sources.v[o->sources.n - 1];
	}
	if (row->type == OPTION_LIST && whole)
		split_list(text, &o->v[id].values);
	else
		strv_add(&o->v[id].values, text);
	return 0;
}

/* getopt's tables for one command; the first '-' returns arguments in order. */
static void make_getopt(unsigned int command, char *letters, struct option *longs)
{
	*letters++ = '-';
	*letters++ = ':';
	for (size_t i = 0; i < OPT__COUNT; i++) {
		const struct option_row *row = &option_table[i];
		int has_arg = row->type == OPTION_FLAG ? no_argument : required_argument;

		if (!row->flag || !(row->commands & command))
			continue;
		*longs++ = (struct option){ row->flag, has_arg, NULL, LONG_VALUE_BASE + (int)i };
		if (row->letter && option_by_letter(row->letter, command) == row) {
			*letters++ = row->letter;
			if (has_arg == required_argument)
				*letters++ = ':';
		}
	}
	*letters = '\0';
	*longs = (struct option){ 0 };
}

static int unknown_flag(int c, char **argv, unsigned int command, struct err *err)
{
	const char *what = argv[optind - 1];

	if (c == ':' && optopt < LONG_VALUE_BASE && optopt > 0)
		err_set(err, ERR_USAGE, "-%c needs a value", optopt);
	else if (c == ':')
		err_set(err, ERR_USAGE, "%s needs a value", what);
	else if (optopt > 0 && optopt < LONG_VALUE_BASE)
		err_set(err, ERR_USAGE, "unknown option -%c", optopt);
	else
		err_set(err, ERR_USAGE, "unknown or ambiguous option %s", what);
	return err_hint(err, "see `berth help%s`",
			command == CMD_UP	? " up"
			: command == CMD_PULL	? " pull"
			: command == CMD_STATUS ? " status"
						: "");
}

static int parse_flags(struct options *o, unsigned int command, int argc, char **argv, struct strv *positional,
		       struct err *err)
{
	char letters[2 * OPT__COUNT + 3];
	struct option longs[OPT__COUNT + 1];
	int c;

	make_getopt(command, letters, longs);
	optind = 1;
	opterr = 0;
	while ((c = getopt_long(argc, argv, letters, longs, NULL)) != -1) {
		if (c == 1) {
			strv_add(positional, optarg);
			continue;
		}
		if (c == '?' || c == ':')
			return unknown_flag(c, argv, command, err);
		const struct option_row *row = c >= LONG_VALUE_BASE ? &option_table[c - LONG_VALUE_BASE]
								    : option_by_letter((char)c, command);
		CLEANUP(freep) char *source = xasprintf("--%s", row->flag);
		if (set_value(o, (enum option_id)(row - option_table), optarg ?: "true", source, false, err) < 0)
			return -1;
	}
	for (; optind < argc; optind++)
		if (command != CMD_UP)
			strv_add(positional, argv[optind]);
		else if (set_value(o, OPT_COMMAND, argv[optind], "arguments after --", false, err) < 0)
			return -1;
	return 0;
}

static bool from_flag(const struct options *o, enum option_id id)
{
	const char *s = o->v[id].source;

	return s && (skip_prefix(s, "--") || skip_prefix(s, "arguments"));
}

static int parse_environment(struct options *o, struct err *err)
{
	for (size_t i = 0; i < OPT__COUNT; i++) {
		const char *variable = option_table[i].variable;
		const char *value = variable ? getenv(variable) : NULL;

		/* An empty variable is an unset one: unit files and launch templates leave such behind. */
		if (!value || !*value || from_flag(o, (enum option_id)i))
			continue;
		if (set_value(o, (enum option_id)i, value, variable, true, err) < 0) {
			err->kind = ERR_CONFIG;
			return -1;
		}
	}
	return 0;
}

static ssize_t option_by_variable(const char *name)
{
	for (size_t i = 0; i < OPT__COUNT; i++)
		if (streq(option_table[i].variable, name))
			return (ssize_t)i;
	return -1;
}

static bool valid_key(const char *key)
{
	if (!*key || (*key >= '0' && *key <= '9'))
		return false;
	return strspn(key, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_") == strlen(key);
}

/* "K=V", with one pair of matching quotes around V taken off, as systemd does in such files. */
static int parse_line(struct options *o, const char *path, size_t number, char *line, struct err *err)
{
	char *value = strchr(line, '=');

	if (!*line || *line == '#')
		return 0;
	if (value)
		*value++ = '\0';
	if (!value || !valid_key(line))
		return err_set(err, ERR_CONFIG, "%s:%zu: not a KEY=value line", path, number);
	size_t len = strlen(value);
	if (len >= 2 && (*value == '"' || *value == '\'') && value[len - 1] == *value) {
		value[len - 1] = '\0';
		value++;
	}
	ssize_t id = option_by_variable(line);
	if (id < 0 && skip_prefix(line, OPTIONS_PREFIX))
		return err_set(err, ERR_CONFIG, "%s:%zu: unknown key %s", path, number, line);
	if (id < 0)
		return setenv(line, value, 0) < 0 ? err_sys(err, errno, "setenv %s", line) : 0;
	if (!*value || o->v[id].source)
		return 0; /* a flag or a variable said it already */
	CLEANUP(freep) char *source = xasprintf("%s:%zu: %s", path, number, line);
	if (set_value(o, (enum option_id)id, value, source, true, err) < 0) {
		err->kind = ERR_CONFIG;
		return -1;
	}
	return 0;
}

static int parse_file(struct options *o, struct err *err)
{
	CLEANUP(buf_free) struct buf text = BUF_INIT(OPTIONS_FILE_MAX_BYTES);
	const char *path = opt_given(o, OPT_CONFIG) ? opt_str(o, OPT_CONFIG) : OPTIONS_CONFIG_PATH;
	size_t number = 0;

	if (fs_read(path, &text, err) < 0) {
		if (err->kind == ERR_NOT_FOUND && !opt_given(o, OPT_CONFIG)) {
			err_clear(err);
			return 0;
		}
		err->kind = ERR_CONFIG;
		return -1;
	}
	if (memchr(buf_str(&text), '\0', text.len))
		return err_set(err, ERR_CONFIG, "%s: holds a NUL byte", path);
	for (char *line = text.data, *next; line && *line; line = next) {
		next = strchr(line, '\n');
		if (next)
			*next++ = '\0';
		size_t len = strlen(line);
		if (len && line[len - 1] == '\r')
			line[len - 1] = '\0';
		line += strspn(line, " \t");
		if (parse_line(o, path, ++number, line, err) < 0)
			return -1;
	}
	return 0;
}

static int apply_defaults(struct options *o, struct err *err)
{
	for (size_t i = 0; i < OPT__COUNT; i++)
		if (!o->v[i].source && option_table[i].fallback &&
		    set_value(o, (enum option_id)i, option_table[i].fallback, "default", true, err) < 0)
			return -1;
	return 0;
}

int options_parse(struct options *o, unsigned int command, int argc, char **argv, struct strv *positional,
		  struct err *err)
{
	*o = (struct options){ 0 };
	if (parse_flags(o, command, argc, argv, positional, err) < 0)
		return -1;
	if (command & (CMD_UP | CMD_PULL) && positional->n && !from_flag(o, OPT_IMAGE) &&
	    set_value(o, OPT_IMAGE, positional->v[0], "--image", false, err) < 0)
		return -1;
	if (!(option_table[OPT_CONFIG].commands & command))
		return apply_defaults(o, err);
	if (parse_environment(o, err) < 0 || parse_file(o, err) < 0)
		return -1;
	return apply_defaults(o, err);
}

void options_free(struct options *o)
{
	for (size_t i = 0; i < OPT__COUNT; i++)
		strv_free(&o->v[i].values);
	strv_free(&o->sources);
}

const char *opt_str(const struct options *o, enum option_id id)
{
	return o->v[id].values.n ? o->v[id].values.v[0] : NULL;
}

const struct strv *opt_list(const struct options *o, enum option_id id)
{
	return &o->v[id].values;
}

int64_t opt_number(const struct options *o, enum option_id id)
{
	return o->v[id].number;
}

bool opt_flag(const struct options *o, enum option_id id)
{
	return o->v[id].number != 0;
}

bool opt_given(const struct options *o, enum option_id id)
{
	return o->v[id].source && !streq(o->v[id].source, "default");
}
