#include "cmd/cmd.h"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/log.h"
#include "unpack/worker.h"

static void setup_log(const struct options *o)
{
	enum log_format format = streq(opt_str(o, OPT_LOG_FORMAT), "json") ? LOG_JSON : LOG_TEXT;
	enum log_level max = opt_flag(o, OPT_QUIET)	? LOG_LEVEL_WARNING
			     : opt_flag(o, OPT_VERBOSE) ? LOG_LEVEL_DEBUG
							: LOG_LEVEL_INFO;

	log_setup(format, max);
}

static int run(struct invocation *in, int argc, char **argv, struct err *err)
{
	const struct command *c = in->command;

	int parsed = options_parse(&in->options, c->bit, argc, argv, &in->positional, err);
	setup_log(&in->options); /* what is wrong with the rest is said in the asked format too */
	if (parsed < 0)
		return -1;
	if (opt_flag(&in->options, OPT_HELP)) {
		struct invocation help = { .command = command_find("help") };
		strv_add(&help.positional, c->name);
		int result = cmd_help(&help, err);
		strv_free(&help.positional);
		return result;
	}
	if (in->positional.n > c->max_positional) {
		err_set(err, ERR_USAGE, "unexpected argument '%.100s'", in->positional.v[c->max_positional]);
		return c->bit & CMD_RUN ? err_hint(err, "the container's command stands behind --") : -1;
	}
	return c->run(in, err);
}

/* A full disk behind stdout must not look like success. */
static int flush_stdout(struct err *err)
{
	return fflush(stdout) == 0 ? 0 : err_set(err, ERR_FAILED, "standard output cannot be written");
}

/* Credentials pass through this memory: it goes into no core file and under no debugger but root's. */
static void keep_memory_private(void)
{
	const struct rlimit none = { 0, 0 };

	(void)setrlimit(RLIMIT_CORE, &none); /* lowering a limit cannot fail */
	(void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
}

/*
 * A socket or a worker's pipe that took the number of a closed stderr would get the log. Reading from a closed stdin
 * and writing to a closed stdout stay errors.
 */
static void fill_standard_descriptors(void)
{
	static const int modes[] = { O_WRONLY, O_RDONLY, O_RDWR };

	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
		if (fcntl(fd, F_GETFD) < 0)
			(void)open("/dev/null", modes[fd]); /* takes the lowest number: this one */
}

int main(int argc, char **argv)
{
	struct invocation in = { 0 };
	struct err err = { 0 };

	if (argc > 0 && streq(argv[0], ZYGOTE_ARGV0))
		return worker_main(argc, argv);
	fill_standard_descriptors();
	keep_memory_private();
	const char *name = argc < 2 ? "help" : argv[1];
	if (streq(name, "--help") || streq(name, "-h"))
		name = "help";
	if (streq(name, "--version"))
		name = "version";
	in.command = command_of(argc > 0 ? argv[0] : NULL, name);
	if (!in.command) {
		err_set(&err, ERR_USAGE, "there is no command '%s'", name);
		err_hint(&err, "see `berth help`");
	} else if (run(&in, argc > 1 ? argc - 1 : 1, argc > 1 ? argv + 1 : argv, &err) == 0) {
		err_clear(&err);          /* an attempt may have failed before one succeeded */
		(void)flush_stdout(&err); /* its error is looked at below */
	}
	if (err.kind != ERR_NONE)
		log_err(LOG_LEVEL_ERROR, &err);
	options_free(&in.options);
	strv_free(&in.positional);
	return err_exit_code(&err);
}
