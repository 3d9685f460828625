/* Platforms "os/arch[/variant]" and which entry of an index fits this machine (image-spec image-index.md). Pure. */
#ifndef BERTH_OCI_PLATFORM_H
#define BERTH_OCI_PLATFORM_H

#include "base/err.h"

struct platform {
	char os[32];      /* "linux" */
	char arch[32];    /* "amd64", "arm64", "arm" */
	char variant[16]; /* "v8", "" */
};

/*
 * "linux/arm64", "linux/arm/v7"; aliases normalised as containerd does
 * (x86_64, aarch64, armhf, arm64/v8 → arm64). ERR_USAGE.
 */
int platform_parse(const char *text, struct platform *out, struct err *err) MUST_CHECK;
/* This machine's, from uname(2). */
void platform_host(struct platform *out);
/*
 * How well an image of platform p runs on host: 0 not at all,
 * larger is better (same order as containerd's platforms.Only: amd64 with its variants, arm v8 > v7 > v6 > v5).
 */
int platform_match(const struct platform *host, const struct platform *p);
/* "linux/arm64/v8"; static size. */
#define PLATFORM_STR_SIZE 84
const char *platform_str(const struct platform *p, char out[PLATFORM_STR_SIZE]);

#endif
