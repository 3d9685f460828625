#include "agent/listener.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/fdstore.h"
#include "agent/relay.h"
#include "agent/sockets.h"
#include "base/mem.h"

/* The kernel takes the smaller of this and net.core.somaxconn, 4096. */
#define BACKLOG 4096
#define ACCEPT_BATCH 64
#define NO_DESCRIPTORS_PAUSE_MS 50
/* A busy port is tried often for a minute, while a deploy frees it, then now and then. */
#define RETRY_SOON_MS 20
#define RETRY_SOON_TIMES 3000
#define RETRY_LATER_MS 1000
/* For RELAYS_MAX connections with bytes on their way in a quarter of them, and what else berth has open. */
#define DESCRIPTORS_WANTED (4 * RELAYS_MAX)

struct port {
	struct listener *listener;
	struct switch_endpoint endpoint;
	int fd; /* -1: not yet */
	struct loop_watch *watch;
};

struct listener {
	struct loop *loop;
	struct relays *relays;
	struct port *ports; /* SWITCH_ENDPOINTS_MAX, so that watches can point there */
	size_t n;
	char address[46];
	char problem[512];
	struct loop_timer *retry, *pause;
	unsigned int retries;
	bool closing;
};

static void on_client(void *arg, uint32_t events);

/* The address to bind; "": both families. */
static socklen_t socket_address(const struct switch_endpoint *e, bool have_v6, struct sockaddr_storage *out)
{
	struct sockaddr_in *v4 = (struct sockaddr_in *)out;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)out;

	memset(out, 0, sizeof *out);
	if ((!*e->host_ip && !have_v6) || (*e->host_ip && inet_pton(AF_INET, e->host_ip, &v4->sin_addr) == 1)) {
		v4->sin_family = AF_INET;
		v4->sin_port = htons(e->host_port);
		return sizeof *v4;
	}
	v6->sin6_family = AF_INET6;
	v6->sin6_port = htons(e->host_port);
	if (*e->host_ip)
		(void)inet_pton(AF_INET6, e->host_ip, &v6->sin6_addr); /* checked by switch_endpoints() */
	return sizeof *v6;
}

static int bind_socket(const struct sockaddr_storage *address, socklen_t len, bool v6only)
{
	const int on = 1, only = v6only;
	int fd = fdstore_take((const struct sockaddr *)address, len, v6only);

	if (fd >= 0)
		return fd;
	fd = socket(address->ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -1;
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0 ||
	    (address->ss_family == AF_INET6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &only, sizeof only) < 0) ||
	    bind(fd, (const struct sockaddr *)address, len) < 0 || listen(fd, BACKLOG) < 0) {
		int saved = errno;
		closep(&fd);
		errno = saved;
		return -1;
	}
	return fd;
}

static int explain(int errnum, const struct switch_endpoint *e, const struct sockaddr_storage *address, struct err *err)
{
	struct in6_addr v6 = ((const struct sockaddr_in6 *)address)->sin6_addr;
	const char *colon = strchr(e->host_ip, ':');
	char where[64], holder[128];

	(void)snprintf(where, sizeof where, "%s%s%s%s%u", colon ? "[" : "", e->host_ip, colon ? "]" : "",
		       *e->host_ip ? ":" : "port ", e->host_port);
	if (errnum != EADDRINUSE) {
		(void)err_sys(err, errnum, "listen on %s", where);
		if (errnum == EADDRNOTAVAIL)
			err->kind = ERR_CONFIG;
		return -1;
	}
	if (address->ss_family == AF_INET) {
		v6 = (struct in6_addr){ .s6_addr = { [10] = 0xff, [11] = 0xff } };
		v6.s6_addr32[3] = ((const struct sockaddr_in *)address)->sin_addr.s_addr;
	}
	if (!sockets_holder(&v6, e->host_port, holder, sizeof holder))
		(void)snprintf(holder, sizeof holder, "another process");
	(void)err_set(err, ERR_CONFLICT, "%s is held by %s", where, holder);
	return err_hint(err, "stop it, or publish another port");
}

int listener_open(const struct switch_endpoint *endpoint, int *out, struct err *err)
{
	bool any = !*endpoint->host_ip;
	struct sockaddr_storage address;
	socklen_t len = socket_address(endpoint, true, &address);
	int fd = bind_socket(&address, len, !any);

	if (fd < 0 && errno == EAFNOSUPPORT && any) {
		/* A kernel without IPv6: every address means IPv4 there. */
		len = socket_address(endpoint, false, &address);
		fd = bind_socket(&address, len, false);
	}
	if (fd < 0)
		return explain(errno, endpoint, &address, err);
	*out = fd;
	return 0;
}

static bool where_to(void *arg, uint16_t to_port, struct sockaddr_in *out)
{
	const struct listener *l = arg;

	*out = (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons(to_port) };
	return inet_pton(AF_INET, l->address, &out->sin_addr) == 1;
}

/* Whether clients are taken now, or wait in the backlog. */
static bool has_room(const struct listener *l)
{
	return !l->pause && relays_count(l->relays) < RELAYS_MAX;
}

static void watch_ports(struct listener *l)
{
	bool room = !l->closing && has_room(l);
	struct err ignored;

	for (struct port *p = l->ports; p < l->ports + l->n; p++) {
		if (!room) {
			loop_unwatch(p->watch);
			p->watch = NULL;
		} else if (!p->watch && p->fd >= 0 &&
			   loop_watch_fd(l->loop, p->fd, EPOLLIN, on_client, p, &p->watch, &ignored) < 0) {
			p->watch = NULL; /* out of memory or of watches: the next connection's end tries again */
		}
	}
}

