/*
 * Whose word opens which registry: the options, ECR by the instance's role, Docker's
 * config.json, or nobody's.
 */
#ifndef BERTH_AGENT_LOGIN_H
#define BERTH_AGENT_LOGIN_H

#include "agent/context.h"
#include "oci/registry.h"

#define PASSWORD_MAX_BYTES (16 * KIB) /* an ECR password is 2.5 KiB */

struct login {
	struct context *context;
	const struct reference *ref; /* borrowed */
	struct registry_login last;  /* what it said last: for the engine's own pull; login_clear() */
};

void login_clear(struct login *l);

/* A registry_login_fn; arg is a struct login. */
int login_registry(void *arg, bool refresh, struct registry_login *out, struct err *err) MUST_CHECK;

/* True where the registry is known to want Basic: Amazon's private ones. */
bool login_is_basic(const struct reference *ref);

/* Checks --registry-user and --registry-password without any network: ERR_CONFIG, ERR_USAGE. */
int login_check(const struct options *options, struct err *err) MUST_CHECK;

#endif
