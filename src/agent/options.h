/*
 * The options of all commands: one table gives flag, variable, key of berth.conf,
 * type, default and help; parsing, `berth help`, berth(8) and the completions all
 * read it. Precedence: flag > environment > file > default.
 */
#ifndef BERTH_AGENT_OPTIONS_H
#define BERTH_AGENT_OPTIONS_H

#include "base/err.h"
#include "base/mem.h"

#define OPTIONS_CONFIG_PATH "/etc/berth/berth.conf"
#define OPTIONS_FILE_MAX_BYTES (256 * KIB)
#define OPTIONS_PREFIX "BERTH_"

/* Commands that take options; a row of the table carries a set of them. */
enum command_bit {
	CMD_UP = 1 << 0,
	CMD_PULL = 1 << 1,
	CMD_STATUS = 1 << 2,
	CMD_METADATA = 1 << 3,
	CMD_VERSION = 1 << 4,
	CMD_HELP = 1 << 5,
	CMD_DEPLOY = 1 << 6,
	CMD_ROLLBACK = 1 << 7,
	CMD_DOWN = 1 << 8,
};
#define CMD_ALL \
	(CMD_UP | CMD_PULL | CMD_STATUS | CMD_METADATA | CMD_VERSION | CMD_HELP | CMD_DEPLOY | CMD_ROLLBACK | CMD_DOWN)
/* Those whose arguments behind -- are the container's command. */
#define CMD_RUN (CMD_UP | CMD_DEPLOY)

enum option_id {
	OPT_IMAGE,
	OPT_NAME,
	OPT_PUBLISH,
	OPT_ENV,
	OPT_ENV_FILE,
	OPT_VOLUME,
	OPT_NETWORK,
	OPT_RESTART,
	OPT_MEMORY,
	OPT_CPUS,
	OPT_USER,
	OPT_ENTRYPOINT,
	OPT_LOG_DRIVER,
	OPT_LOG_OPT,
	OPT_LABEL,
	OPT_ULIMIT,
	OPT_CAP_ADD,
	OPT_CAP_DROP,
	OPT_READ_ONLY,
	OPT_TMPFS,
	OPT_INIT,
	OPT_SHM_SIZE,
	OPT_HOSTNAME,
	OPT_ADD_HOST,
	OPT_GPUS,
	OPT_CONTAINER_JSON,
	OPT_COMMAND,
	OPT_HEALTH_LISTEN,
	OPT_PROBE,
	OPT_PULL,
	OPT_ON_FAILURE,
	OPT_READY_TIMEOUT,
	OPT_PROBE_INTERVAL,
	OPT_PROBE_TIMEOUT,
	OPT_PROBE_RISE,
	OPT_PROBE_FALL,
	OPT_DRAIN_TIMEOUT,
	OPT_STOP_ON_EXIT,
	OPT_STRATEGY,
	OPT_FORCE,
	OPT_NO_WAIT,
	OPT_KEEP,
	OPT_PURGE,
	OPT_REGISTRY_USER,
	OPT_REGISTRY_PASSWORD,
	OPT_PLATFORM,
	OPT_DOCKER_HOST,
	OPT_CONTAINERD_SOCKET,
	OPT_BACKFILL,
	OPT_FAST_LOAD,
	OPT_STATE_DIR,
	OPT_RUN_DIR,
	OPT_JSON,
	OPT_WATCH,
	OPT_CONFIG,
	OPT_LOG_FORMAT,
	OPT_QUIET,
	OPT_VERBOSE,
	OPT_HELP,
	OPT_MAN,
	OPT_COMPLETION,
	OPT__COUNT
};

enum option_type {
	OPTION_STRING,
	OPTION_LIST,     /* repeatable; comma-separated in variables and file, "\," is a comma */
	OPTION_FLAG,     /* no argument; true|false in variables and file */
	OPTION_DURATION, /* "500ms", "2s", "5m", "1h" → milliseconds */
	OPTION_COUNT,    /* whole number, 1-1000 */
	OPTION_CHOICE,   /* one of `choices` */
	OPTION_NAME,     /* of a container: container_name_check() */
};

