/*
 * state.json: which images berth brought, under which digest, and how deployments went. History only: Docker
 * is the database, and losing this file loses no more than that.
 */
#ifndef BERTH_AGENT_RECORD_H
#define BERTH_AGENT_RECORD_H

#include "base/json.h"

#define RECORD_IMAGES_MAX 100
#define RECORD_DEPLOYMENTS_MAX 50
#define RECORD_SERVICES_MAX 50

/*
 * Notes that berth brought image_id ("sha256:…") as `image`, whose tag pointed at digest. With an empty store it
 * was here already, and is not noted again.
 */
int record_image(const char *state_dir, const char *image, const char *image_id, const char *digest,
		 const char *store, struct err *err) MUST_CHECK;

/* The digest under which berth brought image_id; false when it is not known. A damaged file is as a missing one. */
bool record_digest(const char *state_dir, const char *image_id, char digest[72]);

/* The images, newest first: [{"image","id","digest","store","at"}]; the caller's. */
struct json *record_images(const char *state_dir);
/* The engine does not have it any more. */
int record_forget_image(const char *state_dir, const char *image_id, struct err *err) MUST_CHECK;

/* How one deployment went. Strings may be NULL. */
struct record_deployment {
	const char *name;     /* of the service */
	const char *by;       /* "deploy", "rollback", "up" */
	const char *image, *digest, *config;
	const char *strategy; /* "first", "blue-green", "recreate" */
	const char *failure;  /* NULL: it serves */
	bool passing;         /* a failure that is no fault of this image with these options: it may be tried again */
	const char *from_digest, *from_config; /* of a rollback: what it left */
	int64_t gap_ms;       /* -1: none */
};
int record_deployment(const char *state_dir, const struct record_deployment *r, struct err *err) MUST_CHECK;

/* All that is known of that service's deployments. */
int record_forget_service(const char *state_dir, const char *name, struct err *err) MUST_CHECK;

/* The newest row of that service, or the newest failed one; NULL: none. The caller's. */
struct json *record_last_deployment(const char *state_dir, const char *name, bool failed);

/*
 * Did the last attempt at exactly this (digest and configuration) fail, or has somebody rolled back from it since? Then
 * that row, the caller's, without "failure" if it is a rollback; else NULL. An unknown digest ("") never did, and
 * passing failures say nothing.
 */
struct json *record_objection(const char *state_dir, const char *name, const char *digest, const char *config);

/* All rows of that service, newest first; the caller's. */
struct json *record_deployments(const char *state_dir, const char *name);

/*
 * The options (image as asked, and configuration) that `berth up` has carried out last for that service. While they do
 * not change, what somebody deployed or rolled back to after that is what is wanted.
 */
int record_wanted(const char *state_dir, const char *name, const char *image, const char *config,
		  struct err *err) MUST_CHECK;
bool record_is_wanted(const char *state_dir, const char *name, const char *image, const char *config);

#endif
