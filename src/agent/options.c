#include "agent/options_internal.h"

#include <errno.h>

#include "base/buf.h"
#include "base/fs.h"

/* argv, and where reading it is. */
struct words {
	char **v;
	int n, at;
};

static const char *command_word(unsigned int command)
{
	static const struct {
		unsigned int bit;
		const char *word;
	} words[] = {
		{ CMD_UP, " up" },	   { CMD_DEPLOY, " deploy" }, { CMD_ROLLBACK, " rollback" },
		{ CMD_DOWN, " down" },
		{ CMD_PULL, " pull" }, { CMD_STATUS, " status" }, { CMD_METADATA, " metadata" },
	};

	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (words[i].bit == command)
			return words[i].word;
	return "";
}

/* Whole names only: an abbreviation would change its meaning, or lose it, with an option that comes later. */
static const struct option_row *option_by_flag(const char *name, size_t len, unsigned int command)
{
	for (size_t i = 0; i < OPT__COUNT; i++) {
		const char *flag = option_table[i].flag;
		if (flag && option_table[i].commands & command && strlen(flag) == len && strncmp(flag, name, len) == 0)
			return &option_table[i];
	}
	return NULL;
}

static int unknown_flag(const char *word, unsigned int command, struct err *err)
{
	const char *name = skip_prefix(word, "--");
	size_t len = name ? strcspn(name, "=") : 0;

	err_set(err, ERR_USAGE, "unknown option %.*s", (int)(name ? 2 + len : strlen(word)), word);
	for (size_t i = 0; len && i < OPT__COUNT; i++) {
		const char *flag = option_table[i].flag;
		if (flag && option_table[i].commands & command && strncmp(flag, name, len) == 0)
			return err_hint(err, "is --%s meant?", flag);
	}
	return err_hint(err, "see `berth help%s`", command_word(command));
}

/* A flag with its value, which may stand in the next word. A word without a value says true. */
static int take_flag(struct options *o, const struct option_row *row, const char *value, struct words *w,
		     struct err *err)
{
	enum option_id id = (enum option_id)(row - option_table);
	CLEANUP(freep) char *source = xasprintf("--%s", row->flag);

	if (!value && row->type == OPTION_FLAG)
		value = "true";
	else if (!value && w->at < w->n)
		value = w->v[w->at++];
	if (!value)
		return err_set(err, ERR_USAGE, "%s needs a value", source);
	/* What a script leaves when its variable is unset. Only an entry point can be set to nothing. */
	if (!*value && id != OPT_ENTRYPOINT)
		return err_set(err, ERR_USAGE, "%s: the value is empty", source);
	return option_set(o, id, value, source, ORIGIN_FLAG, err);
}

static int take_long(struct options *o, unsigned int command, struct words *w, struct err *err)
{
	const char *word = w->v[w->at++], *name = word + 2;
	size_t len = strcspn(name, "=");
	const struct option_row *row = option_by_flag(name, len, command);

	if (!row)
		return unknown_flag(word, command, err);
	return take_flag(o, row, name[len] ? name + len + 1 : NULL, w, err);
}

/* "-p80:80", "-p=80:80", "-p 80:80", and flags without a value together: "-qv". */
static int take_letters(struct options *o, unsigned int command, struct words *w, struct err *err)
{
	const char *word = w->v[w->at++];

	for (const char *p = word + 1; *p; p++) {
		const struct option_row *row = option_by_letter(*p, command);
		const char single[] = { '-', *p, '\0' };
		if (!row)
			return unknown_flag(single, command, err);
		if (row->type == OPTION_FLAG && p[1] != '=') {
			if (take_flag(o, row, NULL, w, err) < 0)
				return -1;
			continue;
		}
		return take_flag(o, row, p[1] == '=' ? p + 2 : p[1] ? p + 1 : NULL, w, err);
	}
	return 0;
}

static int parse_flags(struct options *o, unsigned int command, struct words *w, struct strv *positional,
		       struct err *err)
{
	while (w->at < w->n) {
		const char *word = w->v[w->at];
		int result = 0;

		if (streq(word, "--")) {
			w->at++;
			break;
		}
		if (skip_prefix(word, "--"))
			result = take_long(o, command, w, err);
		else if (*word == '-' && word[1])
			result = take_letters(o, command, w, err);
		else
			strv_add(positional, w->v[w->at++]);
		if (result < 0)
			return -1;
	}
	for (; w->at < w->n; w->at++)
		if (!(command & CMD_RUN))
			strv_add(positional, w->v[w->at]);
		else if (option_set(o, OPT_COMMAND, w->v[w->at], "arguments after --", ORIGIN_FLAG, err) < 0)
			return -1;
	return 0;
}

/* The first argument of up, deploy and pull. */
static int image_argument(struct options *o, const char *image, struct err *err)
{
	if (o->v[OPT_IMAGE].origin == ORIGIN_FLAG)
		return err_set(err, ERR_USAGE, "two images: %s and --image %s", image, opt_str(o, OPT_IMAGE));
	if (!*image)
		return err_set(err, ERR_USAGE, "the image is an empty argument");
	return option_set(o, OPT_IMAGE, image, "--image", ORIGIN_FLAG, err);
}

