/* --probe, and what is asked when nobody said. */
#include "table.h"

#include "agent/probe.h"
#include "base/clock.h"

static void forms_of_a_probe(void **state)
{
	static const struct {
		const char *text;
		enum probe_kind kind;
		uint16_t port;
		const char *path, *said;
	} rows[] = {
		{ "http://:3000/health", PROBE_HTTP, 3000, "/health", "http://:3000/health" },
		{ "http://:3000", PROBE_HTTP, 3000, "/", "http://:3000/" },
		{ "http://:1/", PROBE_HTTP, 1, "/", "http://:1/" },
		{ "http://:80/a/b?deep=1&x=%20", PROBE_HTTP, 80, "/a/b?deep=1&x=%20", "http://:80/a/b?deep=1&x=%20" },
		{ "http://:080/", PROBE_HTTP, 80, "/", "http://:80/" },
		{ "tcp://:65535", PROBE_TCP, 65535, NULL, "tcp://:65535" },
		{ "docker", PROBE_DOCKER, 0, NULL, "docker" },
		{ "none", PROBE_NONE, 0, NULL, "none" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		CLEANUP(probe_clear) struct probe p = { .kind = PROBE_NONE };
		struct err err;
		if (!row_ok(rows[i].text, probe_parse(rows[i].text, &p, &err), &err))
			continue;
		CLEANUP(freep) char *said = probe_text(&p);
		row_int(rows[i].text, "kind", rows[i].kind, p.kind);
		row_int(rows[i].text, "port", rows[i].port, p.port);
		row_str(rows[i].text, "path", rows[i].path, p.path);
		row_str(rows[i].text, "said", rows[i].said, said);
	}
	table_end();
}

static void what_is_no_probe(void **state)
{
	CLEANUP(freep) char *deep = xasprintf("http://:80/%01024d", 0);
	const struct {
		const char *text, *part;
	} rows[] = {
		{ "", "not http://:PORT/PATH" },
		{ "http", "not http://:PORT/PATH" },
		{ "http://", "not http://:PORT/PATH" },
		{ "http://localhost:3000/", "not http://:PORT/PATH" },
		{ "https://:443/", "not http://:PORT/PATH" },
		{ "HTTP://:80/", "not http://:PORT/PATH" },
		{ " none", "not http://:PORT/PATH" },
		{ "http://:", "no container port" },
		{ "http://:/x", "no container port" },
		{ "http://:0/", "no container port" },
		{ "http://:65536/", "no container port" },
		{ "http://:-1/", "no container port" },
		{ "http://:+1/", "no container port" },
		{ "http://: 1/", "no container port" },
		{ "http://:99999999999999999999/", "no container port" },
		{ "http://:80x", "is not a path" },
		{ "http://:80?x", "is not a path" },
		{ "http://:80/a b", "blank" },
		{ "http://:80/a\r\nHost: x", "control" },
		{ "http://:80/a#b", "'#'" },
		{ deep, "too long" },
		{ "tcp://:80/", "'/' behind the port" },
		{ "tcp://:80 ", "behind the port" },
		{ "tcp://80", "not http://:PORT/PATH" },
		{ "docker:web", "behind the word" },
		{ "nonesuch", "behind the word" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct probe p = { .kind = PROBE_TCP, .port = 7 };
		struct err err;
		row_refused(rows[i].text, probe_parse(rows[i].text, &p, &err), ERR_USAGE, rows[i].part, &err);
		row_int(rows[i].text, "untouched", 7, p.port);
		assert_null(p.path);
	}
	table_end();
}

static void when_nobody_said(void **state)
{
	static const struct {
		const char *name, *inspect, *publish[4], *said;
	} rows[] = {
		{ "nothing to ask", "{}", { NULL }, "none" },
		{ "first published port", "{}", { "80:3000", "81:3001" }, "tcp://:3000" },
		{ "container's port, not the host's", "{}", { "127.0.0.1:8080:3000" }, "tcp://:3000" },
		{ "first TCP port", "{}", { "53:53/udp", "80:3000/tcp" }, "tcp://:3000" },
		{ "no TCP port", "{}", { "53:53/udp" }, "none" },
		{ "range", "{}", { "7000-7002:8000-8002" }, "tcp://:8000" },
		{ "ephemeral", "{}", { "3000" }, "tcp://:3000" },
		{ "HEALTHCHECK CMD", "{\"Config\":{\"Healthcheck\":{\"Test\":[\"CMD\",\"/check\"]}}}",
		  { "80:3000" }, "docker" },
		{ "HEALTHCHECK CMD-SHELL", "{\"Config\":{\"Healthcheck\":{\"Test\":[\"CMD-SHELL\",\"curl x\"]}}}",
		  { "80:3000" }, "docker" },
		{ "HEALTHCHECK NONE", "{\"Config\":{\"Healthcheck\":{\"Test\":[\"NONE\"]}}}", { "80:3000" },
		  "tcp://:3000" },
		{ "HEALTHCHECK of nothing", "{\"Config\":{\"Healthcheck\":{\"Test\":[]}}}", { "80:3000" },
		  "tcp://:3000" },
		{ "HEALTHCHECK CMD of nothing", "{\"Config\":{\"Healthcheck\":{\"Test\":[\"CMD\"]}}}", { "80:3000" },
		  "tcp://:3000" },
		{ "HEALTHCHECK null", "{\"Config\":{\"Healthcheck\":null}}", { NULL }, "none" },
		{ "HEALTHCHECK nonsense", "{\"Config\":{\"Healthcheck\":{\"Test\":{\"CMD\":1}}}}", { NULL }, "none" },
		{ "HEALTHCHECK of an interval alone", "{\"Config\":{\"Healthcheck\":{\"Interval\":1}}}", { "80:3000" },
		  "tcp://:3000" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		CLEANUP(strv_free) struct strv publish = { 0 };
		CLEANUP(json_freep) struct json *inspect = NULL;
		struct probe p = { .kind = PROBE_NONE };
		struct err err;

		for (size_t k = 0; rows[i].publish[k]; k++)
			strv_add(&publish, rows[i].publish[k]);
		if (json_parse(rows[i].inspect, strlen(rows[i].inspect), &json_default_limits, &inspect, &err) < 0)
			fail_msg("%s: %s", rows[i].name, err.msg);
		if (row_ok(rows[i].name, probe_default(inspect, &publish, &p, &err), &err)) {
			CLEANUP(freep) char *said = probe_text(&p);
			row_str(rows[i].name, "probe", rows[i].said, said);
		}
		probe_clear(&p);
	}
	table_end();
}

/* Before anybody is asked: what the state alone says. */
static void answers_without_a_question(void **state)
{
	static const struct {
		const char *name;
		struct probe probe;
		const char *health, *log;
		bool passed;
		const char *reason;
		int64_t ran_ms;
	} rows[] = {
		{ "none", { .kind = PROBE_NONE }, "", "", true, "", PROBE_NONE_RUNS_MS },
		{ "none, too early", { .kind = PROBE_NONE }, "", "", false, "the container has only just started",
		  PROBE_NONE_RUNS_MS - 100 },
		{ "none, and the clock was set back", { .kind = PROBE_NONE }, "", "", true, "", -60000 },
		{ "tcp without an address", { .kind = PROBE_TCP, .port = 1 }, "", "", false,
		  "the container has no address: its network is none", 0 },
		{ "docker says healthy", { .kind = PROBE_DOCKER }, "healthy", "ok", true,
		  "HEALTHCHECK: healthy: ok", 0 },
		{ "docker says unhealthy", { .kind = PROBE_DOCKER }, "unhealthy", "refused", false,
		  "HEALTHCHECK: unhealthy: refused", 0 },
		{ "docker without HEALTHCHECK", { .kind = PROBE_DOCKER }, "", "", false,
		  "--probe docker: the image has no HEALTHCHECK", 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct container_state s = { .running = true, .started_ms = clock_wall_ms() - rows[i].ran_ms };
		char reason[PROBE_REASON_SIZE] = "before";
		bool passed = !rows[i].passed;
		struct err err;

		(void)snprintf(s.health, sizeof s.health, "%s", rows[i].health);
		(void)snprintf(s.health_log, sizeof s.health_log, "%s", rows[i].log);
		if (row_ok(rows[i].name, probe_once(NULL, &rows[i].probe, &s, 1000, &passed, reason, &err), &err)) {
			row_int(rows[i].name, "passed", rows[i].passed, passed);
			row_str(rows[i].name, "reason", rows[i].reason, reason);
		}
	}
	table_end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(forms_of_a_probe),
		cmocka_unit_test(what_is_no_probe),
		cmocka_unit_test(when_nobody_said),
		cmocka_unit_test(answers_without_a_question),
	};

	return cmocka_run_group_tests_name("probe", tests, NULL, NULL);
}
