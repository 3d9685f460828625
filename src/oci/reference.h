/*
 * Image references: [host[:port]/]repository[:tag][@algorithm:hex], as docker
 * and the distribution spec's reference grammar define them. Pure.
 */
#ifndef BERTH_OCI_REFERENCE_H
#define BERTH_OCI_REFERENCE_H

#include "base/err.h"

#define REFERENCE_MAX_BYTES 1024
#define REPOSITORY_MAX_BYTES 255 /* distribution/reference NameTotalLengthMax */

struct reference {
	char *host;       /* "docker.io", "ghcr.io", "127.0.0.1:5000", "[::1]:5000"; lower case */
	char *repository; /* "library/debian" */
	char *tag;        /* "latest" where neither tag nor digest was given; NULL with a digest alone */
	char *digest;     /* "sha256:…" or NULL */
};

/* ERR_USAGE with the offending part named. */
int reference_parse(const char *text, struct reference *out, struct err *err) MUST_CHECK;
void reference_free(struct reference *ref); /* for CLEANUP() */
void reference_copy(struct reference *to, const struct reference *from);

/* Fully qualified: "docker.io/library/debian:latest@sha256:…"; caller frees. */
char *reference_str(const struct reference *ref);
/* As docker shows it ("familiar"): "debian:latest", "ghcr.io/o/n:tag"; caller frees. */
char *reference_familiar(const struct reference *ref);
/* What goes behind /manifests/: the digest if there is one, else the tag. */
const char *reference_manifest_key(const struct reference *ref);
/* The host to connect to: docker.io is registry-1.docker.io. */
const char *reference_api_host(const struct reference *ref);
/* Last component of the repository: the default container name. */
const char *reference_name(const struct reference *ref);

#endif
