/*
 * Drives src/engine for the component tests: takes run options in `docker run`'s form (long names,
 * "--flag value") and prints the create body.
 *
 * usage: driver_container body IMAGE [--FLAG [VALUE]]... [-- COMMAND...]
 */
#include "engine/container.h"

static struct container_spec spec;

static const struct {
	const char *name;
	struct strv *list; /* one of the three */
	const char **text;
	bool *flag;
} flags[] = {
	{ "--publish", &spec.publish, NULL, NULL },
	{ "--env", &spec.env, NULL, NULL },
	{ "--env-file", &spec.env_files, NULL, NULL },
	{ "--volume", &spec.volumes, NULL, NULL },
	{ "--log-opt", &spec.log_opts, NULL, NULL },
	{ "--label", &spec.labels, NULL, NULL },
	{ "--ulimit", &spec.ulimits, NULL, NULL },
	{ "--cap-add", &spec.cap_add, NULL, NULL },
	{ "--cap-drop", &spec.cap_drop, NULL, NULL },
	{ "--tmpfs", &spec.tmpfs, NULL, NULL },
	{ "--add-host", &spec.add_hosts, NULL, NULL },
	{ "--network", NULL, &spec.network, NULL },
	{ "--restart", NULL, &spec.restart, NULL },
	{ "--memory", NULL, &spec.memory, NULL },
	{ "--cpus", NULL, &spec.cpus, NULL },
	{ "--user", NULL, &spec.user, NULL },
	{ "--entrypoint", NULL, &spec.entrypoint, NULL },
	{ "--log-driver", NULL, &spec.log_driver, NULL },
	{ "--shm-size", NULL, &spec.shm_size, NULL },
	{ "--hostname", NULL, &spec.hostname, NULL },
	{ "--gpus", NULL, &spec.gpus, NULL },
	{ "--container-json", NULL, &spec.container_json, NULL },
	{ "--read-only", NULL, NULL, &spec.read_only },
	{ "--init", NULL, NULL, &spec.init },
};

/* How many arguments the flag at argv[0] took; 0: there is no such flag. */
static int take_flag(char **argv)
{
	for (size_t i = 0; i < ARRAY_LEN(flags); i++) {
		if (!streq(argv[0], flags[i].name))
			continue;
		if (flags[i].flag) {
			*flags[i].flag = true;
			return 1;
		}
		if (!argv[1])
			return 0;
		if (flags[i].list)
			strv_add(flags[i].list, argv[1]);
		else
			*flags[i].text = argv[1];
		return 2;
	}
	return 0;
}

static int print_body(char **argv, struct err *err)
{
	CLEANUP(json_freep) struct json *body = NULL;
	char hash[SHA256_HEX_SIZE];

	if (!*argv)
		return err_set(err, ERR_USAGE, "no image");
	spec.image = *argv++;
	while (*argv && !streq(*argv, "--")) {
		int n = take_flag(argv);
		if (!n)
			return err_set(err, ERR_USAGE, "%s: no such flag, or no value", *argv);
		argv += n;
	}
	for (spec.command = *argv ? argv + 1 : NULL; spec.command && spec.command[spec.n_command];)
		spec.n_command++;
	if (container_body(&spec, &body, hash, err) < 0)
		return -1;
	CLEANUP(freep) char *text = json_print_sorted(body);
	printf("{\"body\":%s,\"hash\":\"%s\"}\n", text, hash);
	return 0;
}

static const struct {
	const char *name;
	int (*run)(char **argv, struct err *err);
} commands[] = {
	{ "body", print_body },
};

int main(int argc, char **argv)
{
	char line[ERR_LINE_MAX];
	struct err err = { 0 };

	for (size_t i = 0; argc > 1 && i < ARRAY_LEN(commands); i++) {
		if (!streq(argv[1], commands[i].name))
			continue;
		if (commands[i].run(argv + 2, &err) == 0)
			return 0;
		fprintf(stderr, "%s: %s\n", err_kind_name(err.kind),
			err_line(&err, line, sizeof line));
		return err_exit_code(&err);
	}
	fprintf(stderr, "usage: driver_container COMMAND ...\n");
	return 2;
}
