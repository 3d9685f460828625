#include "agent/progress.h"

#include <stdarg.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "base/text.h"

#define BAR_MAX 24
#define BAR_MIN 8
#define WIDE_REST 49   /* columns of a row besides its bar: digest, sizes, step */
#define NARROW_REST 22 /* the same with a percentage instead of sizes and step */
#define ROWS_MAX 24 /* a terminal's height: more layers share one line */
#define ROW_MAX 256  /* bytes of a row, also on a wider terminal */
#define RATE_WINDOW_MS 2000

struct layer {
	char id[13]; /* the digest's first twelve digits, as docker shows it */
	int64_t size, received;
	enum layer_step step;
};

enum style { STYLE_NONE, STYLE_BARS, STYLE_LINES, STYLE_JSON };

struct progress {
	enum style style;
	struct layer *layers;
	size_t n;
	char *image;
	char activity[80];
	size_t drawn_rows;   /* on the terminal now, below the log */
	int64_t began_ms, drawn_ms;
	int64_t rate_at_ms, rate_from_bytes, rate; /* bytes/s */
};

static const char *const step_names[LAYER_STEPS] = {
	[LAYER_PRESENT] = "already there",
	[LAYER_WAITING] = "waiting",
	[LAYER_FETCHING] = "fetching",
	[LAYER_VERIFIED] = "verified",
};

const char *size_text(int64_t bytes, char out[SIZE_TEXT_MAX])
{
	static const char *const units[] = { "B", "kB", "MB", "GB", "TB" };
	double v = (double)bytes;
	size_t u = 0;

	/* What would round up to "1000 kB" is "1.0 MB", and "10.0 kB" is "10 kB". */
	while (v >= 999.5 && u + 1 < ARRAY_LEN(units)) {
		v /= 1000;
		u++;
	}
	(void)snprintf(out, SIZE_TEXT_MAX, u && v < 9.95 ? "%.1f %s" : "%.0f %s", v, units[u]);
	return out;
}

/* One write a frame: a terminal that draws between two shows half of one. */
static void put(const char *bytes, size_t len)
{
	(void)!write(STDERR_FILENO, bytes, len); /* a terminal that is gone needs no bars */
}

static void clear_rows(void *arg)
{
	struct progress *p = arg;
	char text[32];

	if (p->drawn_rows)
		put(text, (size_t)snprintf(text, sizeof text, "\033[%zuA\r\033[J", p->drawn_rows));
	p->drawn_rows = 0;
}

static void totals(const struct progress *p, int64_t *received, int64_t *size)
{
	*received = *size = 0;
	for (size_t i = 0; i < p->n; i++) {
		if (p->layers[i].step == LAYER_PRESENT)
			continue;
		*received += p->layers[i].received;
		*size += p->layers[i].size;
	}
}

static size_t verified(const struct progress *p)
{
	size_t n = 0;

	for (size_t i = 0; i < p->n; i++)
		n += p->layers[i].step == LAYER_VERIFIED || p->layers[i].step == LAYER_PRESENT;
	return n;
}

/* Over the last window; over all that there was while the first one lasts. */
static void update_rate(struct progress *p, int64_t now, int64_t received)
{
	int64_t span = now - p->rate_at_ms;
	bool first = p->rate_at_ms == p->began_ms;

	if (span > 0 && (first || span >= RATE_WINDOW_MS))
		p->rate = received > p->rate_from_bytes ? (received - p->rate_from_bytes) * 1000 / span : 0;
	if (span >= RATE_WINDOW_MS) {
		p->rate_at_ms = now;
		p->rate_from_bytes = received;
	}
}

/* "3 of 6 layers, 1.2 MB of 120 MB, 18 MB/s"; the rate of what is over says nothing. */
static const char *sum(const struct progress *p, char out[ROW_MAX])
{
	char a[SIZE_TEXT_MAX], b[SIZE_TEXT_MAX], r[SIZE_TEXT_MAX];
	int64_t received, size;

	totals(p, &received, &size);
	int n = snprintf(out, ROW_MAX, "%zu of %zu layers, %s of %s", verified(p), p->n, size_text(received, a),
			 size_text(size, b));
	if (received < size)
		n += snprintf(out + n, ROW_MAX - (size_t)n, ", %s/s", size_text(p->rate, r));
	(void)snprintf(out + n, ROW_MAX - (size_t)n, "%s%s", *p->activity ? "; " : "", p->activity);
	return out;
}

/* One row, cut at the terminal's edge: a row that wraps would be two, and clear_rows() counts one. */
static void put_row(FILE *f, size_t columns, const char *fmt, ...) PRINTF_LIKE(3, 4);
static void put_row(FILE *f, size_t columns, const char *fmt, ...)
{
	char row[ROW_MAX];
	va_list args;

	va_start(args, fmt);
	(void)vsnprintf(row, sizeof row, fmt, args);
	va_end(args);
	text_clean(row);
	fprintf(f, "%.*s\033[K\n", (int)columns, row);
}

