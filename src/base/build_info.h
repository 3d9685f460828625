/* What this binary was built from: for `berth version -v`. Filled in by configure. */
#ifndef BERTH_BASE_BUILD_INFO_H
#define BERTH_BASE_BUILD_INFO_H

#include "base/base.h"

struct build_component {
	const char *name;    /* third-party project, as its distribution names it */
	const char *version; /* with the distribution's revision where that is known */
	const char *sha256;  /* of the source or package built from; "" when linked from the system */
};

extern const char build_version[];
extern const char build_linkage[]; /* "static-pie" or "dynamic" */

extern const struct build_component build_components[];
extern const size_t build_components_len;

#endif
