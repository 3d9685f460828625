/* Environment variables as the SDKs read them. */
#ifndef BERTH_AWS_SETTING_H
#define BERTH_AWS_SETTING_H

#include "base/base.h"

/* The variable's value; NULL when it is not set or empty. */
static inline const char *setting(const char *name)
{
	const char *v = getenv(name);

	return v && v[0] ? v : NULL;
}

#endif
