/* `berth metadata`: what the instance knows of itself, for people; secrets are redacted. */
#ifndef BERTH_AGENT_METADATA_H
#define BERTH_AGENT_METADATA_H

#include "aws/imds.h"

/* Somebody waits at a terminal. */
#define METADATA_PATIENCE_MS 5000

/*
 * Prints the answer for path ("placement/region", "meta-data/…", "/latest/dynamic/…"), or for
 * NULL and "" the whole of meta-data as an indented tree with the identity document behind it.
 * User data is printed only when it is asked for. ERR_USAGE for a path with "..";
 * else as imds_get().
 */
int metadata_print(struct imds *imds, const char *path, FILE *out, struct err *err) MUST_CHECK;

/* Pure: the path for imds_get(): without "/latest", empty and "." segments; caller frees. NULL: ERR_USAGE. */
char *metadata_path(const char *path, struct err *err);

/*
 * Pure: the text with the keys in it replaced by "(redacted)"; caller frees. Of a
 * document that ought to be credentials but cannot be read nothing is shown.
 */
char *metadata_redact(const char *path, const char *text, size_t len);

#endif
