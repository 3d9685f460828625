#include "agent/record.h"

#include "base/clock.h"
#include "base/fs.h"
#include "base/json.h"
#include "base/mem.h"
#include "oci/digest.h"

#define RECORD_MAX_BYTES (1 * MIB)
#define RECORD_LOCK_MS 2000 /* another berth needs some milliseconds */

#define RECORD_NAME "state.json"

static const char *const lists[] = { "images", "deployments", "wanted" };

static char *record_path(const char *state_dir)
{
	return xasprintf("%s/" RECORD_NAME, state_dir);
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
	bool sound = json_is_object(doc);
	for (size_t i = 0; sound && i < ARRAY_LEN(lists); i++)
		sound = !json_get(doc, lists[i]) || json_is_array(json_get(doc, lists[i]));
	if (sound)
		return doc;
	json_free(doc);
	return json_new_object();
}

static int record_save(const char *state_dir, const struct json *doc, struct err *err)
{
	CLEANUP(freep) char *path = record_path(state_dir);
	CLEANUP(freep) char *text = json_print(doc, true);

	return fs_write_atomic(path, text, strlen(text), 0644, err);
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
	return record_save(state_dir, doc, err);
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

struct json *record_images(const char *state_dir)
{
	CLEANUP(json_freep) struct json *doc = record_load(state_dir);
	const struct json *images = json_get(doc, "images");

	return images ? json_clone(images) : json_new_array();
}

/* Takes the rows whose `key` is `value` out of the list. */
static int forget(const char *state_dir, const char *list, const char *key, const char *value, struct err *err)
{
	CLEANUP(closep) int lock_fd = -1;

	if (record_lock(state_dir, &lock_fd, err) < 0)
		return err_wrap(err, "%s", RECORD_NAME);
	CLEANUP(json_freep) struct json *doc = record_load(state_dir);
	struct json *kept = json_new_array();
	for (const struct json *row = json_first(json_get(doc, list)); row; row = json_next(row))
		if (!streq(json_string(json_get(row, key)), value))
			json_add(kept, json_clone(row));
	json_set(doc, list, kept);
	return record_save(state_dir, doc, err);
}

int record_forget_image(const char *state_dir, const char *image_id, struct err *err)
{
	return forget(state_dir, "images", "id", image_id, err);
}

int record_forget_service(const char *state_dir, const char *name, struct err *err)
{
	if (forget(state_dir, "wanted", "name", name, err) < 0)
		return -1;
	return forget(state_dir, "deployments", "name", name, err);
}

static struct json *new_deployment(const struct record_deployment *r)
{
	struct json *row = json_new_object();
	char when[CLOCK_RFC3339_SIZE];

	clock_rfc3339(clock_wall_ms(), when);
	json_set_str(row, "name", r->name);
	json_set_str(row, "at", when);
	json_set_str(row, "by", r->by);
	json_set_str(row, "image", r->image);
	json_set_str(row, "digest", r->digest);
	json_set_str(row, "config", r->config);
	json_set_str(row, "strategy", r->strategy);
	json_set_str(row, "failure", r->failure);
	if (r->failure && r->passing)
		json_set_bool(row, "passing", true);
	if (r->from_digest)
		json_set_str(row, "from_digest", r->from_digest);
	if (r->from_config)
		json_set_str(row, "from_config", r->from_config);
	if (r->gap_ms >= 0)
		json_set_int(row, "gap_ms", r->gap_ms);
	return row;
}

int record_deployment(const char *state_dir, const struct record_deployment *r, struct err *err)
{
	CLEANUP(closep) int lock_fd = -1;
	size_t n = 1;

	if (record_lock(state_dir, &lock_fd, err) < 0)
		return err_wrap(err, "note the deployment");
	CLEANUP(json_freep) struct json *doc = record_load(state_dir);
	struct json *rows = json_new_array();
	json_add(rows, new_deployment(r));
	for (const struct json *row = json_first(json_get(doc, "deployments")); row && n < RECORD_DEPLOYMENTS_MAX;
	     row = json_next(row), n++)
		json_add(rows, json_clone(row));
	json_set(doc, "deployments", rows);
	return record_save(state_dir, doc, err);
}

struct json *record_last_deployment(const char *state_dir, const char *name, bool failed)
{
	CLEANUP(json_freep) struct json *doc = record_load(state_dir);

	for (const struct json *row = json_first(json_get(doc, "deployments")); row; row = json_next(row))
		if (streq(json_string(json_get(row, "name")), name) &&
		    (!failed || json_string(json_get(row, "failure"))))
			return json_clone(row);
	return NULL;
}

/* Of one attempt: about exactly that? */
static bool is_about(const struct json *row, const char *digest_key, const char *digest, const char *config_key,
		     const char *config)
{
	return streq(json_string(json_get(row, digest_key)), digest) &&
	       streq(json_string(json_get(row, config_key)), config);
}

struct json *record_objection(const char *state_dir, const char *name, const char *digest, const char *config)
{
	CLEANUP(json_freep) struct json *rows = record_deployments(state_dir, name);

	for (const struct json *row = json_first(rows); row && *digest; row = json_next(row)) {
		if (is_about(row, "from_digest", digest, "from_config", config))
			return json_clone(row);
		if (is_about(row, "digest", digest, "config", config) && !json_get(row, "passing"))
			return json_string(json_get(row, "failure")) ? json_clone(row) : NULL;
	}
	return NULL;
}

struct json *record_deployments(const char *state_dir, const char *name)
{
	CLEANUP(json_freep) struct json *doc = record_load(state_dir);
	struct json *rows = json_new_array();

	for (const struct json *row = json_first(json_get(doc, "deployments")); row; row = json_next(row))
		if (streq(json_string(json_get(row, "name")), name))
			json_add(rows, json_clone(row));
	return rows;
}

bool record_is_wanted(const char *state_dir, const char *name, const char *image, const char *config)
{
	CLEANUP(json_freep) struct json *doc = record_load(state_dir);

	for (const struct json *row = json_first(json_get(doc, "wanted")); row; row = json_next(row))
		if (streq(json_string(json_get(row, "name")), name))
			return is_about(row, "image", image, "config", config);
	return false;
}

int record_wanted(const char *state_dir, const char *name, const char *image, const char *config, struct err *err)
{
	CLEANUP(closep) int lock_fd = -1;
	size_t n = 1;

	if (record_is_wanted(state_dir, name, image, config))
		return 0;
	if (record_lock(state_dir, &lock_fd, err) < 0)
		return err_wrap(err, "note the options");
	CLEANUP(json_freep) struct json *doc = record_load(state_dir);
	struct json *rows = json_new_array(), *row = json_new_object();
	json_set_str(row, "name", name);
	json_set_str(row, "image", image);
	json_set_str(row, "config", config);
	json_add(rows, row);
	for (const struct json *v = json_first(json_get(doc, "wanted")); v && n < RECORD_SERVICES_MAX; v = json_next(v))
		if (!streq(json_string(json_get(v, "name")), name)) {
			json_add(rows, json_clone(v));
			n++;
		}
	json_set(doc, "wanted", rows);
	return record_save(state_dir, doc, err);
}