static int parse_environment(struct options *o, struct err *err)
{
	for (size_t i = 0; i < OPT__COUNT; i++) {
		const char *variable = option_table[i].variable;
		const char *value = variable ? getenv(variable) : NULL;

		/* An empty variable is an unset one: unit files and launch templates leave such behind. */
		if (!value || !*value || o->v[i].origin == ORIGIN_FLAG)
			continue;
		if (option_set(o, (enum option_id)i, value, variable, ORIGIN_ENVIRONMENT, err) < 0) {
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

struct config_file {
	const char *path;
	size_t line;          /* from 1 */
	struct strv exported; /* keys that this file has put into the environment */
};

/* Blanks around it go, or one pair of matching quotes, as systemd does in such files. */
static char *unquote(char *value)
{
	value += strspn(value, " \t");
	size_t len = strlen(value);

	while (len && strchr(" \t\r", value[len - 1]))
		value[--len] = '\0';
	if (len >= 2 && (*value == '"' || *value == '\'') && value[len - 1] == *value) {
		value[len - 1] = '\0';
		value++;
	}
	return value;
}

/* AWS_REGION, HTTPS_PROXY …: an environment that says something wins; an empty value is none. */
static int export_key(struct config_file *f, const char *key, const char *value, struct err *err)
{
	const char *now = getenv(key);

	if (now && *now && !strv_contains(&f->exported, key))
		return 0;
	if ((*value ? setenv(key, value, 1) : unsetenv(key)) < 0)
		return err_sys(err, errno, "%s:%zu: setenv %s", f->path, f->line, key);
	strv_add(&f->exported, key);
	return 0;
}

static int set_from_file(struct options *o, struct config_file *f, enum option_id id, const char *value,
			 struct err *err)
{
	CLEANUP(freep) char *source = xasprintf("%s:%zu: %s", f->path, f->line, option_table[id].variable);

	if (id == OPT_CONFIG)
		return err_set(err, ERR_CONFIG, "%s: a file cannot name the file", source);
	if (o->v[id].origin > ORIGIN_FILE)
		return 0;
	/* The last line wins: user data appends to the file that an AMI brought. */
	option_unset(o, id);
	if (*value && option_set(o, id, value, source, ORIGIN_FILE, err) < 0) {
		err->kind = ERR_CONFIG;
		return -1;
	}
	return 0;
}

static int parse_line(struct options *o, struct config_file *f, char *line, struct err *err)
{
	line += strspn(line, " \t");
	if (line[strspn(line, "\r")] == '\0' || *line == '#')
		return 0;
	char *value = strchr(line, '=');
	if (value)
		*value++ = '\0';
	if (!value || !valid_key(line))
		return err_set(err, ERR_CONFIG, "%s:%zu: not a KEY=value line", f->path, f->line);
	value = unquote(value);
	ssize_t id = option_by_variable(line);
	if (id >= 0)
		return set_from_file(o, f, (enum option_id)id, value, err);
	if (skip_prefix(line, OPTIONS_PREFIX))
		return err_set(err, ERR_CONFIG, "%s:%zu: unknown key %s", f->path, f->line, line);
	return export_key(f, line, value, err);
}

static int parse_lines(struct options *o, struct config_file *f, char *text, struct err *err)
{
	for (char *line = text, *next; line && *line; line = next) {
		next = strchr(line, '\n');
		if (next)
			*next++ = '\0';
		f->line++;
		if (parse_line(o, f, line, err) < 0)
			return -1;
	}
	return 0;
}

static int parse_file(struct options *o, struct err *err)
{
	CLEANUP(buf_free) struct buf text = BUF_INIT(OPTIONS_FILE_MAX_BYTES);
	bool named = opt_given(o, OPT_CONFIG);
	CLEANUP(freep) char *path = xstrdup(named ? opt_str(o, OPT_CONFIG) : OPTIONS_CONFIG_PATH);
	struct config_file f = { .path = path };

	if (fs_read(path, &text, err) < 0) {
		if (err->kind == ERR_NOT_FOUND && !named) {
			err_clear(err);
			return 0;
		}
		err->kind = ERR_CONFIG;
		return -1;
	}
	if (memchr(buf_str(&text), '\0', text.len))
		return err_set(err, ERR_CONFIG, "%s: holds a NUL byte", path);
	int result = parse_lines(o, &f, text.data, err);
	strv_free(&f.exported);
	return result;
}

static int apply_defaults(struct options *o, struct err *err)
{
	for (size_t i = 0; i < OPT__COUNT; i++)
		if (!o->v[i].source && option_table[i].fallback &&
		    option_set(o, (enum option_id)i, option_table[i].fallback, "default", ORIGIN_DEFAULT, err) < 0)
			return -1;
	return 0;
}

int options_parse(struct options *o, unsigned int command, int argc, char **argv, struct strv *positional,
		  struct err *err)
{
	struct words words = { .v = argv, .n = argc, .at = 1 };

	*o = (struct options){ .command = command, .arguments = argv + 1 };
	if (parse_flags(o, command, &words, positional, err) < 0)
		return -1;
	if (command & (CMD_RUN | CMD_PULL) && positional->n && image_argument(o, positional->v[0], err) < 0)
		return -1;
	/* Who asks for help may do so because of a bad file. */
	if (!(option_table[OPT_CONFIG].commands & command) || opt_flag(o, OPT_HELP))
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
	return o->v[id].origin > ORIGIN_DEFAULT;
}

int opt_wrap(const struct options *o, enum option_id id, struct err *err)
{
	if (o->v[id].origin == ORIGIN_FLAG || o->v[id].origin == ORIGIN_NONE)
		return -1;
	if (err->kind == ERR_USAGE)
		err->kind = ERR_CONFIG;
	return err_wrap(err, "%s", o->v[id].source);
}
