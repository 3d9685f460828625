#include "cmd/help.h"

#define HELP_COLUMN 30
#define HELP_WIDTH 100

const struct exit_status exit_status_table[] = {
	{ "0", "done" },
	{ "1", "failed" },
	{ "2", "wrong usage" },
	{ "75", "temporary failure, worth retrying" },
	{ "78", "wrong configuration" },
};

const size_t exit_status_count = ARRAY_LEN(exit_status_table);

bool command_takes(const struct command *c, const struct option_row *row)
{
	return row->flag && row->commands & c->bit;
}

/* "  -p, --publish [IP:]HOST:CONTAINER" */
static int print_flag(const struct option_row *row, unsigned int bit)
{
	bool letter = row->letter && option_by_letter(row->letter, bit) == row;

	return printf("  %c%c%c --%s%s%s", letter ? '-' : ' ', letter ? row->letter : ' ', letter ? ',' : ' ',
		      row->flag, row->arg ? " " : "", row->arg ?: "");
}

static size_t word_length(const char *text)
{
	return strcspn(text, " \n");
}

/* Words from column on, wrapped at HELP_WIDTH; `used` columns of the line are taken. "\n" begins a paragraph. */
static void print_wrapped(const char *text, int column, int used)
{
	int at = column;

	if (used && used >= column) {
		putchar('\n');
		used = 0;
	}
	printf("%*s", column - used, "");
	while (*text) {
		at += printf("%.*s", (int)word_length(text), text);
		text += word_length(text);
		if (*text == '\n') {
			printf("\n\n%*s", column, "");
			at = column;
		} else if (*text && at + 1 + (int)word_length(text + 1) > HELP_WIDTH) {
			printf("\n%*s", column, "");
			at = column;
		} else if (*text) {
			at += printf(" ");
		}
		text += *text != '\0';
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
		if (command_takes(c, &option_table[i]))
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
	for (size_t i = 0; i < exit_status_count; i++)
		printf("%s %s %s", i ? "," : "", exit_status_table[i].status, exit_status_table[i].meaning);
	printf("\nSee `berth help COMMAND` for its options.\n");
}

int cmd_help(const struct invocation *in, struct err *err)
{
	if (opt_flag(&in->options, OPT_MAN)) {
		help_man();
	} else if (opt_flag(&in->options, OPT_COMPLETION)) {
		help_completion();
	} else if (in->positional.n) {
		const struct command *c = command_find(in->positional.v[0]);
		if (!c)
			return err_set(err, ERR_USAGE, "there is no command '%.100s'", in->positional.v[0]);
		help_command(c);
	} else {
		help_all();
	}
	return 0;
}
