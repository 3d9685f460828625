#include "agent/acquire.h"

#include "agent/record.h"
#include "base/clock.h"
#include "base/log.h"
#include "engine/container.h"

/* Each policy: whether a local image will do without asking, whether the registry is asked, whether it may fail. */
static const struct policy {
	const char *name;
	bool local_first, ask, local_on_outage;
} policies[] = {
	{ "newer", false, true, true },
	{ "missing", true, true, false },
	{ "always", false, true, false },
	{ "never", true, false, false },
};

static const struct policy *policy_find(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(policies); i++)
		if (streq(policies[i].name, name))
			return &policies[i];
	return &policies[0];
}

/* The digest that the engine remembers for that repository, else the one berth noted. */
static void local_digest(struct context *c, const struct reference *ref, const struct image_state *image, char out[72])
{
	CLEANUP(freep) char *full = xasprintf("%s/%s@", ref->host, ref->repository);
	struct reference bare = { .host = ref->host, .repository = ref->repository };
	CLEANUP(freep) char *familiar = reference_familiar(&bare);

	out[0] = '\0';
	for (size_t i = 0; i < image->repo_digests.n; i++) {
		const char *rest = skip_prefix(image->repo_digests.v[i], full);
		if (!rest && (rest = skip_prefix(image->repo_digests.v[i], familiar)))
			rest = *rest == '@' ? rest + 1 : NULL;
		if (rest) {
			(void)snprintf(out, 72, "%s", rest);
			return;
		}
	}
	(void)record_digest(opt_str(c->options, OPT_STATE_DIR), image->id, out); /* "" when it does not know either */
}

/* 0 found, 1 not here, -1 failed. */
static int find_local(struct context *c, const struct reference *ref, struct acquired *out, struct err *err)
{
	CLEANUP(image_state_clear) struct image_state image = { 0 };
	struct reference shown = *ref;

	if (ref->digest)
		shown.tag = NULL; /* a digest is the stronger name */
	CLEANUP(freep) char *name = reference_familiar(&shown);
	if (image_inspect(c->docker, name, &image, err) < 0) {
		if (err->kind != ERR_NOT_FOUND)
			return -1;
		err_clear(err);
		return 1;
	}
	*out = (struct acquired){ .store = "" };
	(void)snprintf(out->image_id, sizeof out->image_id, "%s", image.id);
	(void)snprintf(out->image_ref, sizeof out->image_ref, "%s", name);
	if (ref->digest)
		(void)snprintf(out->digest, sizeof out->digest, "%s", ref->digest);
	else
		local_digest(c, ref, &image, out->digest);
	return 0;
}

/* The name, when it means that image; a name reads better in `docker ps`. */
static int choose_ref(struct context *c, const struct reference *ref, struct acquired *out, struct err *err)
{
	CLEANUP(image_state_clear) struct image_state image = { 0 };
	struct reference tagged = *ref;

	(void)snprintf(out->image_ref, sizeof out->image_ref, "%s", out->image_id);
	if (!ref->tag)
		return 0;
	tagged.digest = NULL;
	CLEANUP(freep) char *name = reference_familiar(&tagged);
	if (image_inspect(c->docker, name, &image, err) < 0) {
		if (err->kind != ERR_NOT_FOUND)
			return -1;
		err_clear(err);
		return 0;
	}
	if (streq(image.id, out->image_id))
		(void)snprintf(out->image_ref, sizeof out->image_ref, "%s", name);
	return 0;
}

static int from_registry(struct context *c, const struct reference *ref, int64_t deadline_ms,
			 struct progress *progress, const struct pull_hooks *hooks, struct acquired *out,
			 struct err *err)
{
	struct pulled pulled;
	struct pull_rest *rest;
	CLEANUP(freep) char *name = reference_str(ref);
	struct err noted;

	if (pull_image(c, ref, deadline_ms, progress, hooks, &pulled, &rest, err) < 0)
		return -1;
	*out = (struct acquired){ .store = pulled.store, .was_fast = pulled.was_fast,
				   .pull_ms = pulled.took_ms, .rest = rest };
	memcpy(out->image_id, pulled.image_id, sizeof out->image_id);
	memcpy(out->digest, pulled.digest, sizeof out->digest);
	if (record_image(opt_str(c->options, OPT_STATE_DIR), name, pulled.image_id,
						pulled.digest, pulled.store, &noted) < 0)
		log_err(LOG_LEVEL_WARNING, &noted); /* history only */
	if (choose_ref(c, ref, out, err) == 0)
		return 0;
	pull_rest_free(out->rest);
	out->rest = NULL;
	return -1;
}

int acquire_image(struct context *c, const struct reference *ref, struct progress *progress,
		  const struct pull_hooks *hooks, struct acquired *out, struct err *err)
{
	const struct policy *policy = policy_find(opt_str(c->options, OPT_PULL));
	struct acquired local;

	int found = find_local(c, ref, &local, err);
	if (found < 0)
		return -1;
	if (found == 0 && policy->local_first) {
		*out = local;
		return 0;
	}
	if (!policy->ask) {
		err_set(err, ERR_NOT_FOUND, "the image is not here, and --pull never forbids fetching it");
		return err_hint(err, "`berth pull` it first, or choose --pull missing");
	}
	bool fallback = found == 0 && policy->local_on_outage;
	int64_t deadline_ms = fallback ? clock_mono_ms() + ACQUIRE_NEWER_MS : -1;
	if (from_registry(c, ref, deadline_ms, progress, hooks, out, err) == 0)
		return 0;
	if (!fallback || !err->retryable)
		return -1;
	log_warning("%s; using the image that is here (%.19s)", err->msg, local.image_id);
	err_clear(err);
	*out = local;
	return 0;
}

int acquire_newest(struct context *c, const struct reference *ref, struct progress *progress,
		   const struct pull_hooks *hooks, struct acquired *out, struct err *err)
{
	return from_registry(c, ref, -1, progress, hooks, out, err);
}
