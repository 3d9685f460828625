/* How a pull looks: bars that leave nothing behind, lines, JSON, silence. */
#include "capture.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <termios.h>

#include "agent/progress.h"
#include "base/clock.h"
#include "base/log.h"

#define SCREEN_ROWS 30
#define SCREEN_COLUMNS 200

static void sizes(void **state)
{
	static const struct {
		int64_t bytes;
		const char *text;
	} rows[] = {
		{ 0, "0 B" },		  { 1, "1 B" },		     { 999, "999 B" },		 { 1000, "1.0 kB" },
		{ 1049, "1.0 kB" },	  { 9949, "9.9 kB" },	     { 9960, "10 kB" },		 { 10400, "10 kB" },
		{ 999499, "999 kB" },	  { 999500, "1.0 MB" },	     { 1200000000, "1.2 GB" },
		{ 999999999999, "1.0 TB" }, { 45000000000000, "45 TB" }, { 9e18, "9000000 TB" },
	};
	char text[SIZE_TEXT_MAX];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		row_str(rows[i].text, "size", rows[i].text, size_text(rows[i].bytes, text));
	table_end();
}

static int64_t now_ms;

static int64_t fake_now(void)
{
	return now_ms;
}

struct pull {
	const char *const *argv;
	size_t layers;
	bool leave_open; /* do not end: what is on the screen stays to be looked at */
};

/* A pull of MB layers, half a megabyte each 50 ms, with a log line in the middle. */
static void pull(void *arg)
{
	const struct pull *p = arg;
	struct options o;
	struct strv positional = { 0 };
	struct err err;
	const char *digests[40];
	int64_t lengths[40];
	int argc = 0;

	clock_inject(fake_now, fake_now);
	unsetenv("JOURNAL_STREAM");
	while (p->argv[argc])
		argc++;
	/* The help command's reading: no file of this machine has a say. */
	if (options_parse(&o, CMD_HELP, 1, (char **)(uintptr_t)p->argv, &positional, &err) < 0)
		_exit(3);
	for (int i = 1; i < argc; i++)
		if (streq(p->argv[i], "--quiet"))
			o.v[OPT_QUIET].number = 1;
	log_setup(argc > 1 && streq(p->argv[1], "json") ? LOG_JSON : LOG_TEXT, LOG_LEVEL_INFO);
	for (size_t i = 0; i < p->layers; i++) {
		digests[i] = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
		lengths[i] = 1000000;
	}
	struct progress *progress = progress_new(&o);
	progress_begin(progress, "a/web:v1", p->layers, digests, lengths);
	progress_layer(progress, 0, LAYER_PRESENT, 0);
	for (size_t i = 1; i < p->layers; i++)
		for (int k = 1; k <= 2; k++) {
			now_ms += 50;
			progress_layer(progress, i, k == 2 ? LAYER_VERIFIED : LAYER_FETCHING, k * 500000);
			if (i == p->layers / 2)
				log_info("in the middle");
		}
	now_ms += 6000;
	progress_activity(progress, "Docker registers the layers");
	now_ms += 6000;
	progress_layer(progress, p->layers - 1, LAYER_VERIFIED, 1000000);
	options_free(&o);
	if (p->leave_open)
		return;
	progress_free(progress);
	log_info("pulled");
}

static void nothing_when_quiet(void **state)
{
	static const char *const argv[] = { "up", "--quiet", NULL };
	struct pull p = { .argv = argv, .layers = 3 };
	CLEANUP(freep) char *out = stderr_of(pull, &p);

	(void)state;
	assert_string_equal(out, "berth: in the middle\nberth: in the middle\nberth: pulled\n");
}

static void lines_without_a_terminal(void **state)
{
	static const char *const argv[] = { "up", NULL };
	struct pull p = { .argv = argv, .layers = 3 };
	CLEANUP(freep) char *out = stderr_of(pull, &p);

	(void)state;
	assert_null(strchr(out, '\033'));
	assert_non_null(strstr(out, "berth: pull: 3 of 3 layers, 2.0 MB of 2.0 MB; Docker registers the layers\n"));
	/* One in PROGRESS_LINE_MS, not one a layer. */
	size_t lines = 0;
	for (const char *s = out; (s = strstr(s, "berth: pull:")); s++)
		lines++;
	assert_int_equal(lines, 2);
}

static void json_lines(void **state)
{
	static const char *const argv[] = { "up", "json", NULL };
	struct pull p = { .argv = argv, .layers = 3 };
	CLEANUP(freep) char *out = stderr_of(pull, &p);

	(void)state;
	assert_non_null(strstr(out, "\"msg\":\"pull: 3 of 3 layers"));
	for (const char *line = out; *line; line = strchr(line, '\n') + 1)
		assert_int_equal(*line, '{');
}

/* --- A terminal: what stands on it when the bytes have been obeyed. --- */

struct screen {
	char cell[SCREEN_ROWS * 4][SCREEN_COLUMNS + 1];
	size_t row, column, columns, wraps;
};

static void obey(struct screen *s, const char *p)
{
	for (; *p; p++) {
		if (*p == '\n') {
			s->row++;
		} else if (*p == '\r') {
			s->column = 0;
		} else if (*p == '\033') {
			char *end;
			unsigned long n = strtoul(p + 2, &end, 10);
			assert_int_equal(p[1], '[');
			p = end;
			if (*p == 'A') {
				assert_true(n <= s->row);
				s->row -= n;
			} else if (*p == 'K') {
				memset(&s->cell[s->row][s->column], 0, SCREEN_COLUMNS - s->column);
			} else {
				assert_int_equal(*p, 'J');
				memset(&s->cell[s->row][s->column], 0, SCREEN_COLUMNS - s->column);
				for (size_t r = s->row + 1; r < ARRAY_LEN(s->cell); r++)
					memset(s->cell[r], 0, SCREEN_COLUMNS);
			}
		} else {
			if (s->column == s->columns) {
				s->wraps++;
				s->column = 0;
				s->row++;
			}
			s->cell[s->row][s->column++] = *p;
		}
		assert_true(s->row < ARRAY_LEN(s->cell));
	}
}

