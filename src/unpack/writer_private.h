/* Private to writer*.c. */
#ifndef BERTH_UNPACK_WRITER_PRIVATE_H
#define BERTH_UNPACK_WRITER_PRIVATE_H

#include "unpack/writer.h"
#include "unpack/writer_dirs.h"

/* OCI image-spec layer.md, "Whiteouts" and "Opaque Whiteout". */
#define WHITEOUT_PREFIX ".wh."
#define WHITEOUT_OPAQUE ".wh..wh..opq"

struct writer {
	struct dirs *dirs;
	struct deferred *deferred;
	bool bottom;
	bool has_deferred; /* the list is not empty */
	bool has_default_acl; /* new files may start with another mode than asked for */

	/* The name of the entry in work, cleaned, and where its last part begins. */
	char path[DEFERRED_PATH_MAX];
	size_t path_len, name_at;

	/* The last directory looked for, as it was named. */
	struct dir *last;
	size_t last_len;
	char last_path[DEFERRED_PATH_MAX];

	/* Directories that had an entry and went again, in order. */
	struct lost_dir **lost;
	size_t n_lost, max_lost;

	/* The file in work. */
	int fd;
	struct writer_entry entry; /* strings are in the writer's buffers only while it is begun */
	int64_t file_end, total_bytes;
	bool chowned;
};

struct lost_dir {
	struct timespec times[2];
	char path[];
};

/* A name in a directory of the layer. */
struct spot {
	struct dir *dir;
	int fd; /* the directory's */
	const char *name;
	const char *path; /* all of it, for messages and notes */
};

/* errno as an error: what the layer's content caused is refused, the rest is the machine's. */
int writer_fail(struct err *err, int errnum, const char *what, const char *path);

/* Lexically, like Go's filepath.Clean("/" + path) without its slash: -1 when longer than size allows. */
ssize_t writer_clean(const char *path, char *out, size_t size);

/*
 * The directory that a clean path leads to through links of the layer, as containerd's
 * fs.RootPath() finds it. What does not exist is made, as a directory that the layer implies, or is
 * ERR_REFUSED where make is false.
 */
int writer_find_dir(struct writer *w, const char *path, size_t len, bool make, struct dir **out,
		    struct err *err) MUST_CHECK;

/* Makes room at the spot, whatever is there; at->fd is another one then. */
int writer_remove(struct writer *w, struct spot *at, struct err *err) MUST_CHECK;
int writer_remove_dir(struct writer *w, struct dir *d, struct err *err) MUST_CHECK;

/* The directory hides what is below it. */
int writer_make_opaque(struct writer *w, struct dir *d, struct err *err) MUST_CHECK;
/* The spot's name begins with WHITEOUT_PREFIX: what the rest names is hidden, or removed where nothing is below. */
int writer_make_whiteout(struct writer *w, const struct spot *at, const struct writer_entry *e,
			 struct err *err) MUST_CHECK;

/* containerd sets the times of every directory entry at the end, on whatever then has its name. */
int writer_end_lost(struct writer *w, struct err *err) MUST_CHECK;

int writer_note(struct writer *w, const struct deferred_item *item, struct err *err) MUST_CHECK;

/* Attributes of an open file or directory. *sets_mode: one of them changes the mode. */
int writer_set_xattrs(struct writer *w, int fd, const char *path, const struct writer_entry *e, bool *sets_mode,
		      struct err *err) MUST_CHECK;
/* Those of what cannot be opened. */
int writer_note_xattrs(struct writer *w, const char *path, const struct writer_entry *e, struct err *err) MUST_CHECK;

/* Owner, mode, times and attributes of what has just been made at the spot and is neither file nor directory. */
int writer_set_meta(struct writer *w, const struct spot *at, const struct writer_entry *e, struct err *err) MUST_CHECK;
/* Those of a hard link, where they are not what the file has. */
int writer_set_link_meta(struct writer *w, const struct spot *at, const struct writer_entry *e,
			 struct err *err) MUST_CHECK;
/* A directory that exists becomes what the entry says. */
int writer_set_dir_meta(struct writer *w, struct dir *d, const struct writer_entry *e, struct err *err) MUST_CHECK;

#endif
