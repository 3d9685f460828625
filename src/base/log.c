#include "base/log.h"

#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/text.h"

static enum log_format format_now = LOG_TEXT;
static enum log_level max_level = LOG_LEVEL_NOTICE;
static void (*before_line)(void *);
static void (*after_line)(void *);
static void *around_arg;

static const struct {
	const char *name;
	int priority; /* syslog(3) */
} levels[] = {
	[LOG_LEVEL_ERROR] = { "error", 3 },	[LOG_LEVEL_WARNING] = { "warning", 4 },
	[LOG_LEVEL_NOTICE] = { "notice", 5 },	[LOG_LEVEL_INFO] = { "info", 6 },
	[LOG_LEVEL_DEBUG] = { "debug", 7 },
};

void log_setup(enum log_format format, enum log_level max)
{
	format_now = format;
	max_level = max;
}

enum log_format log_format(void)
{
	return format_now;
}

void log_around(void (*before)(void *), void (*after)(void *), void *arg)
{
	before_line = before;
	after_line = after;
	around_arg = arg;
}

/* True when stderr is the stream that systemd connected to the journal. */
static bool on_journal(void)
{
	static int known = -1;
	unsigned long long dev, ino;
	struct stat st;
	const char *s;

	if (known < 0) {
		s = getenv("JOURNAL_STREAM");
		known = s && sscanf(s, "%llu:%llu", &dev, &ino) == 2 && fstat(2, &st) == 0 &&
			st.st_dev == dev && st.st_ino == ino;
	}
	return known;
}

static void json_escape(FILE *f, const char *s)
{
	for (; *s; s++) {
		if (*s == '"' || *s == '\\')
			fprintf(f, "\\%c", *s);
		else if ((unsigned char)*s < 0x20)
			fprintf(f, "\\u%04x", (unsigned char)*s);
		else
			fputc(*s, f);
	}
}

static void emit_json(FILE *f, enum log_level level, const char *msg, const struct err *err)
{
	char when[CLOCK_RFC3339_SIZE];

	clock_rfc3339(clock_wall_ms(), when);
	fprintf(f, "{\"time\":\"%s\",\"level\":\"%s\",\"msg\":\"", when, levels[level].name);
	json_escape(f, msg);
	fputc('"', f);
	if (err) {
		fprintf(f, ",\"kind\":\"%s\",\"exit\":%d", err_kind_name(err->kind), err_exit_code(err));
		if (err->hint[0]) {
			fprintf(f, ",\"hint\":\"");
			json_escape(f, err->hint);
			fputc('"', f);
		}
	}
	fprintf(f, "}\n");
}

/* One write per line: lines of two processes on one journal do not mix. */
static void emit(enum log_level level, const char *msg, const struct err *err)
{
	CLEANUP(freep) char *line = NULL;
	char text[ERR_LINE_MAX];
	size_t len;
	FILE *f = open_memstream(&line, &len);

	if (!f)
		abort();
	if (format_now == LOG_JSON) {
		emit_json(f, level, msg, err);
	} else {
		if (on_journal())
			fprintf(f, "<%d>", levels[level].priority);
		fprintf(f, "berth: %s%s\n", level == LOG_LEVEL_WARNING ? "warning: " : "",
			err ? err_line(err, text, sizeof text) : msg);
	}
	if (fclose(f) != 0)
		abort();
	if (before_line)
		before_line(around_arg);
	(void)!write(STDERR_FILENO, line, len); /* a log that cannot be written has nowhere to say so */
	if (after_line)
		after_line(around_arg);
}

void log_line(enum log_level level, const char *fmt, ...)
{
	CLEANUP(freep) char *msg = NULL;
	va_list args;

	if (level > max_level)
		return;
	va_start(args, fmt);
	msg = xvasprintf(fmt, args);
	va_end(args);
	text_clean(msg); /* what an app printed among it: one line stays one */
	emit(level, msg, NULL);
}

void log_err(enum log_level level, const struct err *err)
{
	if (level <= max_level)
		emit(level, err->msg, err);
}