static void on_room(void *arg)
{
	struct listener *l = arg;

	if (relays_count(l->relays) == RELAYS_MAX - 1)
		watch_ports(l);
}

static void on_pause_over(void *arg)
{
	struct listener *l = arg;

	l->pause = NULL;
	watch_ports(l);
}

static void on_client(void *arg, uint32_t events)
{
	struct port *p = arg;
	struct listener *l = p->listener;

	(void)events;
	for (int i = 0; i < ACCEPT_BATCH && has_room(l); i++) {
		int fd = accept4(p->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (fd >= 0)
			relay_start(l->relays, fd, p->endpoint.container_port);
		else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
			l->pause = loop_timer_start(l->loop, NO_DESCRIPTORS_PAUSE_MS, on_pause_over, l);
		else if (errno != ECONNABORTED && errno != EINTR)
			break;
	}
	if (!has_room(l))
		watch_ports(l);
}

static void on_retry(void *arg);

/* Opens what is not open; the first that cannot be is the problem. */
static void open_ports(struct listener *l)
{
	struct err err = { 0 };

	l->problem[0] = '\0';
	for (struct port *p = l->ports; p < l->ports + l->n; p++) {
		if (p->fd >= 0 || listener_open(&p->endpoint, &p->fd, &err) == 0)
			continue;
		p->fd = -1;
		if (!*l->problem)
			(void)snprintf(l->problem, sizeof l->problem, "%s", err.msg);
	}
	for (struct port *p = l->ports; p < l->ports + l->n; p++)
		if (p->fd >= 0 && !p->watch)
			fdstore_keep(p->fd); /* again does no harm: systemd knows the same socket */
	watch_ports(l);
	loop_timer_cancel(l->retry);
	l->retry = NULL;
	if (*l->problem)
		l->retry = loop_timer_start(l->loop, l->retries++ < RETRY_SOON_TIMES ? RETRY_SOON_MS : RETRY_LATER_MS,
					    on_retry, l);
}

static void on_retry(void *arg)
{
	struct listener *l = arg;

	l->retry = NULL;
	open_ports(l);
}

static void close_port(struct port *p, bool for_good)
{
	loop_unwatch(p->watch);
	p->watch = NULL;
	if (for_good && p->fd >= 0)
		fdstore_forget(p->fd);
	closep(&p->fd);
	p->fd = -1;
}

static bool same_address(const struct switch_endpoint *a, const struct switch_endpoint *b)
{
	return a->host_port == b->host_port && streq(a->host_ip, b->host_ip);
}

/* The open socket of that address is taken over, so that nobody in its backlog is lost. */
static int take_open(struct listener *l, const struct switch_endpoint *e)
{
	for (struct port *p = l->ports; p < l->ports + l->n; p++)
		if (p->fd >= 0 && same_address(&p->endpoint, e)) {
			int fd = p->fd;
			loop_unwatch(p->watch);
			p->watch = NULL;
			p->fd = -1;
			return fd;
		}
	return -1;
}

void listener_set(struct listener *l, const struct switch_endpoint *endpoints, size_t n, const char *address)
{
	struct port *ports = xcalloc(SWITCH_ENDPOINTS_MAX, sizeof *ports);
	size_t n_ports = 0;

	(void)snprintf(l->address, sizeof l->address, "%s", address);
	for (size_t i = 0; i < n && n_ports < SWITCH_ENDPOINTS_MAX; i++)
		if (!endpoints[i].udp)
			ports[n_ports++] = (struct port){ l, endpoints[i], take_open(l, &endpoints[i]), NULL };
	for (size_t i = 0; i < l->n; i++)
		close_port(&l->ports[i], true);
	free(l->ports);
	l->ports = ports;
	l->n = n_ports;
	l->retries = 0;
	open_ports(l);
	fdstore_drop_rest();
}

const char *listener_problem(const struct listener *l)
{
	return l->problem;
}

size_t listener_connections(const struct listener *l)
{
	return relays_count(l->relays);
}

void listener_clear(struct listener *l)
{
	listener_set(l, NULL, 0, "");
}

int listener_new(struct loop *loop, struct listener **out, struct err *err)
{
	struct rlimit files;

	if (getrlimit(RLIMIT_NOFILE, &files) < 0)
		return err_sys(err, errno, "getrlimit");
	if (files.rlim_cur < DESCRIPTORS_WANTED) {
		files.rlim_cur = files.rlim_max < DESCRIPTORS_WANTED ? files.rlim_max : DESCRIPTORS_WANTED;
		(void)setrlimit(RLIMIT_NOFILE, &files); /* fewer connections then; the others wait */
	}
	struct listener *l = xcalloc(1, sizeof *l);
	l->loop = loop;
	l->ports = xcalloc(SWITCH_ENDPOINTS_MAX, sizeof *l->ports);
	l->relays = relays_new(loop, where_to, on_room, l);
	*out = l;
	return 0;
}

void listener_free(struct listener *l)
{
	if (!l)
		return;
	l->closing = true;
	loop_timer_cancel(l->retry);
	loop_timer_cancel(l->pause);
	l->pause = NULL;
	for (size_t i = 0; i < l->n; i++)
		close_port(&l->ports[i], false);
	relays_free(l->relays);
	free(l->ports);
	free(l);
}
