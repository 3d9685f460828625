/*
 * Any value of any run option: refused as usage or configuration, or a body that Docker's JSON
 * reader takes. The first byte chooses the option.
 */
#include "fuzz.h"

#include "engine/container.h"

static struct container_spec spec;

static struct strv *const lists[] = {
	&spec.publish, &spec.env,     &spec.volumes,  &spec.log_opts, &spec.labels,
	&spec.ulimits, &spec.cap_add, &spec.cap_drop, &spec.tmpfs,    &spec.add_hosts,
};
static const char **const texts[] = {
	&spec.network,	  &spec.restart,    &spec.memory,   &spec.cpus,	    &spec.user,
	&spec.entrypoint, &spec.log_driver, &spec.shm_size, &spec.hostname, &spec.gpus,
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	CLEANUP(json_freep) struct json *body = NULL;
	char hash[SHA256_HEX_SIZE];
	struct err err = { 0 };

	if (!size)
		return 0;
	CLEANUP(freep) char *value = xstrndup((const char *)data + 1, size - 1);
	size_t which = data[0] % (ARRAY_LEN(lists) + ARRAY_LEN(texts));
	spec = (struct container_spec){ .image = "app" };
	if (which < ARRAY_LEN(lists))
		strv_add(lists[which], value);
	else
		*texts[which - ARRAY_LEN(lists)] = value;
	if (container_body(&spec, &body, hash, &err) < 0) {
		MUST(err.kind == ERR_USAGE || err.kind == ERR_CONFIG);
	} else {
		CLEANUP(freep) char *text = json_print(body, false);
		MUST(json_scan(text, strlen(text), &json_default_limits, &err) == 0);
	}
	if (which < ARRAY_LEN(lists))
		strv_free(lists[which]);
	return 0;
}
