/*
 * What one run of berth holds: the loop, the HTTP client, and the clients of
 * the four services (metadata, AWS, the registry's login, Docker), made once from the options.
 */
#ifndef BERTH_AGENT_CONTEXT_H
#define BERTH_AGENT_CONTEXT_H

#include "agent/options.h"
#include "aws/credentials.h"
#include "engine/docker.h"
#include "net/http.h"
#include "oci/platform.h"

struct context {
	const struct options *options;
	struct loop *loop;
	struct http *http;
	struct imds *imds;
	struct credentials *credentials;
	struct docker *docker;
	struct platform platform;
	struct loop_watch *signal_watch;
	void (*on_user_signal)(void *arg, int number); /* NULL: they mean nothing */
	void *on_user_signal_arg;
	int signal_fd;
	int64_t last_progress_ms; /* monotonic; the main line's sign of life for the watchdog */
};

/*
 * Opens everything; no traffic yet. SIGTERM, SIGINT and SIGHUP become a cancellation of
 * the loop; SIGUSR1 and SIGUSR2 go to context_on_user_signal(); SIGPIPE is ignored. imds_patience_ms: see imds_new().
 * ERR_CONFIG for bad values.
 */
int context_open(struct context *c, const struct options *options, int64_t imds_patience_ms,
		 struct err *err) MUST_CHECK;
void context_close(struct context *c);

/* Who is told of SIGUSR1 and SIGUSR2, in a callback of the loop. NULL: nobody. */
void context_on_user_signal(struct context *c, void (*fn)(void *arg, int number), void *arg);

#endif
