#include "agent/health.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/health_internal.h"
#include "base/clock.h"
#include "base/mem.h"

#define TURN_MAX_MS 500
/* Bytes that the library has read but not worked off: soon again, but never a busy loop for a client's pleasure. */
#define TURN_MIN_MS 1
/* Connections taken between two turns of the library, so that a burst cannot push out one whose request is there. */
#define ACCEPT_BATCH 32
#define NO_DESCRIPTORS_PAUSE_MS 10
/* Above HEALTH_CONNECTIONS_MAX: those that were shut down but not reaped yet. */
#define DAEMON_CONNECTIONS_MAX (2 * HEALTH_CONNECTIONS_MAX)

struct connection {
	int fd;
	int64_t born_ms;
	bool shut;
};

struct health {
	struct MHD_Daemon *daemon;
	int listen_fd, epoll_fd, stop_fd;
	pthread_t thread;
	atomic_int_fast64_t last_turn_ms;
	/* Oldest first; only the thread touches these. */
	struct connection connections[DAEMON_CONNECTIONS_MAX];
	size_t n;
};

static int parse_port(const char *text, uint16_t *out, struct err *err)
{
	size_t digits = strspn(text, "0123456789");
	long n = strtol(text, NULL, 10);

	if (!digits || digits > 5 || text[digits] || n < 1 || n > 65535)
		return err_set(err, ERR_CONFIG, "'%s' is not a port", text);
	*out = (uint16_t)n;
	return 0;
}

/* "IPv4:PORT", "[IPv6]:PORT", or ":PORT": every address of both families. */
static int parse_listen(const char *text, struct sockaddr_storage *out, struct err *err)
{
	const char *colon = strrchr(text, ':');
	uint16_t port;

	if (!colon)
		return err_set(err, ERR_CONFIG, "'%s' is not [IP]:PORT", text);
	if (parse_port(colon + 1, &port, err) < 0)
		return -1;
	size_t len = (size_t)(colon - text);
	bool brackets = len >= 2 && *text == '[' && text[len - 1] == ']';
	CLEANUP(freep) char *host = brackets ? xstrndup(text + 1, len - 2) : xstrndup(text, len);
	struct sockaddr_in *v4 = (struct sockaddr_in *)out;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)out;
	memset(out, 0, sizeof *out);
	if (!brackets && inet_pton(AF_INET, host, &v4->sin_addr) == 1) {
		v4->sin_family = AF_INET;
		v4->sin_port = htons(port);
	} else if (!len || (brackets && inet_pton(AF_INET6, host, &v6->sin6_addr) == 1)) {
		v6->sin6_family = AF_INET6;
		v6->sin6_port = htons(port);
	} else {
		return err_set(err, ERR_CONFIG, "'%s' is not an IP address (IPv6 in brackets)", host);
	}
	return 0;
}

static int listen_on(const struct sockaddr_storage *addr, const char *text)
{
	bool v6 = addr->ss_family == AF_INET6;
	int one = 1, only = text[0] != ':';
	int fd = socket(addr->ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return -1;
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) < 0 ||
	    (v6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &only, sizeof only) < 0) ||
	    bind(fd, (const struct sockaddr *)addr,
		 v6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in)) < 0 ||
	    listen(fd, SOMAXCONN) < 0) {
		closep(&fd);
		return -1;
	}
	return fd;
}

static int open_listener(const char *text, struct err *err)
{
	struct sockaddr_storage addr;

	if (parse_listen(text, &addr, err) < 0)
		return err_wrap(err, "--health-listen");
	int fd = listen_on(&addr, text);
	if (fd < 0 && errno == EAFNOSUPPORT && text[0] == ':') {
		/* A kernel without IPv6: every address means IPv4 there. */
		CLEANUP(freep) char *v4 = xasprintf("0.0.0.0%s", text);
		if (parse_listen(v4, &addr, err) < 0)
			return -1;
		fd = listen_on(&addr, v4);
	}
	if (fd < 0) {
		int saved = errno;
		err_sys(err, saved, "listen for health checks on %s", text);
		err->kind = ERR_CONFIG;
		if (saved == EADDRINUSE)
			(void)err_hint(err, "`ss -ltnp` shows who holds the port; choose another with --health-listen");
		return -1;
	}
	return fd;
}

