/*
 * The archive that POST /images/load takes, as a stream that is written while the layers arrive: no
 * I/O, no more than LOAD_ARCHIVE_STAGED_BYTES held. Layers come first, in order; what makes them an
 * image comes last and only when asked for, so that an archive cut before that is nothing to the
 * engine.
 */
#ifndef BERTH_ENGINE_LOAD_ARCHIVE_H
#define BERTH_ENGINE_LOAD_ARCHIVE_H

#include "engine/store.h"

/* Layer bytes taken and not yet sent. Large enough to keep both sides busy for a turn of the loop. */
#define LOAD_ARCHIVE_STAGED_BYTES (1 * MIB)

enum load_layout {
	LOAD_DOCKER_ARCHIVE, /* manifest.json, HEX.json, layers: classic dockerd, Podman */
	LOAD_OCI_LAYOUT      /* OCI image-layout: the containerd store */
};

struct load_archive;

/* The image is borrowed, skip copied: skip[i] layers are named but their bytes left out. */
int load_archive_new(enum load_layout layout, const struct store_image *image, const bool *skip,
		     struct load_archive **out, struct err *err) MUST_CHECK;
/*
 * A docker-archive whose layers are FIFOs, with nothing in them, of the names that
 * load_archive_fifo() makes: their bytes go another way, and none are wanted. prefix is borrowed.
 */
int load_archive_new_fifos(const struct store_image *image, const bool *skip, const char *prefix,
			   struct load_archive **out, struct err *err) MUST_CHECK;
char *load_archive_fifo(const char *prefix, size_t i); /* caller frees */
void load_archive_free(struct load_archive *a); /* NULL is fine */

/* The layer whose bytes come next, or -1: all are in. */
ssize_t load_archive_wants(const struct load_archive *a);
/* No byte of it has come yet. */
bool load_archive_at_layer_start(const struct load_archive *a);

/* Takes bytes of that layer, as many as there is room for: 0 means try again after load_archive_read(). */
size_t load_archive_put(struct load_archive *a, const void *bytes, size_t len);
bool load_archive_has_room(const struct load_archive *a);

/* All layers are in and good: the documents and the end may follow. */
int load_archive_finish(struct load_archive *a, struct err *err) MUST_CHECK;

/* The next bytes of the archive, at most max. 0: none now, or none ever if load_archive_at_end(). */
size_t load_archive_read(struct load_archive *a, void *out, size_t max);
bool load_archive_at_end(const struct load_archive *a);

#endif
