#include "cmd/cmd.h"

#include "agent/redeploy.h"

const struct command command_table[] = {
	{ "up", "[IMAGE] [OPTIONS] [-- COMMAND...]", "make this instance serve IMAGE, and answer health checks",
	  "Brings the instance to the point where IMAGE runs and answers its probe, then stays in the foreground: "
	  "/healthz says 503 with the reason until the app is ready, 200 while it is, and follows it for life.\n"
	  "It is idempotent: a container of the same configuration is adopted or started without any network. Other "
	  "options than last time are carried out as berth deploy would, while the old container serves; what was "
	  "deployed or rolled back to since then is left alone.\n"
	  "On SIGTERM berth leaves and the container goes on, unless --stop-on-exit is given. SIGUSR1 begins a drain: "
	  "/healthz says draining, and the container serves the connections that it has; SIGUSR2 ends it. So do the "
	  "instance's target lifecycle state (Terminated, Detached, Standby; InService) and a spot notice. In a warm "
	  "pool all is made ready, and /healthz stays 503.",
	  CMD_UP, 1, cmd_up },
	{ "deploy", "[IMAGE] [OPTIONS] [-- COMMAND...]", "replace what serves by the newest image of the tag",
	  "Asks the registry what the tag means now. The same digest with the same options is current: nothing "
	  "is touched. Else the image is pulled and a container made from it, which runs beside the old one until it "
	  "passes its probe. Then new connections go to it; the old one ends those that it has, or --drain-timeout "
	  "passes, and it stays, stopped, as NAME-prev. Where two cannot run side by side (--strategy) the old one "
	  "stops first, and the time without service is measured and printed.\n"
	  "A new one that ends, or is not ready in time, is removed after its last lines were shown, and the old "
	  "one serves on; exit status 1, and the same image is not tried again without --force. Nor is one that was "
	  "rolled back from.\n"
	  "Options are those of berth up, from the same file and variables: give the same ones. A running berth up "
	  "notices by itself and follows the new container.",
	  CMD_DEPLOY, 1, cmd_deploy },
	{ "rollback", "[OPTIONS]", "go back to the container before",
	  "Starts NAME-prev, as it was made, probes it, and lets it and NAME change places as berth deploy does. "
	  "No network is needed. A second rollback goes forward again.",
	  CMD_ROLLBACK, 0, cmd_rollback },
	{ "down", "[--purge] [OPTIONS]", "stop and remove what berth made here",
	  "Drains, stops and removes the service's containers and the rules that lead to them; with --purge also their "
	  "images' own volumes, and the images that berth brought for it. Stop a running berth up first: it would make the container again.",
	  CMD_DOWN, 0, cmd_down },
	{ "pull", "IMAGE [OPTIONS]", "pull and unpack an image, for AMI bakes",
	  "Fetches what the engine lacks of IMAGE, verifies every byte and hands it over. Nothing is started.",
	  CMD_PULL, 1, cmd_pull },
	{ "status", "[OPTIONS]", "what runs, whether it is ready, and why not",
	  "Prints phase, image, digest, container and readiness; where the switch leads; the generation before, a "
	  "candidate, who is at work, the last failure and how deployments went. Exit status: 0 ready, 1 not ready.",
	  CMD_STATUS, 0, cmd_status },
	{ "metadata", "[PATH]", "print instance metadata, secrets redacted",
	  "Without PATH prints all of meta-data; with PATH (such as placement/region) that answer.",
	  CMD_METADATA, 1, cmd_metadata },
	{ "version", "[-v] [--json]", "print the version; with -v the libraries built in", NULL, CMD_VERSION, 0,
	  cmd_version },
	{ "help", "[COMMAND]", "print help", NULL, CMD_HELP, 1, cmd_help },
};

const size_t command_count = ARRAY_LEN(command_table);

/* `berth up` in all but what it does. */
static const struct {
	const char *argv0;
	struct command command;
} children[] = {
	{ REDEPLOY_ARGV0, { "up", "", "", NULL, CMD_UP, 1, cmd_redeploy } },
	{ REDEPLOY_MEND_ARGV0, { "up", "", "", NULL, CMD_UP, 1, cmd_mend } },
};

const struct command *command_of(const char *argv0, const char *name)
{
	for (size_t i = 0; argv0 && i < ARRAY_LEN(children); i++)
		if (streq(argv0, children[i].argv0))
			return &children[i].command;
	return command_find(name);
}

const struct command *command_find(const char *name)
{
	for (size_t i = 0; i < command_count; i++)
		if (streq(command_table[i].name, name))
			return &command_table[i];
	return NULL;
}