static void forget(struct health *h, int fd)
{
	for (size_t i = 0; i < h->n; i++)
		if (h->connections[i].fd == fd) {
			h->n--;
			memmove(&h->connections[i], &h->connections[i + 1], (h->n - i) * sizeof h->connections[0]);
			return;
		}
}

static void on_connection(void *cls, struct MHD_Connection *c, void **state, enum MHD_ConnectionNotificationCode code)
{
	(void)state;
	if (code != MHD_CONNECTION_NOTIFY_CLOSED)
		return;
	const union MHD_ConnectionInfo *info = MHD_get_connection_info(c, MHD_CONNECTION_INFO_CONNECTION_FD);
	if (info)
		forget(cls, info->connect_fd);
}

/* libmicrohttpd sees the end of the stream and closes; closing under it would free the number too early. */
static void shut(struct connection *c)
{
	c->shut = true;
	(void)shutdown(c->fd, SHUT_RDWR); /* ENOTCONN: gone already */
}

static size_t living(const struct health *h)
{
	size_t n = 0;

	for (size_t i = 0; i < h->n; i++)
		n += !h->connections[i].shut;
	return n;
}

static void shut_oldest(struct health *h)
{
	for (size_t i = 0; i < h->n; i++)
		if (!h->connections[i].shut) {
			shut(&h->connections[i]);
			return;
		}
}

/*
 * Descriptors are spent, perhaps by the rest of berth: ours go to the newest,
 * and the waiting ones are not polled hotly.
 */
static void on_accept_failed(struct health *h, int errnum)
{
	if (errnum != EMFILE && errnum != ENFILE && errnum != ENOBUFS && errnum != ENOMEM)
		return;
	shut_oldest(h);
	(void)poll(NULL, 0, NO_DESCRIPTORS_PAUSE_MS); /* only a pause */
}

