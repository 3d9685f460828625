#include "cmd/cmd.h"

#include "base/build_info.h"
#include "base/json.h"

static void print_json(void)
{
	struct json *v = json_new_object();
	struct json *components = json_ensure_array(v, "components");
	CLEANUP(freep) char *text = NULL;

	json_set_str(v, "version", build_version);
	json_set_str(v, "linkage", build_linkage);
	for (size_t i = 0; i < build_components_len; i++) {
		struct json *c = json_new_object();
		json_set_str(c, "name", build_components[i].name);
		json_set_str(c, "version", build_components[i].version);
		json_set_str(c, "sha256", build_components[i].sha256);
		json_add(components, c);
	}
	text = json_print(v, true);
	json_free(v);
	puts(text);
}

int cmd_version(const struct invocation *in, struct err *err)
{
	(void)err; /* main() looks at stdout itself */
	if (opt_flag(&in->options, OPT_JSON)) {
		print_json();
		return 0;
	}
	printf("berth %s\n", build_version);
	if (!opt_flag(&in->options, OPT_VERBOSE))
		return 0;
	printf("linkage: %s\n", build_linkage);
	for (size_t i = 0; i < build_components_len; i++)
		printf("%s %s %s\n", build_components[i].name, build_components[i].version,
		       build_components[i].sha256);
	return 0;
}
