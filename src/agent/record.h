/*
 * state.json: which images berth brought, under which digest. History only: Docker
 * is the database, and losing this file loses no more than that.
 */
#ifndef BERTH_AGENT_RECORD_H
#define BERTH_AGENT_RECORD_H

#include "base/err.h"

#define RECORD_IMAGES_MAX 100

/*
 * Notes that berth brought image_id ("sha256:…") as `image`, whose tag pointed at digest. With an empty store it
 * was here already, and is not noted again.
 */
int record_image(const char *state_dir, const char *image, const char *image_id, const char *digest,
		 const char *store, struct err *err) MUST_CHECK;

/* The digest under which berth brought image_id; false when it is not known. A damaged file is as a missing one. */
bool record_digest(const char *state_dir, const char *image_id, char digest[72]);

#endif