static void accept_some(struct health *h)
{
	struct sockaddr_storage addr;

	for (int i = 0; i < ACCEPT_BATCH && h->n < DAEMON_CONNECTIONS_MAX; i++) {
		socklen_t len = sizeof addr;
		int fd = accept4(h->listen_fd, (struct sockaddr *)&addr, &len, SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (fd < 0) {
			on_accept_failed(h, errno);
			return;
		}
		if (living(h) >= HEALTH_CONNECTIONS_MAX)
			shut_oldest(h);
		h->connections[h->n++] = (struct connection){ .fd = fd, .born_ms = clock_mono_ms() };
		/* On failure the library has closed the socket. */
		if (MHD_add_connection(h->daemon, fd, (struct sockaddr *)&addr, len) != MHD_YES)
			forget(h, fd);
	}
}

static void end_old(struct health *h)
{
	int64_t now = clock_mono_ms();

	for (size_t i = 0; i < h->n && now - h->connections[i].born_ms >= HEALTH_LIFE_MS; i++)
		if (!h->connections[i].shut)
			shut(&h->connections[i]);
}

/* Until the library has work left over, or the oldest connection has to go. */
static int next_turn_ms(const struct health *h)
{
	MHD_UNSIGNED_LONG_LONG library_ms;
	int64_t ms = TURN_MAX_MS, now = clock_mono_ms();

	for (size_t i = 0; i < h->n; i++)
		if (!h->connections[i].shut) {
			if (h->connections[i].born_ms + HEALTH_LIFE_MS - now < ms)
				ms = h->connections[i].born_ms + HEALTH_LIFE_MS - now;
			break;
		}
	if (MHD_get_timeout(h->daemon, &library_ms) == MHD_YES && library_ms < (MHD_UNSIGNED_LONG_LONG)TURN_MAX_MS &&
	    (int64_t)library_ms < ms)
		ms = (int64_t)library_ms;
	return ms < TURN_MIN_MS ? TURN_MIN_MS : (int)ms;
}

static void *serve(void *arg)
{
	struct health *h = arg;
	struct epoll_event events[3];

	pthread_setname_np(pthread_self(), "berth-health");
	for (;;) {
		int n = epoll_wait(h->epoll_fd, events, ARRAY_LEN(events), next_turn_ms(h));
		for (int i = 0; i < n; i++)
			if (events[i].data.fd == h->stop_fd)
				return NULL;
		accept_some(h);
		end_old(h);
		(void)MHD_run(h->daemon); /* its only failure is a daemon that cannot be run this way */
		atomic_store_explicit(&h->last_turn_ms, clock_mono_ms(), memory_order_relaxed);
	}
}

static int watch(const struct health *h, int fd, struct err *err)
{
	struct epoll_event e = { .events = EPOLLIN, .data.fd = fd };

	return epoll_ctl(h->epoll_fd, EPOLL_CTL_ADD, fd, &e) < 0 ? err_sys(err, errno, "epoll_ctl") : 0;
}

static void ignore_log(void *cls, const char *fmt, va_list args)
{
	(void)cls, (void)fmt, (void)args; /* strangers' bytes: not worth a line each */
}

static int start_daemon(struct health *h, const struct board *board, struct err *err)
{
	h->daemon = MHD_start_daemon(MHD_USE_EPOLL | MHD_USE_NO_LISTEN_SOCKET | MHD_USE_ERROR_LOG, 0, NULL, NULL,
				     health_answer, (void *)(uintptr_t)board, MHD_OPTION_EXTERNAL_LOGGER, ignore_log,
				     NULL, MHD_OPTION_CONNECTION_LIMIT, (unsigned int)DAEMON_CONNECTIONS_MAX,
				     MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)HEALTH_CONNECTION_MEMORY_BYTES,
				     MHD_OPTION_CONNECTION_TIMEOUT, (unsigned int)(HEALTH_LIFE_MS / 1000),
				     /* "Strict" would refuse requests without Host, with a broken answer (0.9.75). */
				     MHD_OPTION_STRICT_FOR_CLIENT, 0, MHD_OPTION_NOTIFY_CONNECTION, on_connection, h,
				     MHD_OPTION_END);
	if (!h->daemon)
		return err_set(err, ERR_FAILED, "the health endpoint cannot be started");
	const union MHD_DaemonInfo *info = MHD_get_daemon_info(h->daemon, MHD_DAEMON_INFO_EPOLL_FD);
	if (!info)
		return err_set(err, ERR_FAILED, "the health endpoint has no epoll descriptor");
	return watch(h, info->epoll_fd, err);
}

static int start_thread(struct health *h, struct err *err)
{
	sigset_t all, old;

	/* Signals are the main line's. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	int failed = pthread_create(&h->thread, NULL, serve, h);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return failed ? err_sys(err, failed, "start the health thread") : 0;
}

static void dismantle(struct health *h)
{
	if (h->daemon)
		MHD_stop_daemon(h->daemon);
	closep(&h->listen_fd);
	closep(&h->epoll_fd);
	closep(&h->stop_fd);
	free(h);
}

int health_start(const char *listen_on_text, const struct board *board, struct health **out, struct err *err)
{
	struct health *h = xcalloc(1, sizeof *h);

	h->listen_fd = h->stop_fd = -1;
	h->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	h->last_turn_ms = clock_mono_ms();
	if (h->epoll_fd < 0) {
		(void)err_sys(err, errno, "epoll_create");
		goto failed;
	}
	if ((h->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) < 0) {
		(void)err_sys(err, errno, "eventfd");
		goto failed;
	}
	if ((h->listen_fd = open_listener(listen_on_text, err)) < 0 || watch(h, h->listen_fd, err) < 0 ||
	    watch(h, h->stop_fd, err) < 0 || start_daemon(h, board, err) < 0 || start_thread(h, err) < 0)
		goto failed;
	*out = h;
	return 0;
failed:
	dismantle(h);
	return -1;
}

void health_stop(struct health *h)
{
	if (!h)
		return;
	(void)eventfd_write(h->stop_fd, 1); /* cannot overflow: written once */
	pthread_join(h->thread, NULL);
	dismantle(h);
}

int64_t health_last_turn_ms(const struct health *h)
{
	return atomic_load_explicit(&((struct health *)(uintptr_t)h)->last_turn_ms, memory_order_relaxed);
}
