#include "cmd/cmd.h"

const struct command command_table[] = {
	{ "version", "[-v] [--json]", "print the version; with -v the libraries built in", NULL, CMD_VERSION, 0,
	  cmd_version },
	{ "help", "[COMMAND]", "print help", NULL, CMD_HELP, 1, cmd_help },
};

const size_t command_count = ARRAY_LEN(command_table);

const struct command *command_find(const char *name)
{
	for (size_t i = 0; i < command_count; i++)
		if (streq(command_table[i].name, name))
			return &command_table[i];
	return NULL;
}
