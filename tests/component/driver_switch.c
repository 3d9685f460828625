/*
 * The switch alone, for tests: driver_switch RUN_DIR NAME listen|plain [IP:]HOST:CONTAINER[/proto]... Each line of
 * standard input is a command, answered by one line "ok …" or "error KIND: …"; meanwhile the loop turns. The end of
 * input is the end.
 */
#include <signal.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "agent/switch.h"
#include "base/clock.h"
#include "base/mem.h"

struct driver {
	struct loop *loop;
	const char *run_dir, *name;
	struct switch_table *table;
	struct switch_endpoint *endpoints;
	size_t n;
	bool input;
};

static void on_input(void *arg, uint32_t events)
{
	(void)events;
	((struct driver *)arg)->input = true;
}

static bool has_input(void *arg)
{
	return ((struct driver *)arg)->input;
}

/* What Docker would say: the argument of `check`. */
static int where(void *arg, const char *container, char address[46], struct err *err)
{
	(void)container;
	(void)err;
	(void)snprintf(address, 46, "%s", (const char *)arg);
	return 0;
}

static int move(struct driver *d, char *arg, char *out, size_t size, struct err *err)
{
	struct switch_target target = { 0 };
	enum switch_busy busy = SWITCH_BUSY_FAILS;
	char *save = NULL;
	const char *address = strtok_r(arg, " ", &save), *container = strtok_r(NULL, " ", &save);
	int64_t before_us = clock_mono_us();

	if (strtok_r(NULL, " ", &save))
		busy = SWITCH_BUSY_WAITS;
	(void)snprintf(target.address, sizeof target.address, "%s", address ? address : "");
	(void)snprintf(target.container, sizeof target.container, "%s", container ? container : "");
	if (switch_move(d->table, d->endpoints, d->n, &target, busy, err) < 0)
		return -1;
	(void)snprintf(out, size, "%lld us", (long long)(clock_mono_us() - before_us));
	return 0;
}

static int check(struct driver *d, char *arg, char *out, size_t size, struct err *err)
{
	const char *mended;

	if (switch_check(d->table, where, arg, &mended, err) < 0)
		return -1;
	(void)snprintf(out, size, "%s", mended ? mended : "nothing");
	return 0;
}

static int check_free(struct driver *d, char *arg, char *out, size_t size, struct err *err)
{
	(void)arg;
	(void)out;
	(void)size;
	return switch_check_free(d->table, d->endpoints, d->n, err);
}

static int take_away(struct driver *d, char *arg, char *out, size_t size, struct err *err)
{
	(void)arg;
	(void)out;
	(void)size;
	return switch_remove(d->table, err);
}

static int connections(struct driver *d, char *arg, char *out, size_t size, struct err *err)
{
	char *save = NULL;
	const char *address = strtok_r(arg, " ", &save);
	bool rewritten = strtok_r(NULL, " ", &save) != NULL;
	size_t n;

	if (switch_connections(d->endpoints, d->n, address ? address : "", rewritten, &n, err) < 0)
		return -1;
	(void)snprintf(out, size, "%zu", n);
	return 0;
}

static int forget(struct driver *d, char *arg, char *out, size_t size, struct err *err)
{
	(void)d;
	(void)out;
	(void)size;
	return switch_forget_udp(arg, err);
}

static int list(struct driver *d, char *arg, char *out, size_t size, struct err *err)
{
	struct switch_state s;

	(void)arg;
	if (switch_list(d->loop, d->run_dir, d->name, true, &s, err) < 0)
		return -1;
	(void)snprintf(out, size,
		       "%s container=%s address=%s endpoints=%zu nat=%s flavour=%s chain=%s listening=%s problem=%s",
		       s.exists ? "exists" : "none", s.target.container, s.target.address, s.n, switch_nat_name(s.nat),
		       s.flavour, s.chain, s.listening ? "yes" : "no", s.listen_problem);
	switch_state_clear(&s);
	return 0;
}

static const struct {
	const char *name;
	int (*run)(struct driver *d, char *arg, char *out, size_t size, struct err *err);
} commands[] = {
	{ "move", move },     /* ADDRESS CONTAINER [waits] */
	{ "check", check },   /* ADDRESS: where the container is now */
	{ "free", check_free }, { "remove", take_away }, { "connections", connections }, /* ADDRESS [rewritten] */
	{ "forget", forget }, /* ADDRESS */
	{ "list", list },
};

static void answer(struct driver *d, char *line)
{
	char out[1024] = "", *arg = line + strcspn(line, " ");
	struct err err = { 0 };

	if (*arg)
		*arg++ = '\0';
	for (size_t i = 0; i < ARRAY_LEN(commands); i++)
		if (streq(line, commands[i].name)) {
			if (commands[i].run(d, arg, out, sizeof out, &err) < 0)
				printf("error %s: %s\n", err_kind_name(err.kind), err.msg);
			else
				printf("ok %s\n", out);
			fflush(stdout);
			return;
		}
	puts("error unknown");
	fflush(stdout);
}

static int serve(struct driver *d, struct err *err)
{
	struct loop_watch *watch;
	char line[1024];

	if (loop_watch_fd(d->loop, STDIN_FILENO, EPOLLIN, on_input, d, &watch, err) < 0)
		return -1;
	for (;;) {
		d->input = false;
		if (loop_wait(d->loop, has_input, d, -1, err) < 0)
			return -1;
		/* One line a write: nothing waits in stdio's buffer that the loop does not see. */
		if (!fgets(line, sizeof line, stdin))
			break;
		line[strcspn(line, "\n")] = '\0';
		loop_unwatch(watch);
		answer(d, line);
		if (loop_watch_fd(d->loop, STDIN_FILENO, EPOLLIN, on_input, d, &watch, err) < 0)
			return -1;
	}
	loop_unwatch(watch);
	return 0;
}

static int run(struct driver *d, int n, char **ports, bool listens, struct err *err)
{
	CLEANUP(freep) struct published_port *published = NULL;
	size_t n_published = 0;

	for (int i = 0; i < n; i++)
		if (publish_parse(ports[i], &published, &n_published, err) < 0)
			return -1;
	if (switch_endpoints(published, n_published, &d->endpoints, &d->n, err) < 0 || loop_new(&d->loop, err) < 0)
		return -1;
	const struct switch_settings settings = { d->loop, d->run_dir, d->name, listens };
	if (switch_open(&settings, &d->table, err) < 0)
		return -1;
	puts("ready");
	fflush(stdout);
	return serve(d, err);
}

int main(int argc, char **argv)
{
	struct err err = { 0 };

	if (argc < 4)
		return 2;
	(void)signal(SIGPIPE, SIG_IGN); /* as berth does */
	struct driver d = { .run_dir = argv[1], .name = argv[2] };
	int result = run(&d, argc - 4, argv + 4, streq(argv[3], "listen"), &err);
	if (result < 0) {
		printf("error %s: %s\n", err_kind_name(err.kind), err.msg);
		fflush(stdout);
	}
	switch_close(d.table);
	loop_free(d.loop);
	free(d.endpoints);
	return result < 0;
}
