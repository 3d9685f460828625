/* The commands: one table gives name, usage, summary and entry; dispatch, help and berth(8) read it. */
#ifndef BERTH_CMD_CMD_H
#define BERTH_CMD_CMD_H

#include "agent/options.h"

struct invocation {
	const struct command *command;
	struct options options;
	struct strv positional;
};

struct command {
	const char *name;
	const char *args;    /* "[IMAGE] [OPTIONS] [-- COMMAND...]" */
	const char *summary; /* one line */
	const char *text;    /* a paragraph or two for help and the manual */
	unsigned int bit;
	size_t max_positional;
	/* 0, or -1 with *err; main() prints it and exits with its code. */
	int (*run)(const struct invocation *in, struct err *err);
};

extern const struct command command_table[];
extern const size_t command_count;

/* By argv: the first argument, or what argv[0] stands for. NULL: there is no such command. */
const struct command *command_of(const char *argv0, const char *name);
const struct command *command_find(const char *name);

/*
 * Whose service a command without an image is about: --name, else as `berth up` would choose it from the
 * configuration, else the only one that runs here. ERR_USAGE. Caller frees.
 */
int cmd_service_name(const struct options *o, char **out, struct err *err) MUST_CHECK;

int cmd_up(const struct invocation *in, struct err *err);
int cmd_deploy(const struct invocation *in, struct err *err);
int cmd_redeploy(const struct invocation *in, struct err *err); /* these two: children of `berth up`, see redeploy.h */
int cmd_mend(const struct invocation *in, struct err *err);
int cmd_rollback(const struct invocation *in, struct err *err);
int cmd_down(const struct invocation *in, struct err *err);
int cmd_pull(const struct invocation *in, struct err *err);
int cmd_status(const struct invocation *in, struct err *err);
int cmd_metadata(const struct invocation *in, struct err *err);
int cmd_version(const struct invocation *in, struct err *err);
int cmd_help(const struct invocation *in, struct err *err);

#endif
