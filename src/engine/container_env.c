/* --env and --env-file, as docker/cli's opts/env.go and pkg/kvfile read them. */
#include <ctype.h>

#include "base/fs.h"
#include "base/mem.h"
#include "engine/container_options.h"

/* execve(2) stops at a quarter of the stack limit, 2 MiB by default. */
#define ENV_FILE_MAX_BYTES (1 * MIB)

/*
 * Kept aside until all are known: given twice, the later counts. Docker's command line does so for
 * flags, and leaves what comes from files to the engine.
 */
int option_env(struct container_builder *b, const struct container_option *o, const char *text,
	       struct err *err)
{
	size_t len = strcspn(text, "=");
	CLEANUP(freep) char *name = xstrndup(text, len);

	(void)o; /* one flag has this form */
	if (!len)
		return err_set(err, ERR_USAGE, "\"%s\" has no name", text);
	/*
	 * A name alone that is not in our environment either stays alone: Docker unsets what the
	 * image says.
	 */
	json_set_str(b->env, name, text[len] ? text + len + 1 : getenv(name));
	return 0;
}

void option_env_end(struct container_builder *b)
{
	for (const struct json *v = json_first(b->env); v; v = json_next(v)) {
		const char *value = json_string(v);
		CLEANUP(freep) char *pair =
			value ? xasprintf("%s=%s", json_name(v), value) : xstrdup(json_name(v));
		json_add_str(json_ensure_array(b->body, "Env"), pair);
	}
}

static int env_line(struct json *list, char *line, size_t number, struct err *err)
{
	while (isspace((unsigned char)*line))
		line++;
	size_t key_len = strcspn(line, "=");
	if (!*line || *line == '#')
		return 0;
	if (!key_len)
		return err_set(err, ERR_CONFIG, "line %zu has no name", number);
	if (strcspn(line, " \t") < key_len)
		return err_set(err, ERR_CONFIG, "line %zu: \"%.*s\" has white space in its name",
			       number, (int)key_len, line);
	if (line[key_len]) {
		json_add_str(list, line);
		return 0;
	}
	/*
	 * A name alone takes the value from our environment; unlike --env, one that is not set is
	 * left out.
	 */
	const char *value = getenv(line);
	if (!value)
		return 0;
	CLEANUP(freep) char *pair = xasprintf("%s=%s", line, value);
	json_add_str(list, pair);
	return 0;
}

static int env_lines(struct json *list, char *text, struct err *err)
{
	char *line = skip_prefix(text, "\xef\xbb\xbf") ? text + 3 : text; /* a byte order mark */

	for (size_t number = 1; line; number++) {
		char *end = strchr(line, '\n');
		char *next = end ? end + 1 : NULL;
		if (end)
			*end = '\0';
		size_t len = strlen(line);
		if (len && line[len - 1] == '\r')
			line[len - 1] = '\0';
		if (env_line(list, line, number, err) < 0)
			return -1;
		line = next;
	}
	return 0;
}

int option_env_file(struct container_builder *b, const struct container_option *o, const char *text,
		    struct err *err)
{
	CLEANUP(buf_wipe) struct buf file = BUF_INIT(ENV_FILE_MAX_BYTES);

	if (fs_read(text, &file, err) < 0) {
		err->kind = ERR_CONFIG; /* its name came from the configuration */
		return -1;
	}
	if (file.len && memchr(file.data, '\0', file.len))
		return err_set(err, ERR_CONFIG, "%s holds a NUL byte", text);
	if (file.len && env_lines(json_ensure_array(b->body, o->key), file.data, err) < 0)
		return err_wrap(err, "%s", text);
	return 0;
}
