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
/* For what else berth has open. */
#define DESCRIPTORS_RESERVED 256
#define DESCRIPTORS_WANTED (RELAYS_MAX * RELAY_DESCRIPTORS + DESCRIPTORS_RESERVED)
/* Where the limit is so low that nothing is left. */
#define RELAYS_MIN 8

struct port {
	struct listener *listener;
	struct switch_endpoint endpoint;
	int fd;    /* -1: not yet */
	int error; /* errno of the last try; 0 none */
	struct loop_watch *watch;
};

struct listener {
	struct loop *loop;
	struct relays *relays;
	size_t room; /* connections at once */
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

/* -1 with errno. */
static int open_socket(const struct switch_endpoint *e)
{
	bool any = !*e->host_ip;
	struct sockaddr_storage address;
	socklen_t len = socket_address(e, true, &address);
	int fd = bind_socket(&address, len, !any);

	if (fd >= 0 || errno != EAFNOSUPPORT || !any)
		return fd;
	/* A kernel without IPv6: every address means IPv4 there. */
	len = socket_address(e, false, &address);
	return bind_socket(&address, len, false);
}

/* Looks through all processes for the holder. */
static int explain(int errnum, const struct switch_endpoint *e, struct err *err)
{
	const char *colon = strchr(e->host_ip, ':');
	struct sockaddr_storage address;
	char where[64], holder[128];
	struct in6_addr v6;

	(void)snprintf(where, sizeof where, "%s%s%s%s%u", colon ? "[" : "", e->host_ip, colon ? "]" : "",
		       *e->host_ip ? ":" : "port ", e->host_port);
	if (errnum != EADDRINUSE) {
		(void)err_sys(err, errnum, "listen on %s", where);
		if (errnum == EADDRNOTAVAIL)
			err->kind = ERR_CONFIG;
		return -1;
	}
	(void)socket_address(e, true, &address);
	v6 = ((const struct sockaddr_in6 *)&address)->sin6_addr;
	if (address.ss_family == AF_INET) {
		v6 = (struct in6_addr){ .s6_addr = { [10] = 0xff, [11] = 0xff } };
		v6.s6_addr32[3] = ((const struct sockaddr_in *)&address)->sin_addr.s_addr;
	}
	if (!sockets_holder(&v6, e->host_port, holder, sizeof holder))
		(void)snprintf(holder, sizeof holder, "another process");
	(void)err_set(err, ERR_CONFLICT, "%s is held by %s", where, holder);
	return err_hint(err, "stop it, or publish another port");
}

int listener_open(const struct switch_endpoint *endpoint, int *out, struct err *err)
{
	int fd = open_socket(endpoint);

	if (fd < 0)
		return explain(errno, endpoint, err);
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
	return !l->pause && relays_count(l->relays) < l->room;
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

	if (relays_count(l->relays) == l->room - 1)
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

/* Tries what is not open. The first that cannot be is the problem; it is explained when that changes only. */
static void try_ports(struct listener *l)
{
	const struct port *failed = NULL;
	bool changed = false;
	struct err err;

	for (struct port *p = l->ports; p < l->ports + l->n; p++) {
		if (p->fd >= 0)
			continue;
		p->fd = open_socket(&p->endpoint);
		int error = p->fd < 0 ? errno : 0;
		changed |= error != p->error;
		p->error = error;
		if (error && !failed)
			failed = p;
	}
	if (!failed) {
		l->problem[0] = '\0';
	} else if (changed) {
		(void)explain(failed->error, &failed->endpoint, &err); /* always -1: the text is what is wanted */
		(void)snprintf(l->problem, sizeof l->problem, "%s", err.msg);
	}
}

static void open_ports(struct listener *l)
{
	try_ports(l);
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
			ports[n_ports++] = (struct port){ l, endpoints[i], take_open(l, &endpoints[i]), 0, NULL };
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

/* As many as there can be descriptors for, so that a client is not taken who could not be served. */
static size_t room_for_relays(void)
{
	struct rlimit files;

	if (getrlimit(RLIMIT_NOFILE, &files) < 0)
		return RELAYS_MIN;
	if (files.rlim_cur < DESCRIPTORS_WANTED) {
		files.rlim_cur = files.rlim_max < DESCRIPTORS_WANTED ? files.rlim_max : DESCRIPTORS_WANTED;
		if (setrlimit(RLIMIT_NOFILE, &files) < 0 && getrlimit(RLIMIT_NOFILE, &files) < 0)
			return RELAYS_MIN;
	}
	if (files.rlim_cur >= DESCRIPTORS_WANTED)
		return RELAYS_MAX;
	if (files.rlim_cur < DESCRIPTORS_RESERVED + RELAYS_MIN * RELAY_DESCRIPTORS)
		return RELAYS_MIN;
	return (files.rlim_cur - DESCRIPTORS_RESERVED) / RELAY_DESCRIPTORS;
}

struct listener *listener_new(struct loop *loop)
{
	struct listener *l = xcalloc(1, sizeof *l);

	l->loop = loop;
	l->room = room_for_relays();
	l->ports = xcalloc(SWITCH_ENDPOINTS_MAX, sizeof *l->ports);
	l->relays = relays_new(loop, where_to, on_room, l);
	return l;
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
