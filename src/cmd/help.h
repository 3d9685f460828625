/*
 * The renderings of the commands' and options' tables beside `berth help`: berth(8) and the bash completion, on stdout.
 */
#ifndef BERTH_CMD_HELP_H
#define BERTH_CMD_HELP_H

#include "cmd/cmd.h"

struct exit_status {
	const char *status, *meaning;
};
extern const struct exit_status exit_status_table[];
extern const size_t exit_status_count;

/* The option has a flag, and the command takes it. */
bool command_takes(const struct command *c, const struct option_row *row);

void help_man(void);
void help_completion(void);

#endif
