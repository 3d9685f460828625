#include "agent/record.h"

#include "base/clock.h"
#include "base/fs.h"
#include "base/json.h"
#include "base/mem.h"
#include "oci/digest.h"

#define RECORD_MAX_BYTES (1 * MIB)
#define RECORD_LOCK_MS 2000 /* another berth needs some milliseconds */

static char *record_path(const char *state_dir)
{
	return xasprintf("%s/state.json", state_dir);
}

/* The document, or an empty one: what cannot be read is history lost, not a failure. */
static struct json *record_load(const char *state_dir)
{
	CLEANUP(freep) char *path = record_path(state_dir);
	CLEANUP(buf_free) struct buf text = BUF_INIT(RECORD_MAX_BYTES);
	struct json *doc = NULL;
	struct err ignored;

	if (fs_read(path, &text, &ignored) < 0 ||
	    json_parse(buf_str(&text), text.len, &json_default_limits, &doc, &ignored) < 0)
		return json_new_object();
	if (!json_is_object(doc) || (json_get(doc, "images") && !json_is_array(json_get(doc, "images")))) {
		json_free(doc);
		return json_new_object();
	}
	return doc;
}

static struct json *new_row(const char *image, const char *image_id, const char *digest, const char *store)
{
	struct json *row = json_new_object();
	char when[CLOCK_RFC3339_SIZE];

	clock_rfc3339(clock_wall_ms(), when);
	json_set_str(row, "image", image);
	json_set_str(row, "id", image_id);
	json_set_str(row, "digest", digest);
	json_set_str(row, "store", store);
	json_set_str(row, "at", when);
	return row;
}

/* Two pulls at once are two rows: whoever reads to write does it under this lock. */
static int record_lock(const char *state_dir, int *fd, struct err *err)
{
	CLEANUP(freep) char *path = xasprintf("%s/state.lock", state_dir);

	if (fs_mkdirs(state_dir, err) < 0)
		return -1;
	return fs_lock(path, clock_mono_ms() + RECORD_LOCK_MS, fd, err);
}

static bool is_noted(const struct json *doc, const char *image, const char *image_id, const char *digest)
{
	for (const struct json *row = json_first(json_get(doc, "images")); row; row = json_next(row))
		if (streq(json_string(json_get(row, "id")), image_id))
			return streq(json_string(json_get(row, "image")), image) &&
			       streq(json_string(json_get(row, "digest")), digest);
	return false;
}

int record_image(const char *state_dir, const char *image, const char *image_id, const char *digest,
		 const char *store, struct err *err)
{
	CLEANUP(closep) int lock_fd = -1;
	size_t n = 1;

	if (record_lock(state_dir, &lock_fd, err) < 0)
		return err_wrap(err, "note the image");
	CLEANUP(json_freep) struct json *doc = record_load(state_dir);
	CLEANUP(freep) char *path = record_path(state_dir);
	if (is_noted(doc, image, image_id, digest) || !*store) {
		fs_forget_unfinished(path); /* what a killed writer left */
		return 0;
	}
	struct json *images = json_new_array();

	/* Newest first, one row an image. */
	json_add(images, new_row(image, image_id, digest, store));
	for (const struct json *row = json_first(json_get(doc, "images")); row && n < RECORD_IMAGES_MAX;
	     row = json_next(row))
		if (!streq(json_string(json_get(row, "id")), image_id)) {
			json_add(images, json_clone(row));
			n++;
		}
	json_set(doc, "images", images);
	CLEANUP(freep) char *text = json_print(doc, true);
	return fs_write_atomic(path, text, strlen(text), 0644, err);
}

bool record_digest(const char *state_dir, const char *image_id, char digest[72])
{
	CLEANUP(json_freep) struct json *doc = record_load(state_dir);

	for (const struct json *row = json_first(json_get(doc, "images")); row; row = json_next(row)) {
		const char *found = json_string(json_get(row, "digest"));
		struct digest d;
		struct err ignored;
		/* It becomes a label: a damaged one is as good as none. */
		if (found && streq(json_string(json_get(row, "id")), image_id) &&
		    digest_parse(found, strlen(found), &d, &ignored) == 0) {
			memcpy(digest, d.text, sizeof d.text);
			return true;
		}
	}
	return false;
}
