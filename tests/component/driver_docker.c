/*
 * Drives src/engine's Docker client for the component tests: one call, its result on stdout as
 * JSON, or "KIND: message; hint" on stderr and berth's exit code.
 *
 * usage: driver_docker HOST COMMAND [ARGUMENT]...
 */
#include <fcntl.h>
#include <unistd.h>

#include "base/clock.h"
#include "engine/container.h"

static struct loop *loop;
static struct docker *docker;

static void print(struct json *take)
{
	CLEANUP(json_freep) struct json *v = take;
	CLEANUP(freep) char *text = json_print_sorted(v);

	printf("%s\n", text);
	fflush(stdout);
}

static struct json *strings(const struct strv *list)
{
	struct json *array = json_new_array();

	for (size_t i = 0; i < list->n; i++)
		json_add_str(array, list->v[i]);
	return array;
}

static int print_info(void)
{
	const struct docker_info *i = docker_info(docker);
	struct json *o = json_new_object();

	json_set_str(o, "api", i->api);
	json_set_str(o, "version", i->version);
	json_set_int(o, "store", i->store);
	json_set_str(o, "driver", i->driver);
	json_set_str(o, "root_dir", i->root_dir);
	json_set_str(o, "containerd_address", i->containerd_address);
	json_set_str(o, "containerd_namespace", i->containerd_namespace);
	json_set_bool(o, "userns_or_rootless", i->userns_or_rootless);
	json_set_int(o, "n_cpu", i->n_cpu);
	json_set_int(o, "mem_bytes", i->mem_bytes);
	print(o);
	return 0;
}

static int run_connect(char **argv, struct err *err)
{
	(void)argv;
	(void)err; /* main() connects first */
	return print_info();
}

/* MS */
static int run_wait(char **argv, struct err *err)
{
	return docker_wait(docker, strtol(argv[0], NULL, 10), err) < 0 ? -1 : print_info();
}

/* METHOD PATH TIMEOUT_MS */
static int run_call(char **argv, struct err *err)
{
	struct json *answer = NULL;

	if (docker_call_for(docker, argv[0], argv[1], NULL, strtol(argv[2], NULL, 10), &answer,
			    err) < 0)
		return -1;
	print(answer ? answer : json_new_str(NULL));
	return 0;
}

/* NAME BODY [PLATFORM] */
static int run_create(char **argv, struct err *err)
{
	CLEANUP(json_freep) struct json *body = NULL;
	CLEANUP(strv_free) struct strv warnings = { 0 };
	char id[65];

	if (json_parse(argv[1], strlen(argv[1]), &json_default_limits, &body, err) < 0 ||
	    container_create(docker, argv[0], body, argv[2], id, &warnings, err) < 0)
		return -1;
	struct json *o = json_new_object();
	json_set_str(o, "id", id);
	json_set(o, "warnings", strings(&warnings));
	print(o);
	return 0;
}

static int run_start(char **argv, struct err *err)
{
	return container_start(docker, argv[0], err);
}

/* NAME SECONDS */
static int run_stop(char **argv, struct err *err)
{
	return container_stop(docker, argv[0], (int)strtol(argv[1], NULL, 10), err);
}

/* NAME [force] */
static int run_remove(char **argv, struct err *err)
{
	return container_remove(docker, argv[0], argv[1] != NULL, err);
}

static int run_rename(char **argv, struct err *err)
{
	return container_rename(docker, argv[0], argv[1], err);
}