static void draw_layer(FILE *f, const struct layer *l, size_t columns)
{
	char received[SIZE_TEXT_MAX], size[SIZE_TEXT_MAX], bar[BAR_MAX + 1] = "";
	bool done = l->step == LAYER_PRESENT || l->step == LAYER_VERIFIED || l->size <= 0;
	bool wide = columns >= WIDE_REST + BAR_MIN;
	size_t rest = wide ? WIDE_REST : NARROW_REST, width = columns > rest ? columns - rest : 0;

	if (width > BAR_MAX)
		width = BAR_MAX;
	size_t filled = done ? width : (size_t)(l->received * (int64_t)width / l->size);
	for (size_t i = 0; i < width; i++)
		bar[i] = i < filled ? '=' : i == filled ? '>' : ' ';
	if (wide)
		put_row(f, columns, "  %s [%s] %7s / %-7s %s", l->id, bar, size_text(l->received, received),
			size_text(l->size, size),
			l->step == LAYER_FETCHING && l->received == l->size ? "fetched" : step_names[l->step]);
	else
		put_row(f, columns, "  %s [%s] %3d%%", l->id, bar, done ? 100 : (int)(l->received * 100 / l->size));
}

static void draw_bars(void *arg)
{
	struct progress *p = arg;
	struct winsize ws = { 0 };
	size_t room = ROWS_MAX, columns = ROW_MAX, rows = 0, len;
	char line[ROW_MAX];
	char *frame = NULL;
	FILE *f = open_memstream(&frame, &len);

	if (!f)
		abort(); /* out of memory */
	/* Without a row for the log and the prompt, only the sum. */
	if (ioctl(STDERR_FILENO, TIOCGWINSZ, &ws) == 0 && ws.ws_row)
		room = ws.ws_row > 4 ? (size_t)ws.ws_row - 3 : 1;
	if (ws.ws_col > 1)
		columns = (size_t)ws.ws_col - 1;
	if (p->drawn_rows)
		fprintf(f, "\033[%zuA\r", p->drawn_rows);
	for (size_t i = 0; i < p->n && rows + 1 < room; i++) {
		/* With more layers than rows, those at rest give way. */
		if (p->n >= room && p->layers[i].step != LAYER_FETCHING)
			continue;
		draw_layer(f, &p->layers[i], columns);
		rows++;
	}
	put_row(f, columns, "  %s", sum(p, line));
	fputs("\033[J", f); /* rows of the frame before that this one lacks */
	if (fclose(f) != 0)
		abort(); /* out of memory */
	put(frame, len);
	free(frame);
	p->drawn_rows = rows + 1;
}

static void say_line(const struct progress *p)
{
	char line[ROW_MAX];

	log_info("pull: %s", sum(p, line));
}

static void redraw(struct progress *p, bool now_please)
{
	int64_t now = clock_mono_ms(), received, size;

	if (p->style == STYLE_NONE || !p->image)
		return;
	if (!now_please && now - p->drawn_ms < (p->style == STYLE_BARS ? PROGRESS_DRAW_MS : PROGRESS_LINE_MS))
		return;
	totals(p, &received, &size);
	update_rate(p, now, received);
	p->drawn_ms = now;
	if (p->style != STYLE_BARS) {
		say_line(p);
		return;
	}
	draw_bars(p);
}

/* A terminal that can move its cursor. */
static bool on_terminal(void)
{
	const char *term = getenv("TERM");

	return isatty(STDERR_FILENO) && !streq(term, "dumb");
}

struct progress *progress_new(const struct options *options)
{
	struct progress *p = xcalloc(1, sizeof *p);

	p->style = opt_flag(options, OPT_QUIET)	 ? STYLE_NONE
		   : log_format() == LOG_JSON	 ? STYLE_JSON
		   : on_terminal()		 ? STYLE_BARS
						 : STYLE_LINES;
	return p;
}

void progress_free(struct progress *p)
{
	if (!p)
		return;
	progress_end(p);
	free(p);
}

void progress_begin(struct progress *p, const char *image, size_t n, const char *const *digests,
		    const int64_t *sizes)
{
	progress_end(p);
	p->image = xstrdup(image);
	p->layers = xcalloc(n, sizeof *p->layers);
	p->n = n;
	for (size_t i = 0; i < n; i++) {
		const char *hex = skip_prefix(digests[i], "sha256:") ?: digests[i];
		(void)snprintf(p->layers[i].id, sizeof p->layers[i].id, "%.12s", hex);
		p->layers[i].size = sizes[i];
		p->layers[i].step = LAYER_WAITING;
	}
	p->began_ms = p->rate_at_ms = p->drawn_ms = clock_mono_ms();
	p->rate = p->rate_from_bytes = 0;
	if (p->style == STYLE_BARS)
		log_around(clear_rows, draw_bars, p);
}

void progress_layer(struct progress *p, size_t i, enum layer_step step, int64_t received_bytes)
{
	struct layer *l = &p->layers[i];

	l->received = received_bytes;
	l->step = step;
	redraw(p, false);
}

void progress_activity(struct progress *p, const char *what)
{
	(void)snprintf(p->activity, sizeof p->activity, "%s", what);
	redraw(p, p->style == STYLE_BARS);
}

void progress_end(struct progress *p)
{
	if (!p->image)
		return;
	if (p->style == STYLE_BARS) {
		clear_rows(p); /* the line that says how it ended takes their place */
		log_around(NULL, NULL, NULL);
	}
	free(p->image);
	free(p->layers);
	p->image = NULL;
	p->layers = NULL;
	p->n = 0;
	p->activity[0] = '\0';
}