static char *drawn(size_t rows, size_t columns, struct pull *p)
{
	const struct winsize ws = { .ws_row = (unsigned short)rows, .ws_col = (unsigned short)columns };
	CLEANUP(closep) int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
	char *text = xcalloc(1, CAPTURE_MAX);
	size_t len = 0;
	int status = -1;
	ssize_t n;

	assert_true(master >= 0 && grantpt(master) == 0 && unlockpt(master) == 0);
	CLEANUP(closep) int slave = open(ptsname(master), O_RDWR | O_NOCTTY | O_CLOEXEC);
	assert_true(slave >= 0 && ioctl(slave, TIOCSWINSZ, &ws) == 0);
	setenv("TERM", "xterm", 1);
	pid_t pid = fork();
	if (pid == 0) {
		run_with_stderr(slave, pull, p);
		_exit(0);
	}
	/* The terminal's buffer is small: read while it is written, and what is left at the end. */
	for (bool running = true; running;) {
		running = waitpid(pid, &status, WNOHANG) == 0;
		while ((n = read(master, text + len, CAPTURE_MAX - 1 - len)) > 0)
			len += (size_t)n;
		(void)usleep(1000);
	}
	assert_int_equal(status, 0);
	return text;
}

static void bars_come_and_go(void **state)
{
	static const char *const argv[] = { "up", NULL };
	static const struct {
		const char *name;
		size_t layers, rows, columns, wraps;
	} rows[] = {
		{ "usual", 5, 24, 80, 0 },
		{ "narrow", 5, 24, 30, 0 },
		{ "more layers than rows", 40, 10, 80, 0 },
		{ "one layer", 1, 24, 80, 0 },
		{ "three rows high", 5, 3, 80, 0 },
		{ "wide", 3, 24, SCREEN_COLUMNS, 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct pull p = { .argv = argv, .layers = rows[i].layers };
		struct screen s = { .columns = rows[i].columns };
		CLEANUP(freep) char *out = drawn(rows[i].rows, rows[i].columns, &p);

		obey(&s, out);
		row_int(rows[i].name, "rows that wrapped", 0, (int64_t)s.wraps);
		row_int(rows[i].name, "drew", 1,
			strstr(out, "[====") != NULL || rows[i].layers == 1 || rows[i].rows < 4);
		/* At the end only the log lines are there. */
		size_t middle = rows[i].layers > 1 ? 2 : 0;
		for (size_t k = 0; k < middle; k++)
			row_str(rows[i].name, "log line", "berth: in the middle", s.cell[k]);
		row_str(rows[i].name, "last line", "berth: pulled", s.cell[middle]);
		row_str(rows[i].name, "below", "", s.cell[middle + 1]);
	}
	table_end();
}

static void bars_say_where_each_layer_is(void **state)
{
	static const char *const argv[] = { "up", NULL };
	struct pull p = { .argv = argv, .layers = 3, .leave_open = true };
	struct screen s = { .columns = 100 };
	CLEANUP(freep) char *out = drawn(24, 100, &p);

	(void)state;
	obey(&s, out);
	assert_string_equal(s.cell[2], "  0123456789ab [========================]     0 B / 1.0 MB  already there");
	assert_string_equal(s.cell[3], "  0123456789ab [========================]  1.0 MB / 1.0 MB  verified");
	assert_string_equal(s.cell[4], "  0123456789ab [========================]  1.0 MB / 1.0 MB  verified");
	assert_string_equal(s.cell[5], "  3 of 3 layers, 2.0 MB of 2.0 MB; Docker registers the layers");
}

/* Where sizes have no room, the bar and a percentage stay. */
static void narrow_terminals_have_narrow_rows(void **state)
{
	static const char *const argv[] = { "up", NULL };
	static const struct {
		const char *name, *row;
		size_t columns;
	} rows[] = {
		{ "80 columns", "  0123456789ab [========================]  1.0 MB / 1.0 MB  verified", 80 },
		{ "60 columns", "  0123456789ab [==========]  1.0 MB / 1.0 MB  verified", 60 },
		{ "40 columns", "  0123456789ab [=================] 100%", 40 },
		{ "30 columns", "  0123456789ab [=======] 100%", 30 },
		{ "10 columns", "  0123456", 10 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct pull p = { .argv = argv, .layers = 3, .leave_open = true };
		struct screen s = { .columns = rows[i].columns };
		CLEANUP(freep) char *out = drawn(24, rows[i].columns, &p);
		char *row = NULL;

		obey(&s, out);
		for (size_t k = 0; k < SCREEN_ROWS && !row; k++)
			if (strncmp(s.cell[k], "  0123456", 9) == 0)
				row = s.cell[k + 1];
		row_str(rows[i].name, "row", rows[i].row, row);
	}
	table_end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sizes),
		cmocka_unit_test(nothing_when_quiet),
		cmocka_unit_test(lines_without_a_terminal),
		cmocka_unit_test(json_lines),
		cmocka_unit_test(bars_come_and_go),
		cmocka_unit_test(bars_say_where_each_layer_is),
		cmocka_unit_test(narrow_terminals_have_narrow_rows),
	};

	return cmocka_run_group_tests_name("progress", tests, NULL, NULL);
}
