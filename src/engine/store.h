/*
 * How an image becomes the engine's. One small interface; an implementation per
 * way in (now: `load`). The store is told what the image is, says which layers it
 * lacks, takes their bytes in the order it asks for, and commits. Nothing exists in
 * the engine before commit, and nothing counts before inspect agrees.
 */
#ifndef BERTH_ENGINE_STORE_H
#define BERTH_ENGINE_STORE_H

#include "engine/docker.h"

enum store_compression { STORE_PLAIN, STORE_GZIP, STORE_ZSTD };

struct store_layer {
	char digest[72];   /* of the blob, "sha256:…" */
	char diff_id[72];
	char chain_id[72];
	int64_t size_bytes; /* of the blob */
	int64_t raw_bytes;  /* > 0: it is fed inflated, and is of that size; only where takes_raw() */
	enum store_compression compression;
	const char *media_type;
};

struct store_document {
	const char *media_type;
	char digest[72];
	const void *bytes;
	size_t len;
};

/* All pointers are borrowed and outlive the session. */
struct store_image {
	const char *name;      /* familiar reference with tag to give it, or NULL (by digest only) */
	const char *full_name; /* "docker.io/library/debian:12", or by digest only "docker.io/library/debian@sha256:…" */
	struct store_document top, manifest, config; /* top equals manifest where the tag names a manifest */
	const struct store_layer *layers;
	size_t n_layers;
};

struct store_session;

/* Says that the session can take bytes of layer i again, or that it ended. From the loop; must not wait. */
typedef void store_event_fn(void *arg);

struct store {
	const char *name; /* "load": what status and bench print */
	/* The image ID that the engine will give it: config digest (classic, Podman) or top digest (containerd store). */
	void (*image_id)(struct docker *d, const struct store_image *image, char out[80]);
	/* Inflated layers are accepted too, where their size is known beforehand: the engine then need not inflate. */
	bool (*takes_raw)(struct docker *d);
	/* present[i]: the engine has the layer with chain ID i. */
	int (*present)(struct docker *d, const struct store_image *image, bool *present, struct err *err);
	/* Begins; skip[i] layers are left out. */
	int (*begin)(struct docker *d, struct loop *loop, const struct store_image *image, const bool *skip,
		     store_event_fn *event, void *arg, struct store_session **out, struct err *err);
	/* The layer whose bytes are wanted now, or -1: all have been taken. */
	ssize_t (*wants)(const struct store_session *s);
	/*
	 * Offers bytes of that layer: how many were taken (0: event will come), -1 when the engine ended it or
	 * could not unpack such bytes (ERR_REFUSED).
	 */
	ssize_t (*feed)(struct store_session *s, const void *bytes, size_t len, struct err *err);
	/*
	 * All layers have been taken and every digest and diff_id is verified: hands over what makes the image exist, waits for
	 * the engine's verdict (on the loop), inspects. ERR_REFUSED when the ID differs.
	 */
	int (*commit)(struct store_session *s, struct err *err);
	/* Ends a session, committed or not. Not committed: the engine must be left without anything of it. */
	void (*end)(struct store_session *s);
};

extern const struct store store_load;

/* The store for this engine, from its info. */
const struct store *store_choose(const struct docker_info *info);

#endif
