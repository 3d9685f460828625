/* Between the options' files: values, and the places that they come from. */
#ifndef BERTH_AGENT_OPTIONS_INTERNAL_H
#define BERTH_AGENT_OPTIONS_INTERNAL_H

#include "agent/options.h"

/*
 * Checks text and makes it the option's value; a list grows while its source stays the same. Lists
 * of variables and of the file are split at their commas. source names the place in messages and is
 * copied. ERR_USAGE.
 */
int option_set(struct options *o, enum option_id id, const char *text, const char *source, enum option_origin origin,
	       struct err *err) MUST_CHECK;
void option_unset(struct options *o, enum option_id id);

#endif
