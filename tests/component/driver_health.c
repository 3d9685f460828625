/*
 * The health endpoint alone, for tests: driver_health [IP]:PORT. Says "listening" or fails as
 * berth would. Each line of standard input, "KEY VALUE", changes the snapshot, is published
 * and answered with "ok"; the end of input is the end.
 */
#include <unistd.h>

#include "agent/health.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"

static const struct {
	const char *key;
	size_t offset, size;
} texts[] = {
	{ "phase", offsetof(struct snapshot, phase), sizeof(((struct snapshot *)0)->phase) },
	{ "reason", offsetof(struct snapshot, reason), sizeof(((struct snapshot *)0)->reason) },
	{ "image", offsetof(struct snapshot, image), sizeof(((struct snapshot *)0)->image) },
	{ "digest", offsetof(struct snapshot, digest), sizeof(((struct snapshot *)0)->digest) },
	{ "container", offsetof(struct snapshot, container), sizeof(((struct snapshot *)0)->container) },
	{ "store", offsetof(struct snapshot, store), sizeof(((struct snapshot *)0)->store) },
};

static const struct {
	const char *key;
	size_t offset;
} numbers[] = {
	{ "ready_after_ms", offsetof(struct snapshot, ready_after_ms) },
	{ "pull_bytes", offsetof(struct snapshot, pull_bytes) },
	{ "pull_ms", offsetof(struct snapshot, pull_ms) },
	{ "probes_passed", offsetof(struct snapshot, probes_passed) },
	{ "probes_failed", offsetof(struct snapshot, probes_failed) },
};

static bool set(struct snapshot *s, const char *key, const char *value)
{
	for (int i = 0; streq(key, "status") && i < BOARD_STATUSES; i++)
		if (streq(value, board_status_name((enum board_status)i))) {
			s->status = (enum board_status)i;
			return true;
		}
	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		if (streq(key, texts[i].key)) {
			(void)snprintf((char *)s + texts[i].offset, texts[i].size, "%s", value);
			return true;
		}
	for (size_t i = 0; i < ARRAY_LEN(numbers); i++)
		if (streq(key, numbers[i].key)) {
			*(int64_t *)((char *)s + numbers[i].offset) = strtoll(value, NULL, 10);
			return true;
		}
	return false;
}

int main(int argc, char **argv)
{
	struct board *board = board_new();
	struct snapshot s = { .started_ms = clock_wall_ms(), .pid = getpid() };
	struct health *health;
	struct err err = { 0 };
	char line[4096];

	board_publish(board, &s);
	if (health_start(argc > 1 ? argv[1] : "", board, &health, &err) < 0) {
		log_err(LOG_LEVEL_ERROR, &err);
		board_free(board);
		return err_exit_code(&err);
	}
	puts("listening");
	fflush(stdout);
	while (fgets(line, sizeof line, stdin)) {
		line[strcspn(line, "\n")] = '\0';
		char *value = strchr(line, ' ');
		if (value)
			*value++ = '\0';
		bool known = value && set(&s, line, value);
		if (known)
			board_publish(board, &s);
		puts(known ? "ok" : "unknown");
		fflush(stdout);
	}
	health_stop(health);
	board_free(board);
	return 0;
}
