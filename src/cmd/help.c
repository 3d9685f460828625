/* Help, the manual page and the bash completion: three renderings of the two tables. */
#include "cmd/cmd.h"

#include "base/build_info.h"

#define HELP_COLUMN 30
#define HELP_WIDTH 100

static const struct {
	const char *status, *meaning;
} exit_codes[] = {
	{ "0", "done" },
	{ "1", "failed" },
	{ "2", "wrong usage" },
	{ "75", "temporary failure, worth retrying" },
	{ "78", "wrong configuration" },
};

static bool row_of(size_t i, unsigned int bit)
{
	return option_table[i].flag && option_table[i].commands & bit;
}

/* "  -p, --publish [IP:]HOST:CONTAINER" */
static int print_flag(const struct option_row *row, unsigned int bit)
{
	bool letter = row->letter && option_by_letter(row->letter, bit) == row;

	return printf("  %c%c%c --%s%s%s", letter ? '-' : ' ', letter ? row->letter : ' ', letter ? ',' : ' ',
		      row->flag, row->arg ? " " : "", row->arg ?: "");
}

/* Words from column on, wrapped at HELP_WIDTH; `used` columns of the line are taken. */
static void print_wrapped(const char *text, int column, int used)
{
	if (used >= column) {
		putchar('\n');
		used = 0;
	}
	printf("%*s", column - used, "");
	int at = column;
	while (*text) {
		int n = (int)strcspn(text, " ");
		if (at + n > HELP_WIDTH && at > column) {
			printf("\n%*s", column, "");
			at = column;
		}
		at += printf("%.*s", n, text);
		text += n;
		if (*text == ' ' && text++)
			at += printf(" ");
	}
	putchar('\n');
}

static void print_option(const struct option_row *row, unsigned int bit)
{
	CLEANUP(freep) char *help = NULL;
	int used = print_flag(row, bit);

	help = xasprintf("%s%s%s%s%s%s%s", row->help, row->choices ? " (" : "", row->choices ?: "",
			 row->choices ? ")" : "", row->fallback ? " [" : "", row->fallback ?: "",
			 row->fallback ? "]" : "");
	print_wrapped(help, HELP_COLUMN, used);
}

static void help_command(const struct command *c)
{
	printf("Usage: berth %s %s\n\n", c->name, c->args);
	print_wrapped(c->text ?: c->summary, 0, 0);
	printf("\nOptions:\n");
	for (size_t i = 0; i < OPT__COUNT; i++)
		if (row_of(i, c->bit))
			print_option(&option_table[i], c->bit);
	if (c->bit & ~(unsigned int)(CMD_VERSION | CMD_HELP)) {
		printf("\n");
		print_wrapped("Each option can also be set by its variable (berth(8) names them, as --health-listen "
			      "is BERTH_HEALTH_LISTEN) in the environment or in " OPTIONS_CONFIG_PATH ".", 0, 0);
	}
}

static void help_all(void)
{
	printf("berth turns a fresh instance into a healthy container.\n\nUsage: berth COMMAND [OPTIONS]\n\n");
	for (size_t i = 0; i < command_count; i++)
		printf("  %-10s %s\n", command_table[i].name, command_table[i].summary);
	printf("\nExit status:");
	for (size_t i = 0; i < ARRAY_LEN(exit_codes); i++)
		printf("%s %s %s", i ? "," : "", exit_codes[i].status, exit_codes[i].meaning);
	printf("\nSee `berth help COMMAND` for its options.\n");
}

/* Text for roff: '-' and '\' are special, and so is '.' or '\'' at the start of a line. */
static void roff(const char *s)
{
	if (*s == '.' || *s == '\'')
		printf("\\&");
	for (; *s; s++) {
		if (*s == '-')
			printf("\\-");
		else if (*s == '\\')
			printf("\\e");
		else if (*s == '\n')
			printf("\n.PP\n");
		else
			putchar(*s);
	}
}

static void man_commands(void)
{
	printf(".SH COMMANDS\n");
	for (size_t i = 0; i < command_count; i++) {
		const struct command *c = &command_table[i];
		printf(".TP\n.B berth %s ", c->name);
		roff(c->args);
		printf("\n");
		roff(c->text ?: c->summary);
		printf("\n");
	}
}

