/* berth(8), in man(7). */
#include "cmd/help.h"

#include "base/build_info.h"

#define ROFF_WIDTH 72 /* of a source line: mandoc complains from 80 on */

/* Characters that roff takes for something else; a dash is a minus, so that flags can be copied. */
static const struct {
	char c;
	const char *roff;
} specials[] = {
	{ '-', "\\-" }, { '\\', "\\e" }, { '`', "\\(ga" }, { '^', "\\(ha" }, { '~', "\\(ti" },
};

static void put_char(char c)
{
	for (size_t i = 0; i < ARRAY_LEN(specials); i++)
		if (c == specials[i].c) {
			printf("%s", specials[i].roff);
			return;
		}
	putchar(c);
}

static void put_word(const char *word, size_t len)
{
	for (size_t i = 0; i < len; i++)
		put_char(word[i]);
}

/* Running text as lines; "\n" begins a paragraph, indented as the one before. */
static void put_text(const char *text)
{
	size_t at = 0;

	while (*text) {
		size_t n = strcspn(text, " \n");
		if (at && at + 1 + n > ROFF_WIDTH) {
			putchar('\n');
			at = 0;
		}
		if (at)
			at += (size_t)printf(" ");
		else if (*text == '.' || *text == '\'')
			printf("\\&"); /* else a request */
		put_word(text, n);
		at += n;
		text += n;
		if (*text == '\n') {
			printf("\n.IP\n");
			at = 0;
		}
		text += *text != '\0';
	}
	putchar('\n');
}

static void put_heading(const char *text)
{
	printf(".TP\n.B ");
	put_word(text, strlen(text));
	putchar('\n');
}

static void put_commands(void)
{
	printf(".SH COMMANDS\n");
	for (size_t i = 0; i < command_count; i++) {
		const struct command *c = &command_table[i];
		CLEANUP(freep) char *heading = xasprintf("berth %s %s", c->name, c->args);
		put_heading(heading);
		put_text(c->text ?: c->summary);
	}
}

/* "up, pull"; only those for which the row's letter means this row, when asked for letters. */
static char *commands_of(const struct option_row *row, bool with_letter)
{
	CLEANUP(freep) char *names = xstrdup("");

	for (size_t i = 0; i < command_count; i++) {
		const struct command *c = &command_table[i];
		bool counts = with_letter ? option_by_letter(row->letter, c->bit) == row
					  : (c->bit & row->commands) != 0;
		if (!counts)
			continue;
		char *more = xasprintf("%s%s%s", names, *names ? ", " : "", c->name);
		free(names);
		names = more;
	}
	return STEAL(names);
}

static void put_option(const struct option_row *row)
{
	char letter[] = { '-', row->letter, ',', ' ', '\0' };
	CLEANUP(freep) char *heading = xasprintf("%s--%s%s%s", row->letter ? letter : "", row->flag ?: "",
						 row->arg ? " " : "", row->arg ?: "");
	CLEANUP(freep) char *commands = commands_of(row, false);
	CLEANUP(freep) char *with_letter = commands_of(row, true);
	CLEANUP(freep) char *text = xasprintf("%s%s%s%s%s%s.", row->help, row->choices ? " (" : "", row->choices ?: "",
					      row->choices ? ")" : "", row->fallback ? "; default " : "",
					      row->fallback ?: "");

	put_heading(heading);
	put_text(text);
	if (row->type == OPTION_LIST)
		printf("Repeatable.\n");
	if (row->variable)
		printf("Variable:\n.BR %s .\n", row->variable);
	printf("For: %s", commands);
	if (row->letter && !streq(commands, with_letter))
		printf(" (\\-%c: %s)", row->letter, with_letter);
	printf(".\n");
}

static void put_options(void)
{
	printf(".SH OPTIONS\n");
	put_text("A flag wins over its variable in the environment, and that over the same key in " OPTIONS_CONFIG_PATH
		 ". There and in variables, values of repeatable options are separated by commas (\"\\,\" is a comma), "
		 "and flags without a value say true or false. Names of flags are not abbreviated.");
	for (size_t i = 0; i < OPT__COUNT; i++)
		put_option(&option_table[i]);
}

static const struct {
	const char *heading, *text;
} files[] = {
	{ OPTIONS_CONFIG_PATH, "KEY=value lines with the variables named above; the last line of a key wins. Other "
			       "keys, such as AWS_REGION or HTTPS_PROXY, go into the environment where it does not "
			       "have them." },
	{ "/root/.docker/config.json", "Registry logins, when no user and password are given." },
}, endpoints[] = {
	{ "/healthz", "200 when the app is ready, else 503; a small JSON body says why." },
	{ "/livez", "200 while berth runs." },
	{ "/metrics", "Prometheus text." },
}, signals[] = {
	{ "SIGTERM, SIGINT", "Leave at once; the container goes on, unless --stop-on-exit is given." },
};

void help_man(void)
{
	/* No date: the same source makes the same page. */
	printf(".TH BERTH 8 \"\" \"berth %s\" \"System administration\"\n", build_version);
	printf(".SH NAME\nberth \\- turn a fresh instance into a healthy container\n"
	       ".SH SYNOPSIS\n.B berth\n.I COMMAND\n.RI [ OPTIONS ]\n.SH DESCRIPTION\n");
	put_text("berth reads the instance metadata, logs into the registry, pulls and verifies the image, starts the "
		 "container through the Docker socket, and answers health checks truthfully.");
	put_commands();
	put_options();
	printf(".SH EXIT STATUS\n");
	for (size_t i = 0; i < exit_status_count; i++) {
		put_heading(exit_status_table[i].status);
		put_text(exit_status_table[i].meaning);
	}
	printf(".SH SIGNALS\n");
	for (size_t i = 0; i < ARRAY_LEN(signals); i++) {
		put_heading(signals[i].heading);
		put_text(signals[i].text);
	}
	printf(".SH FILES\n");
	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		put_heading(files[i].heading);
		put_text(files[i].text);
	}
	printf(".SH ENDPOINTS\n");
	for (size_t i = 0; i < ARRAY_LEN(endpoints); i++) {
		put_heading(endpoints[i].heading);
		put_text(endpoints[i].text);
	}
}
