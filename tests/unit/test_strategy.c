/* Which of the two ways, and why. */
#include "table.h"

#include "agent/strategy.h"

#define TCP "\"PortBindings\":{\"80/tcp\":[{\"HostPort\":\"80\"}]}"

static const struct row {
	const char *host; /* HostConfig's members */
	const char *asked, *driver, *problem;
	bool podman;
	const char *expected; /* "blue-green", "recreate", "refused" */
	const char *why;      /* part of the reason */
} rows[] = {
	{ TCP, NULL, "", NULL, false, "blue-green", "" },
	{ TCP, "blue-green", "bridge", NULL, false, "blue-green", "" },
	{ TCP, "recreate", "", NULL, false, "recreate", "--strategy" },
	{ TCP ",\"NetworkMode\":\"host\"", NULL, "", NULL, false, "recreate", "host's network" },
	{ TCP ",\"NetworkMode\":\"host\"", "blue-green", "", NULL, false, "refused", "host's network" },
	{ TCP ",\"NetworkMode\":\"none\"", NULL, "", NULL, false, "recreate", "no network of its own" },
	{ TCP ",\"NetworkMode\":\"container:db\"", NULL, "", NULL, false, "recreate", "no network of its own" },
	{ TCP ",\"NetworkMode\":\"front\"", NULL, "bridge", NULL, false, "blue-green", "" },
	{ TCP ",\"NetworkMode\":\"front\"", NULL, "macvlan", NULL, false, "recreate", "no bridge" },
	{ "\"Memory\":0", NULL, "", NULL, false, "recreate", "no TCP port" },
	{ "\"PortBindings\":{\"80/tcp\":[]}", NULL, "", NULL, false, "recreate", "no TCP port" },
	{ "\"PortBindings\":{\"53/udp\":[{\"HostPort\":\"53\"}]}", NULL, "", NULL, false, "recreate", "no TCP port" },
	{ "\"PortBindings\":{\"80\":[{\"HostPort\":\"80\"}]}", NULL, "", NULL, false, "blue-green", "" },
	{ TCP, NULL, "", "port 80: busy", false, "recreate", "port 80: busy" },
	{ TCP, "blue-green", "", "port 80: busy", false, "refused", "port 80: busy" },
	{ TCP, NULL, "", NULL, true, "recreate", "Podman" },
	{ TCP ",\"Binds\":[\"/data:/data\"]", NULL, "", NULL, false, "recreate", "one volume" },
	{ TCP ",\"Binds\":[\"/data:/data:rw\"]", NULL, "", NULL, false, "recreate", "one volume" },
	{ TCP ",\"Binds\":[\"/data:/data:ro\"]", NULL, "", NULL, false, "blue-green", "" },
	{ TCP ",\"Binds\":[\"/data:/data:z,ro\"]", NULL, "", NULL, false, "blue-green", "" },
	{ TCP ",\"Binds\":[\"/data:/data:rosy\"]", NULL, "", NULL, false, "recreate", "one volume" },
	{ TCP ",\"Binds\":[\"/data:/data:ro\",\"db:/db\"]", NULL, "", NULL, false, "recreate", "one volume" },
	{ TCP ",\"Binds\":[\"/data:/data\"]", "blue-green", "", NULL, false, "blue-green", "" },
	{ TCP ",\"Mounts\":[{\"Type\":\"volume\",\"Target\":\"/d\"}]", NULL, "", NULL, false, "recreate",
	  "one volume" },
	{ TCP ",\"Mounts\":[{\"Type\":\"bind\",\"ReadOnly\":true}]", NULL, "", NULL, false, "blue-green", "" },
	{ TCP ",\"Mounts\":[{\"Type\":\"tmpfs\",\"Target\":\"/d\"}]", NULL, "", NULL, false, "blue-green", "" },
	{ TCP ",\"VolumesFrom\":[\"db\"]", NULL, "", NULL, false, "recreate", "one volume" },
	{ TCP ",\"DeviceRequests\":[{\"Count\":-1}]", NULL, "", NULL, false, "recreate", "GPUs" },
	{ TCP ",\"DeviceRequests\":[{\"Count\":-1}]", "blue-green", "", NULL, false, "blue-green", "" },
};

static void each_reason(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const struct row *r = &rows[i];
		CLEANUP(json_freep) struct json *body = NULL;
		CLEANUP(freep) char *text = xasprintf("{\"HostConfig\":{%s}}", r->host);
		char reason[STRATEGY_REASON_SIZE];
		enum strategy chosen;
		struct err err = { 0 };
		if (!row_ok(text, json_parse(text, strlen(text), &json_default_limits, &body, &err), &err))
			continue;
		const struct strategy_facts facts = {
			.body = body, .asked = r->asked, .network_driver = r->driver,
			.switch_problem = r->problem, .podman = r->podman,
		};
		int result = strategy_choose(&facts, &chosen, reason, &err);
		row_str(text, "strategy", r->expected, result < 0 ? "refused" : strategy_name(chosen));
		if (!strstr(reason, r->why) || (*reason && !*r->why))
			row_str(text, "reason", r->why, reason);
		if (result < 0)
			row_int(text, "kind", ERR_USAGE, err.kind);
	}
	table_end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_reason),
	};

	return cmocka_run_group_tests_name("strategy", tests, NULL, NULL);
}