static void man_options(void)
{
	printf(".SH OPTIONS\nA flag wins over its variable in the environment, and that over the same key in\n"
	       ".IR " OPTIONS_CONFIG_PATH ".\n"
	       "There and in variables, values of repeatable options are separated by commas.\n");
	for (size_t i = 0; i < OPT__COUNT; i++) {
		const struct option_row *row = &option_table[i];
		printf(".TP\n.B ");
		if (row->letter) {
			char letter[] = { '-', row->letter, ',', ' ', '\0' };
			roff(letter);
		}
		roff("--");
		roff(row->flag ?: "");
		printf(" ");
		roff(row->arg ?: "");
		printf("\n");
		roff(row->help);
		if (row->choices) {
			printf(" (");
			roff(row->choices);
			printf(")");
		}
		if (row->fallback) {
			printf("; default ");
			roff(row->fallback);
		}
		printf(".\n");
		if (row->variable)
			printf("Variable: \n.BR %s .\n", row->variable);
		if (row->type == OPTION_LIST)
			printf("Repeatable.\n");
		printf("For:");
		for (size_t k = 0; k < command_count; k++)
			if (command_table[k].bit & row->commands)
				printf(" %s", command_table[k].name);
		printf(".\n");
	}
}

static void man_page(void)
{
	printf(".TH BERTH 8 \"\" \"berth %s\" \"System administration\"\n", build_version);
	printf(".SH NAME\nberth \\- turn a fresh instance into a healthy container\n"
	       ".SH SYNOPSIS\n.B berth\n.I COMMAND\n.RI [ OPTIONS ]\n");
	printf(".SH DESCRIPTION\nberth reads the instance metadata, logs into the registry, pulls and verifies the "
	       "image, starts the container through the Docker socket, and answers health checks truthfully.\n");
	man_commands();
	man_options();
	printf(".SH EXIT STATUS\n");
	for (size_t i = 0; i < ARRAY_LEN(exit_codes); i++)
		printf(".TP\n.B %s\n%s\n", exit_codes[i].status, exit_codes[i].meaning);
	printf(".SH SIGNALS\n.TP\n.B SIGTERM, SIGINT\nLeave at once; the container goes on, unless\n"
	       ".B \\-\\-stop\\-on\\-exit\nis given.\n");
	printf(".SH FILES\n.TP\n.I " OPTIONS_CONFIG_PATH "\nKEY=value lines with the variables named above. Other "
	       "keys, such as AWS_REGION or HTTPS_PROXY, are put into the environment.\n"
	       ".TP\n.I /root/.docker/config.json\nRegistry logins, when no user and password are given.\n");
	printf(".SH ENDPOINTS\n.TP\n.B /healthz\n200 when the app is ready, else 503; a small JSON body says why.\n"
	       ".TP\n.B /livez\n200 while berth runs.\n.TP\n.B /metrics\nPrometheus text.\n");
}

static void completion(void)
{
	printf("# bash completion for berth; made by `berth help --bash-completion`\n_berth()\n{\n"
	       "\tlocal cur=${COMP_WORDS[COMP_CWORD]} words\n\tcase ${COMP_WORDS[1]} in\n");
	for (size_t i = 0; i < command_count; i++) {
		printf("\t%s) words='", command_table[i].name);
		for (size_t k = 0; k < OPT__COUNT; k++)
			if (row_of(k, command_table[i].bit))
				printf("--%s ", option_table[k].flag);
		printf("' ;;\n");
	}
	printf("\tesac\n\tif [ \"$COMP_CWORD\" -eq 1 ]; then\n\t\twords='");
	for (size_t i = 0; i < command_count; i++)
		printf("%s ", command_table[i].name);
	printf("'\n\tfi\n\tmapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$cur\")\n}\n"
	       "complete -o default -F _berth berth\n");
}

int cmd_help(const struct invocation *in, struct err *err)
{
	if (opt_flag(&in->options, OPT_MAN)) {
		man_page();
	} else if (opt_flag(&in->options, OPT_COMPLETION)) {
		completion();
	} else if (in->positional.n) {
		const struct command *c = command_find(in->positional.v[0]);
		if (!c)
			return err_set(err, ERR_USAGE, "there is no command '%s'", in->positional.v[0]);
		help_command(c);
	} else {
		help_all();
	}
	return 0;
}
