#include "agent/spec.h"

/* Lists and strings of the spec, each from its option. */
static const struct {
	enum option_id id;
	size_t offset;
} lists[] = {
	{ OPT_PUBLISH, offsetof(struct container_spec, publish) },
	{ OPT_ENV, offsetof(struct container_spec, env) },
	{ OPT_ENV_FILE, offsetof(struct container_spec, env_files) },
	{ OPT_VOLUME, offsetof(struct container_spec, volumes) },
	{ OPT_LOG_OPT, offsetof(struct container_spec, log_opts) },
	{ OPT_LABEL, offsetof(struct container_spec, labels) },
	{ OPT_ULIMIT, offsetof(struct container_spec, ulimits) },
	{ OPT_CAP_ADD, offsetof(struct container_spec, cap_add) },
	{ OPT_CAP_DROP, offsetof(struct container_spec, cap_drop) },
	{ OPT_TMPFS, offsetof(struct container_spec, tmpfs) },
	{ OPT_ADD_HOST, offsetof(struct container_spec, add_hosts) },
}, strings[] = {
	{ OPT_NETWORK, offsetof(struct container_spec, network) },
	{ OPT_RESTART, offsetof(struct container_spec, restart) },
	{ OPT_MEMORY, offsetof(struct container_spec, memory) },
	{ OPT_CPUS, offsetof(struct container_spec, cpus) },
	{ OPT_USER, offsetof(struct container_spec, user) },
	{ OPT_ENTRYPOINT, offsetof(struct container_spec, entrypoint) },
	{ OPT_LOG_DRIVER, offsetof(struct container_spec, log_driver) },
	{ OPT_SHM_SIZE, offsetof(struct container_spec, shm_size) },
	{ OPT_HOSTNAME, offsetof(struct container_spec, hostname) },
	{ OPT_GPUS, offsetof(struct container_spec, gpus) },
	{ OPT_CONTAINER_JSON, offsetof(struct container_spec, container_json) },
};

/*
 * The option that a message is about, by the flag it begins with: container_body() does not know variables and files.
 */
static int name_source(const struct options *o, struct err *err)
{
	for (size_t i = 0; i < OPT__COUNT; i++) {
		const char *rest = skip_prefix(err->msg, "--"), *flag = option_table[i].flag;
		if (rest && flag && (rest = skip_prefix(rest, flag)) && (*rest == ':' || *rest == ' '))
			return opt_wrap(o, (enum option_id)i, err);
	}
	return -1;
}

int spec_open(const struct options *o, const char *name, struct container_spec *spec,
	      char config_hash[SHA256_HEX_SIZE], struct err *err)
{
	CLEANUP(json_freep) struct json *body = NULL;

	*spec = (struct container_spec){
		.name = name,
		.image = "",
		.read_only = opt_flag(o, OPT_READ_ONLY),
		.init = opt_flag(o, OPT_INIT),
		.command = opt_list(o, OPT_COMMAND)->v,
		.n_command = opt_list(o, OPT_COMMAND)->n,
	};
	for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
		const struct strv *from = opt_list(o, lists[i].id);
		struct strv *to = (struct strv *)((char *)spec + lists[i].offset);
		for (size_t k = 0; k < from->n; k++)
			strv_add(to, from->v[k]);
	}
	for (size_t i = 0; i < ARRAY_LEN(strings); i++)
		*(const char **)((char *)spec + strings[i].offset) = opt_str(o, strings[i].id);
	return container_body(spec, &body, config_hash, err) == 0 ? 0 : name_source(o, err);
}

void spec_close(struct container_spec *spec)
{
	for (size_t i = 0; i < ARRAY_LEN(lists); i++)
		strv_free((struct strv *)((char *)spec + lists[i].offset));
}
