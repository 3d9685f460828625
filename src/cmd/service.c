#include "cmd/cmd.h"

#include <dirent.h>

#include "oci/reference.h"

/* RUN_DIR/NAME.json names the services; the only one there is needs no --name. */
static char *only_service(const char *run_dir)
{
	DIR *dir = opendir(run_dir);
	char *found = NULL;
	size_t n = 0;

	if (!dir)
		return NULL;
	for (struct dirent *e; (e = readdir(dir));) {
		const char *dot = strrchr(e->d_name, '.');
		if (!dot || !streq(dot, ".json"))
			continue;
		free(found);
		found = xstrndup(e->d_name, (size_t)(dot - e->d_name));
		n++;
	}
	closedir(dir);
	if (n == 1)
		return found;
	free(found);
	return NULL;
}

int cmd_service_name(const struct options *o, char **out, struct err *err)
{
	CLEANUP(reference_free) struct reference ref = { 0 };
	const char *image = opt_str(o, OPT_IMAGE);

	if (opt_str(o, OPT_NAME)) {
		*out = xstrdup(opt_str(o, OPT_NAME));
		return 0;
	}
	if (image) {
		if (reference_parse(image, &ref, err) < 0)
			return opt_wrap(o, OPT_IMAGE, err);
		*out = xstrdup(reference_name(&ref));
		return 0;
	}
	*out = only_service(opt_str(o, OPT_RUN_DIR));
	if (*out)
		return 0;
	err_set(err, ERR_USAGE, "no service is running here, or more than one");
	return err_hint(err, "say which: --name NAME");
}
