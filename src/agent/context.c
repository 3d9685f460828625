#include "agent/context.h"

#include <errno.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/build_info.h"
#include "base/clock.h"
#include "base/log.h"

static const struct {
	int number;
	const char *name;
} stop_signals[] = { { SIGTERM, "SIGTERM" }, { SIGINT, "SIGINT" }, { SIGHUP, "SIGHUP" } };

static void on_signal(void *arg, uint32_t events)
{
	struct context *c = arg;
	struct signalfd_siginfo info;

	(void)events;
	if (read(c->signal_fd, &info, sizeof info) != sizeof info)
		return;
	for (size_t i = 0; i < ARRAY_LEN(stop_signals); i++)
		if (stop_signals[i].number == (int)info.ssi_signo)
			loop_cancel(c->loop, stop_signals[i].name);
	if (c->on_user_signal && (info.ssi_signo == SIGUSR1 || info.ssi_signo == SIGUSR2))
		c->on_user_signal(c->on_user_signal_arg, (int)info.ssi_signo);
}

void context_on_user_signal(struct context *c, void (*fn)(void *arg, int number), void *arg)
{
	c->on_user_signal = fn;
	c->on_user_signal_arg = arg;
}

static int take_signals(struct context *c, struct err *err)
{
	sigset_t set;

	sigemptyset(&set);
	for (size_t i = 0; i < ARRAY_LEN(stop_signals); i++)
		sigaddset(&set, stop_signals[i].number);
	sigaddset(&set, SIGUSR1);
	sigaddset(&set, SIGUSR2);
	signal(SIGPIPE, SIG_IGN);
	if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
		return err_sys(err, errno, "sigprocmask");
	c->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (c->signal_fd < 0)
		return err_sys(err, errno, "signalfd");
	return loop_watch_fd(c->loop, c->signal_fd, EPOLLIN, on_signal, c, &c->signal_watch, err);
}

static void trace_request(void *arg, const char *line)
{
	(void)arg;
	log_debug("%s", line);
}

/* containerd's own clients take both forms. */
static const char *containerd_path(const char *address)
{
	const char *path = address ? skip_prefix(address, "unix://") : NULL;

	return path ? path : address;
}

static int open_all(struct context *c, int64_t imds_patience_ms, struct err *err)
{
	CLEANUP(freep) char *agent = xasprintf("berth/%s", build_version);
	struct http_config http = {
		.user_agent = agent,
		.trace = opt_flag(c->options, OPT_VERBOSE) ? trace_request : NULL,
	};
	const char *platform = opt_str(c->options, OPT_PLATFORM);
	const char *docker_host = opt_str(c->options, OPT_DOCKER_HOST);

	if (platform && platform_parse(platform, &c->platform, err) < 0)
		return err_wrap(err, "--platform");
	if (!platform)
		platform_host(&c->platform);
	if (loop_new(&c->loop, err) < 0 || take_signals(c, err) < 0 ||
	    http_new(c->loop, &http, &c->http, err) < 0 ||
	    imds_new(c->http, c->loop, imds_patience_ms, &c->imds, err) < 0)
		return -1;
	c->credentials = credentials_new(c->http, c->loop, c->imds);
	bool wants_docker = option_table[OPT_DOCKER_HOST].commands & c->options->command;
	if (!wants_docker)
		return 0;
	if (docker_new(c->http, c->loop, docker_host, &c->docker, err) < 0)
		return -1;
	if (option_table[OPT_CONTAINERD_SOCKET].commands & c->options->command)
		docker_set_containerd(c->docker, containerd_path(opt_str(c->options, OPT_CONTAINERD_SOCKET)));
	return 0;
}

int context_open(struct context *c, const struct options *options, int64_t imds_patience_ms, struct err *err)
{
	*c = (struct context){ .options = options, .signal_fd = -1, .last_progress_ms = clock_mono_ms() };
	if (open_all(c, imds_patience_ms, err) == 0)
		return 0;
	context_close(c);
	return -1;
}

void context_close(struct context *c)
{
	if (c->docker)
		docker_free(c->docker);
	if (c->credentials)
		credentials_free(c->credentials);
	if (c->imds)
		imds_free(c->imds);
	if (c->http)
		http_free(c->http);
	loop_unwatch(c->signal_watch);
	closep(&c->signal_fd);
	if (c->loop)
		loop_free(c->loop);
	*c = (struct context){ .signal_fd = -1 };
}
