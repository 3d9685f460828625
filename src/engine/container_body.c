#include "base/fs.h"
#include "base/secret.h"
#include "engine/container.h"
#include "engine/container_options.h"

/* Written by hand; dockerd itself stops at 4 MiB of request. */
#define CONTAINER_JSON_MAX_BYTES (1 * MIB)

static const struct json_limits body_limits = { .max_bytes = 4 * MIB,
						.max_depth = 64,
						.max_nodes = 500000 };

#define AT(member) offsetof(struct container_spec, member)

/* In the order in which they act: a log driver before its options. */
static const struct container_option options[] = {
	{ "--publish", AT(publish), FLAG_LIST, option_publish, NULL },
	{ "--env-file", AT(env_files), FLAG_LIST, option_env_file, "Env" },
	{ "--env", AT(env), FLAG_LIST, option_env, NULL },
	{ "--volume", AT(volumes), FLAG_LIST, option_volume, "Binds" },
	{ "--network", AT(network), FLAG_TEXT, option_network, "NetworkMode" },
	{ "--restart", AT(restart), FLAG_TEXT, option_restart, "RestartPolicy" },
	{ "--memory", AT(memory), FLAG_TEXT, option_host_bytes, "Memory" },
	{ "--cpus", AT(cpus), FLAG_TEXT, option_cpus, "NanoCpus" },
	{ "--user", AT(user), FLAG_TEXT, option_config_string, "User" },
	{ "--entrypoint", AT(entrypoint), FLAG_TEXT, option_entrypoint, "Entrypoint" },
	{ "--log-driver", AT(log_driver), FLAG_TEXT, option_log_driver, "LogConfig" },
	{ "--log-opt", AT(log_opts), FLAG_LIST, option_log_opt, "LogConfig" },
	{ "--label", AT(labels), FLAG_LIST, option_label, "Labels" },
	{ "--ulimit", AT(ulimits), FLAG_LIST, option_ulimit, "Ulimits" },
	{ "--cap-add", AT(cap_add), FLAG_LIST, option_host_item, "CapAdd" },
	{ "--cap-drop", AT(cap_drop), FLAG_LIST, option_host_item, "CapDrop" },
	{ "--read-only", AT(read_only), FLAG_BOOL, option_host_true, "ReadonlyRootfs" },
	{ "--tmpfs", AT(tmpfs), FLAG_LIST, option_tmpfs, "Tmpfs" },
	{ "--init", AT(init), FLAG_BOOL, option_host_true, "Init" },
	{ "--shm-size", AT(shm_size), FLAG_TEXT, option_host_bytes, "ShmSize" },
	{ "--hostname", AT(hostname), FLAG_TEXT, option_config_string, "Hostname" },
	{ "--add-host", AT(add_hosts), FLAG_LIST, option_add_host, "ExtraHosts" },
	{ "--gpus", AT(gpus), FLAG_TEXT, option_gpus, "DeviceRequests" },
};

/* Every value that the spec holds for one row, in order; a NULL text or a false bool is none. */
static int apply(struct container_builder *b, const struct container_option *o,
		 const struct container_spec *spec, struct err *err)
{
	const char *base = (const char *)spec + o->offset;
	const struct strv *list = (const struct strv *)(const void *)base;
	const char *const *text = (const char *const *)(const void *)base;

	switch (o->kind) {
	case FLAG_LIST:
		for (size_t i = 0; i < list->n; i++)
			if (o->apply(b, o, list->v[i], err) < 0)
				return err_wrap(err, "%s", o->flag);
		return 0;
	case FLAG_TEXT:
		if (*text && o->apply(b, o, *text, err) < 0)
			return err_wrap(err, "%s", o->flag);
		return 0;
	case FLAG_BOOL:
		if (*(const bool *)(const void *)base && o->apply(b, o, "", err) < 0)
			return err_wrap(err, "%s", o->flag);
		return 0;
	}
	return 0;
}

static int merge_file(struct json *body, const char *path, struct err *err)
{
	CLEANUP(buf_wipe) struct buf file = BUF_INIT(CONTAINER_JSON_MAX_BYTES);
	CLEANUP(json_freep) struct json *patch = NULL;

	if (fs_read(path, &file, err) < 0) {
		err->kind = ERR_CONFIG;
		return -1;
	}
	if (json_parse(file.data, file.len, &json_default_limits, &patch, err) < 0) {
		err->kind = ERR_CONFIG; /* the file is the user's, no peer's */
		return err_wrap(err, "%s", path);
	}
	if (!json_is_object(patch))
		return err_set(err, ERR_CONFIG, "%s: not a JSON object", path);
	json_merge(body, patch);
	return 0;
}

/*
 * What decides whether a container is the one that was asked for: all but the image (its digest has
 * a label of its own) and our labels (they hold this very hash).
 */
static void hash_config(const struct json *body, char out[SHA256_HEX_SIZE])
{
	CLEANUP(json_freep) struct json *config = json_clone(body);
	struct json *labels = json_ensure_object(config, "Labels");
	CLEANUP(strv_free) struct strv ours = { 0 };

	for (const struct json *v = json_first(labels); v; v = json_next(v))
		if (skip_prefix(json_name(v), "io.berth."))
			strv_add(&ours, json_name(v));
	for (size_t i = 0; i < ours.n; i++)
		json_remove(labels, ours.v[i]);
	json_remove(config, "Image");
	CLEANUP(wipep) char *text = json_print_sorted(config); /* the environment holds secrets */
	sha256_hex_of(text, strlen(text), out);
}

/* Options come from argv, which may hold any bytes; JSON is UTF-8. */
static int check_text(const struct json *body, struct err *err)
{
	CLEANUP(wipep) char *text = json_print(body, false);

	if (json_scan(text, strlen(text), &body_limits, err) < 0) {
		err->kind = ERR_CONFIG;
		return err_wrap(err, "the container's options cannot be sent to Docker");
	}
	return 0;
}

int container_body(const struct container_spec *spec, struct json **out,
		   char config_hash[SHA256_HEX_SIZE], struct err *err)
{
	CLEANUP(json_freep) struct json *body = json_new_object();
	CLEANUP(json_freep) struct json *env = json_new_object();
	struct container_builder b = { .body = body,
				       .host = json_ensure_object(body, "HostConfig"),
				       .env = env };

	json_set_str(body, "Image", spec->image);
	for (size_t i = 0; i < ARRAY_LEN(options); i++)
		if (apply(&b, &options[i], spec, err) < 0)
			return -1;
	option_env_end(&b);
	option_ulimits_end(&b);
	for (size_t i = 0; i < spec->n_command; i++)
		json_add_str(json_ensure_array(body, "Cmd"), spec->command[i]);
	if (spec->container_json && merge_file(body, spec->container_json, err) < 0)
		return err_wrap(err, "--container-json");
	if (check_text(body, err) < 0)
		return -1;
	hash_config(body, config_hash);
	*out = STEAL(body);
	return 0;
}