static int run_inspect(char **argv, struct err *err)
{
	struct container_state s;

	if (container_inspect(docker, argv[0], &s, err) < 0)
		return -1;
	struct json *o = json_new_object();
	json_set_str(o, "id", s.id);
	json_set_str(o, "name", s.name);
	json_set_str(o, "image_id", s.image_id);
	json_set_str(o, "status", s.status);
	json_set_bool(o, "running", s.running);
	json_set_bool(o, "restarting", s.restarting);
	json_set_bool(o, "oom_killed", s.oom_killed);
	json_set_int(o, "exit_code", s.exit_code);
	json_set_str(o, "health", s.health);
	json_set_str(o, "health_log", s.health_log);
	json_set_str(o, "address", s.address);
	json_set_bool(o, "host_network", s.host_network);
	json_set_int(o, "started_ms", s.started_ms);
	json_set_int(o, "restart_count", s.restart_count);
	json_set_str(o, "label_image", s.label_image);
	json_set_str(o, "label_digest", s.label_digest);
	json_set_str(o, "label_config", s.label_config);
	json_set_str(o, "label_name", s.label_name);
	json_set_str(o, "label_generation", s.label_generation);
	container_state_clear(&s);
	print(o);
	return 0;
}

/* NAME LINES */
static int run_logs(char **argv, struct err *err)
{
	CLEANUP(buf_free) struct buf out = BUF_INIT(2 * DOCKER_LOG_MAX_BYTES);

	if (container_logs(docker, argv[0], (int)strtol(argv[1], NULL, 10), &out, err) < 0)
		return -1;
	print(json_new_str(buf_str(&out)));
	return 0;
}

/* NAME TIMEOUT_MS CAP COMMAND... */
static int run_exec(char **argv, struct err *err)
{
	CLEANUP(buf_free) struct buf out = BUF_INIT(strtoul(argv[2], NULL, 10));
	CLEANUP(strv_free) struct strv command = { 0 };
	int exit_code;

	for (char **word = argv + 3; *word; word++)
		strv_add(&command, *word);
	if (container_exec(docker, argv[0], &command, strtol(argv[1], NULL, 10), &exit_code, &out,
			   err) < 0)
		return -1;
	struct json *o = json_new_object();
	json_set_int(o, "exit_code", exit_code);
	json_set_str(o, "output", buf_str(&out));
	print(o);
	return 0;
}

static int run_image(char **argv, struct err *err)
{
	struct image_state s;

	if (image_inspect(docker, argv[0], &s, err) < 0)
		return -1;
	struct json *o = json_new_object();
	json_set_str(o, "id", s.id);
	json_set(o, "repo_tags", strings(&s.repo_tags));
	json_set(o, "repo_digests", strings(&s.repo_digests));
	json_set(o, "diff_ids", strings(&s.diff_ids));
	json_set(o, "healthcheck", strings(&s.healthcheck));
	json_set_int(o, "healthcheck_timeout_ms", s.healthcheck_timeout_ms);
	json_set(o, "exposed", strings(&s.exposed));
	image_state_clear(&s);
	print(o);
	return 0;
}

struct stream {
	bool ended;
	size_t messages;
	struct err result;
	int file;
};

static void on_message(void *arg, const struct json *message)
{
	struct stream *s = arg;

	(void)message; /* counted */
	s->messages++;
}

static void on_done(void *arg, const struct err *err)
{
	struct stream *s = arg;

	s->ended = true;
	if (err)
		s->result = *err;
}

static bool has_ended(void *arg)
{
	return ((struct stream *)arg)->ended;
}

static enum http_flow upload(void *arg, void *out, size_t max, size_t *len, struct err *err)
{
	struct stream *s = arg;
	ssize_t n = read(s->file, out, max);

	if (n < 0) {
		(void)err_set(err, ERR_SYSTEM, "read");
		return HTTP_ABORT;
	}
	*len = (size_t)n;
	return HTTP_CONTINUE;
}

