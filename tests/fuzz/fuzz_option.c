/*
 * What users write: arguments, berth.conf, probes, times and names, and the files that run options name. The
 * first byte chooses. Arguments are separated by newlines; files are read from memory.
 */
#include "fuzz.h"

#include <sys/mman.h>
#include <unistd.h>

#include "agent/options.h"
#include "agent/probe.h"
#include "agent/spec.h"
#include "base/fs.h"
#include "base/json.h"

#define ARGUMENTS_MAX 64

/* The path of an unnamed file with these bytes, until the next one. */
static const char *file_of(const uint8_t *data, size_t size)
{
	static char path[64];
	static int fd = -1;
	struct err err;

	if (fd >= 0)
		(void)close(fd);
	fd = memfd_create("fuzz", MFD_CLOEXEC);
	MUST(fd >= 0);
	MUST(fs_write_all(fd, data, size, &err) == 0);
	(void)snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	return path;
}

static bool usage_or_config(const struct err *err)
{
	return (err->kind == ERR_USAGE || err->kind == ERR_CONFIG) && err->msg[0];
}

/* What was read can be asked for, and makes a container's body or a message. */
static void check_options(const struct options *o)
{
	char hash[SHA256_HEX_SIZE];
	struct container_spec spec;
	struct err err = { 0 };

	for (int i = 0; i < OPT__COUNT; i++) {
		MUST(!opt_given(o, i) || o->v[i].source);
		MUST(option_table[i].type == OPTION_LIST || o->v[i].values.n <= 1);
		MUST(option_table[i].type != OPTION_COUNT || !o->v[i].source || opt_number(o, i) > 0);
		MUST(option_table[i].type != OPTION_DURATION || opt_number(o, i) >= 0);
	}
	/* Those name files of this machine. */
	if (opt_list(o, OPT_ENV_FILE)->n || opt_str(o, OPT_CONTAINER_JSON))
		return;
	if (spec_open(o, "app", &spec, hash, &err) < 0)
		MUST(usage_or_config(&err));
	spec_close(&spec);
}

static void try_options(int argc, char **argv)
{
	CLEANUP(strv_free) struct strv positional = { 0 };
	struct err err = { 0 };
	struct options o;

	/* The file may put anything into it. */
	MUST(clearenv() == 0);
	if (options_parse(&o, CMD_UP, argc, argv, &positional, &err) < 0)
		MUST(usage_or_config(&err));
	else
		check_options(&o);
	options_free(&o);
}

static void arguments(char *text)
{
	/* No other file is read. */
	static char up[] = "up";
	CLEANUP(freep) char *config = xasprintf("--config=%s", file_of(NULL, 0));
	char *argv[ARGUMENTS_MAX + 2] = { up, config };
	int n = 2;

	for (char *next; text && n < ARGUMENTS_MAX; text = next) {
		next = strchr(text, '\n');
		if (next)
			*next++ = '\0';
		if (!skip_prefix(text, "--config"))
			argv[n++] = text;
	}
	try_options(n, argv);
}

static void config_file(const uint8_t *data, size_t size)
{
	CLEANUP(freep) char *flag = xasprintf("--config=%s", file_of(data, size));
	char up[] = "up", *argv[] = { up, flag, NULL };

	try_options(2, argv);
}

/* The file of --env-file, or of --container-json. */
static void run_file(bool is_json, const uint8_t *data, size_t size)
{
	struct container_spec spec = { .image = "app" };
	CLEANUP(json_freep) struct json *body = NULL;
	char hash[SHA256_HEX_SIZE];
	struct err err = { 0 };
	const char *path = file_of(data, size);

	if (is_json)
		spec.container_json = path;
	else
		strv_add(&spec.env_files, path);
	if (container_body(&spec, &body, hash, &err) < 0)
		MUST(usage_or_config(&err));
	else
		MUST(json_is_object(body));
	strv_free(&spec.env_files);
}

static void try_probe(const char *text)
{
	CLEANUP(probe_clear) struct probe p = { 0 }, again = { 0 };
	struct err err = { 0 };

	if (probe_parse(text, &p, &err) < 0) {
		MUST(err.kind == ERR_USAGE && err.msg[0]);
		return;
	}
	MUST((p.kind != PROBE_HTTP && p.kind != PROBE_TCP) || p.port);
	MUST(p.kind != PROBE_HTTP || (p.path && p.path[0] == '/'));
	CLEANUP(freep) char *written = probe_text(&p);
	MUST(probe_parse(written, &again, &err) == 0);
	MUST(again.kind == p.kind && again.port == p.port);
	MUST(p.kind != PROBE_HTTP || streq(p.path, again.path));
}

static void try_duration(const char *text)
{
	struct err err = { 0 };
	int64_t ms = -1;

	MUST(duration_parse(text, &ms, &err) < 0 ? ms == -1 && err.kind == ERR_USAGE : ms >= 0);
}

/* It becomes a part of paths. */
static void try_name(const char *text)
{
	struct err err = { 0 };

	if (container_name_check(text, &err) < 0)
		MUST(err.kind == ERR_USAGE);
	else
		MUST(strlen(text) <= CONTAINER_NAME_MAX && !strchr(text, '/') && text[0] != '.');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (!size)
		return 0;
	CLEANUP(freep) char *text = xstrndup((const char *)data + 1, size - 1);

	switch (data[0]) {
	case 'a':
		arguments(text);
		break;
	case 'f':
		config_file(data + 1, size - 1);
		break;
	case 'e':
	case 'j':
		run_file(data[0] == 'j', data + 1, size - 1);
		break;
	case 'p':
		try_probe(text);
		break;
	case 'd':
		try_duration(text);
		break;
	default:
		try_name(text);
	}
	return 0;
}
