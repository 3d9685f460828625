/* The completion for bash. */
#include "cmd/help.h"

static void put_commands(void)
{
	for (size_t i = 0; i < command_count; i++)
		printf("%s%s", i ? " " : "", command_table[i].name);
}

/* What may stand behind a flag that has choices; behind others with a value, a file name (complete -o default). */
static void put_values(void)
{
	bool first = true;

	for (size_t i = 0; i < OPT__COUNT; i++) {
		const struct option_row *row = &option_table[i];
		if (!row->flag || row->type != OPTION_CHOICE)
			continue;
		printf("\t--%s) words='", row->flag);
		for (const char *p = row->choices; *p; p++)
			putchar(*p == '|' ? ' ' : *p);
		printf("' ;;\n");
	}
	printf("\t");
	for (size_t i = 0; i < OPT__COUNT; i++) {
		const struct option_row *row = &option_table[i];
		if (!row->flag || row->type == OPTION_FLAG || row->type == OPTION_CHOICE)
			continue;
		printf("%s--%s", first ? "" : " | ", row->flag);
		first = false;
	}
	printf(") words= ;;\n");
}

static void put_flags(const struct command *c)
{
	printf("\t\t%s) words='", c->name);
	for (size_t i = 0; i < OPT__COUNT; i++)
		if (command_takes(c, &option_table[i]))
			printf("--%s ", option_table[i].flag);
	if (c->bit == CMD_HELP)
		put_commands();
	printf("' ;;\n");
}

void help_completion(void)
{
	printf("# bash completion for berth; made by `berth help --bash-completion`\n"
	       "_berth()\n{\n"
	       "\tlocal cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} words= word\n"
	       "\tCOMPREPLY=()\n"
	       "\tfor word in \"${COMP_WORDS[@]:1:COMP_CWORD-1}\"; do\n"
	       "\t\t[ \"$word\" != -- ] || return 0 # the container's command\n"
	       "\tdone\n"
	       "\t# bash breaks --flag=value into three words.\n"
	       "\tif [ \"$cur\" = = ]; then\n\t\tcur=\n"
	       "\telif [ \"$prev\" = = ]; then\n\t\tprev=${COMP_WORDS[COMP_CWORD-2]}\n\tfi\n"
	       "\tcase $prev in\n");
	put_values();
	printf("\t*)\n\t\tcase ${COMP_WORDS[1]} in\n");
	for (size_t i = 0; i < command_count; i++)
		put_flags(&command_table[i]);
	printf("\t\tesac ;;\n\tesac\n"
	       "\t[ \"$COMP_CWORD\" -ne 1 ] || words='");
	put_commands();
	printf("'\n\tmapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$cur\")\n}\n"
	       "complete -o default -F _berth berth\n");
}