struct option_row {
	const char *flag;     /* long name without "--"; NULL: arguments only */
	const char *variable; /* also the key of berth.conf; NULL: flag only */
	const char *arg;      /* metavariable */
	const char *fallback; /* default as text; NULL: none */
	const char *choices;  /* "newer|missing|always|never" */
	const char *help;     /* one sentence or two, no full stop needed */
	unsigned int commands;
	enum option_type type;
	char letter;      /* short flag or 0 */
	int64_t least_ms; /* of durations */
};

extern const struct option_row option_table[OPT__COUNT];

/* The row that a short letter means to a command (an earlier row wins: -v is --volume for up); or NULL. */
const struct option_row *option_by_letter(char letter, unsigned int command);

/* Where a value comes from; a later one wins. */
enum option_origin { ORIGIN_NONE, ORIGIN_DEFAULT, ORIGIN_FILE, ORIGIN_ENVIRONMENT, ORIGIN_FLAG };

struct options {
	struct {
		struct strv values; /* as given; one element unless OPTION_LIST */
		const char *source; /* "--name", "BERTH_NAME", "/etc/berth/berth.conf:3: BERTH_NAME", "default" */
		enum option_origin origin;
		int64_t number;     /* of durations, counts and flags */
	} v[OPT__COUNT];
	struct strv sources; /* owns what `source` points at */
	char **arguments;    /* as parsed, NULL at the end; borrowed: for a child with the same options */
	unsigned int command;        /* whose they are: a command_bit */
};

/*
 * Reads argv (behind the command's name), then the environment, then the file
 * (--config, BERTH_CONFIG or OPTIONS_CONFIG_PATH; only a named file must exist; with --help neither is read).
 * Flags are whole names ("--flag value", "--flag=value"), a flag of type OPTION_FLAG takes "=false" too; empty values
 * are refused, except of --entrypoint. In the file the last line of a key wins, and an empty value is none. Its keys
 * that are not BERTH_* go into the environment, where that says nothing (AWS_REGION, HTTPS_PROXY …).
 * ERR_USAGE for flags, ERR_CONFIG for variables and the file; messages name the flag, variable or line.
 * The arguments that are no flags go to positional (the first is IMAGE for up, deploy and pull); those behind "--" are
 * the container's command for up and deploy.
 */
int options_parse(struct options *o, unsigned int command, int argc, char **argv, struct strv *positional,
		  struct err *err) MUST_CHECK;
void options_free(struct options *o);

/* NULL when not given and without default. */
const char *opt_str(const struct options *o, enum option_id id);
const struct strv *opt_list(const struct options *o, enum option_id id);
int64_t opt_number(const struct options *o, enum option_id id); /* ms for durations */
bool opt_flag(const struct options *o, enum option_id id);
bool opt_given(const struct options *o, enum option_id id); /* not from the default */

/*
 * For values whose fault shows only when they are used: puts the variable or line they came from before the
 * message, and makes ERR_USAGE ERR_CONFIG; a flag's message stays as it is. Returns -1.
 */
int opt_wrap(const struct options *o, enum option_id id, struct err *err);

/*
 * Docker's rule (RestrictedNamePattern: at least two of letters, digits, '_', '.', '-', the first a letter or digit),
 * and at most CONTAINER_NAME_MAX bytes. ERR_USAGE. Also what keeps the files in RUN_DIR, named for the container,
 * there.
 */
#define CONTAINER_NAME_MAX 200 /* NAME-prev, and NAME.json with a random suffix, are file names too */
int container_name_check(const char *name, struct err *err) MUST_CHECK;

/* "1500" is refused, "1.5s" too: whole numbers with ms, s, m or h, below a year. */
int duration_parse(const char *text, int64_t *ms_out, struct err *err) MUST_CHECK;

#endif