/* METHOD PATH IDLE_MS [FILE to upload] */
static int run_stream(char **argv, struct err *err)
{
	struct stream s = { .file = argv[3] ? open(argv[3], O_RDONLY | O_CLOEXEC) : -1 };
	const struct docker_stream_request request = {
		.method = argv[0],
		.path = argv[1],
		.idle_ms = strtol(argv[2], NULL, 10),
		.content_type = argv[3] ? "application/x-tar" : NULL,
		.upload = argv[3] ? upload : NULL,
		.upload_arg = &s,
		.message = on_message,
		.done = on_done,
		.arg = &s,
	};
	struct docker_stream *stream;

	if (docker_stream_start(docker, &request, &stream, err) < 0)
		return -1;
	if (loop_wait(loop, has_ended, &s, -1, err) < 0) {
		docker_stream_cancel(stream);
		return -1;
	}
	struct json *o = json_new_object();
	json_set_int(o, "messages", (int64_t)s.messages);
	print(o);
	*err = s.result;
	return s.result.kind == ERR_NONE ? 0 : -1;
}

struct watched {
	struct docker_events *events;
	long left;
};

static void on_event(void *arg, const struct json *event)
{
	struct watched *w = arg;
	struct json *o = json_new_object();

	json_set_str(o, "action",
		     event ? json_string(json_get(event, "Action")) : "connected again");
	print(o);
	if (--w->left == 0) {
		docker_events_stop(w->events); /* in its own callback, as agent/ may */
		w->events = NULL;
	}
}

static bool seen_enough(void *arg)
{
	return ((struct watched *)arg)->left <= 0;
}

/* COUNT PATIENCE_MS: prints "{}" when it listens, then each event's action. */
static int run_events(char **argv, struct err *err)
{
	struct watched w = { .left = strtol(argv[0], NULL, 10) };

	if (docker_events_start(docker, "container", on_event, &w, &w.events, err) < 0)
		return -1;
	print(json_new_object());
	int result =
		loop_wait(loop, seen_enough, &w, clock_mono_ms() + strtol(argv[1], NULL, 10), err);
	docker_events_stop(w.events);
	return result;
}

static const struct {
	const char *name;
	int min_arguments;
	bool unconnected;
	int (*run)(char **argv, struct err *err);
} commands[] = {
	{ "connect", 0, false, run_connect }, { "wait", 1, true, run_wait },
	{ "call", 3, false, run_call },       { "create", 2, false, run_create },
	{ "start", 1, false, run_start },     { "stop", 2, false, run_stop },
	{ "remove", 1, false, run_remove },   { "rename", 2, false, run_rename },
	{ "inspect", 1, false, run_inspect }, { "logs", 2, false, run_logs },
	{ "exec", 4, false, run_exec },       { "image", 1, false, run_image },
	{ "stream", 3, false, run_stream },   { "events", 2, false, run_events },
};

static int run(int argc, char **argv, struct err *err)
{
	const struct http_config config = { .user_agent = "berth-test" };
	struct http *http;

	if (loop_new(&loop, err) < 0 || http_new(loop, &config, &http, err) < 0 ||
	    docker_new(http, loop, argv[1], &docker, err) < 0)
		return -1;
	int result = err_set(err, ERR_USAGE, "%s: no such command, or too few arguments", argv[2]);
	for (size_t i = 0; i < ARRAY_LEN(commands); i++) {
		if (!streq(argv[2], commands[i].name) || argc - 3 < commands[i].min_arguments)
			continue;
		result = commands[i].unconnected ? 0 : docker_connect(docker, err);
		if (result == 0)
			result = commands[i].run(argv + 3, err);
	}
	docker_free(docker);
	http_free(http);
	loop_free(loop);
	return result;
}

int main(int argc, char **argv)
{
	char line[ERR_LINE_MAX];
	struct err err = { 0 };

	if (argc < 3) {
		fprintf(stderr, "usage: driver_docker HOST COMMAND [ARGUMENT]...\n");
		return 2;
	}
	if (run(argc, argv, &err) == 0)
		return 0;
	fprintf(stderr, "%s: %s\n", err_kind_name(err.kind), err_line(&err, line, sizeof line));
	return err_exit_code(&err);
}
