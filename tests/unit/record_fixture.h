/* A state.json of the test's own, in directories that are made when needed; setup and teardown are for a group. */
#ifndef BERTH_TESTS_UNIT_RECORD_FIXTURE_H
#define BERTH_TESTS_UNIT_RECORD_FIXTURE_H

#include "table.h"

#include <unistd.h>

#include "agent/record.h"
#include "base/fs.h"
#include "base/json.h"

#define ID(c) "sha256:" c c c c c c c c
#define A ID("aaaaaaaa")
#define B ID("bbbbbbbb")
#define C ID("cccccccc")

static char dir[] = "/tmp/berth-test-record.XXXXXX";
static char *state_dir, *file;

static inline int setup(void **state)
{
	(void)state;
	if (!mkdtemp(dir))
		return -1;
	state_dir = xasprintf("%s/made/when/needed", dir);
	file = xasprintf("%s/state.json", state_dir);
	return 0;
}

static inline int teardown(void **state)
{
	CLEANUP(freep) char *command = xasprintf("%s/made/when/needed", dir);

	(void)state;
	CLEANUP(freep) char *lock = xasprintf("%s/state.lock", state_dir);
	(void)unlink(file);
	(void)unlink(lock);
	for (char *end; strlen(command) >= strlen(dir) && rmdir(command) == 0 && (end = strrchr(command, '/'));)
		*end = '\0';
	free(state_dir);
	free(file);
	return 0;
}

static inline struct json *read_state(void)
{
	CLEANUP(buf_free) struct buf text = BUF_INIT(MIB);
	struct json *doc = NULL;
	struct err err;

	if (fs_read(file, &text, &err) < 0 ||
	    json_parse(buf_str(&text), text.len, &json_default_limits, &doc, &err) < 0)
		fail_msg("%s", err.msg);
	return doc;
}

#endif
