/*
 * How an image becomes the engine's. One small interface; an implementation per
 * way in. The store is told what the image is and says which layers it lacks. `load`
 * takes their bytes in the order it asks for; `containerd` gives a directory per layer, to be
 * filled in any order and all at once. No image exists in the engine before commit, and nothing
 * counts before inspect agrees.
 */
#ifndef BERTH_ENGINE_STORE_H
#define BERTH_ENGINE_STORE_H

#include "base/mem.h"
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
	/* "docker.io/library/debian:12", or by digest only "docker.io/library/debian@sha256:…" */
	const char *full_name;
	struct store_document top, manifest, config; /* top equals manifest where the tag names a manifest */
	const struct store_layer *layers;
	size_t n_layers;
	bool keep_blobs; /* a store that can do without the layers as they come takes them nevertheless: see keep() */
};

/* A directory that a layer has something in before, or without, an entry of its own. */
struct store_inherit {
	const char *path;     /* relative */
	bool attributes_only; /* the entry came later: mode and owner are the layer's */
};

struct store_session;

/* Says that the session can take bytes of layer i again, or that it ended. From the loop; must not wait. */
typedef void store_event_fn(void *arg);

struct store {
	const char *name; /* "load", "containerd": what status and bench print */
	bool fast;        /* in a way that Docker does not document: --fast-load */
	/*
	 * Layers are unpacked into directories, at the same time: staging() and layer() are there,
	 * wants() and feed() are NULL. Otherwise the other way round.
	 */
	bool parallel;
	/*
	 * Serves where present() or begin() (not parallel: feed(), commit() too) failed with ERR_CONFIG:
	 * a capability is missing. Or NULL.
	 */
	const struct store *fallback;
	/*
	 * Serves where the engine lacked what it was to have (ERR_NOT_FOUND), with all layers: a
	 * layer that was left out, or what an earlier load brought. NULL: this one does.
	 */
	const struct store *where_lacking;
	/*
	 * The image ID that the engine will give it: config digest (classic, Podman) or top digest (containerd store).
	 */
	void (*image_id)(struct docker *d, const struct store_image *image, char out[80]);
	/* Inflated layers are accepted too, where their size is known beforehand: the engine then need not inflate. */
	bool (*takes_raw)(struct docker *d);
	/* present[i]: the engine has the layer with chain ID i. ERR_CONFIG: as begin(). */
	int (*present)(struct docker *d, const struct store_image *image, bool *present, struct err *err);
	/* Begins; skip[i] layers are left out. */
	int (*begin)(struct docker *d, struct loop *loop, const struct store_image *image, const bool *skip,
		     store_event_fn *event, void *arg, struct store_session **out, struct err *err);
	/* The layer whose bytes are wanted now, or -1: all have been taken. */
	ssize_t (*wants)(const struct store_session *s);
	/*
	 * Offers bytes of that layer: how many were taken (0: event will come), -1 when the engine
	 * ended it or could not unpack such bytes (ERR_REFUSED).
	 */
	ssize_t (*feed)(struct store_session *s, const void *bytes, size_t len, struct err *err);
	/*
	 * The directory that layer i, which is not left out, is unpacked into. 1: *fd is an O_PATH
	 * descriptor, the session's; empty, root's, 0755. 0: it is not there yet, event will come.
	 * -1: it cannot be made.
	 */
	int (*staging)(const struct store_session *s, size_t i, int *fd, struct err *err);
	/*
	 * Or NULL. The bytes of layer i, which have all been taken, are verified (digest, diff_id):
	 * the engine may have them before commit. From the loop; must not wait.
	 */
	void (*verified)(struct store_session *s, size_t i);
	/*
	 * That directory is complete and verified (digest, diff_id): becomes the engine's layer. In
	 * the order of the image, for each that is not left out; may wait on the loop. inherit:
	 * what directories take from the layers below. ERR_NOT_FOUND: a layer below, which was left
	 * out, is gone. The directory is not to be touched any more.
	 */
	int (*layer)(struct store_session *s, size_t i, const struct store_inherit *inherit, size_t n_inherit,
		     struct err *err);
	/*
	 * Takes bytes of layer i as they come, beside its directory: for each that is not left out,
	 * where keep_blobs is set; any layers at the same time. As feed(). NULL: it takes them
	 * otherwise.
	 */
	ssize_t (*keep)(struct store_session *s, size_t i, const void *bytes, size_t len, struct err *err);
	/*
	 * All layers have been taken and every digest and diff_id is verified: hands over what
	 * makes the image exist, waits for the engine's verdict (on the loop), inspects.
	 * ERR_REFUSED when the ID differs.
	 */
	int (*commit)(struct store_session *s, struct err *err);
	/*
	 * Ends a session, committed or not. Not committed: the engine must be left without anything
	 * of it, layers aside that a next session of this process could use; those go with the
	 * struct docker.
	 */
	void (*end)(struct store_session *s);
	/* Removes what sessions of dead processes left; present() does so too. NULL: they leave nothing. */
	int (*tidy)(struct docker *d, struct err *err);
	/*
	 * lacks[i]: the engine has the image but not the blob of layer i, so that it can neither save nor push it.
	 * NULL: never.
	 */
	int (*lacks)(struct docker *d, const struct store_image *image, bool *lacks, struct err *err);
};

extern const struct store store_load;
extern const struct store store_containerd;

/*
 * The store for this engine, from its info; connects to containerd where that is Docker's store.
 * *why is set (else ERR_NONE) when a capability is missing for the faster one: for one warning.
 */
const struct store *store_choose(struct docker *d, struct err *why);

/*
 * The faster way into a classic store that nobody documents, if this engine is on this machine;
 * else `usual`, and *why is set. Its fallback serves where it fails, as no more is known
 * beforehand.
 */
const struct store *store_choose_fast(struct docker *d, const struct store *usual, struct err *why);

#endif
