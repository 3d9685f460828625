#include "agent/relay.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"

/* A pipe of the usual 64 KiB has 16 places, and what comes from a socket fills each with some KiB only. */
#define SPLICE_BYTES (256 * KIB)
/* One connection's turn, fills and drains: 1 MiB, then others have theirs. */
#define SPLICES_PER_TURN 8
/* Kept for reuse between bursts. */
#define SPARE_PIPES_MAX 64
/* SYNs again after 1, 2 and 4 s: a container that does not answer for 7 s is not there. */
#define DIAL_RETRIES 2
/* A peer that vanished without a FIN is noticed after 75 s. */
#define KEEPALIVE_S 15
#define KEEPALIVE_PROBES 4

enum { CLIENT, SERVER };

struct side {
	struct relay *relay;
	int fd;
	uint32_t events; /* 0: not watched, since a socket that hung up would report so for ever */
	struct loop_watch *watch;
};

/* From side i to the other. */
struct flow {
	int pipe[2]; /* -1 while nothing is on its way */
	size_t pending;
	bool ended, shut; /* the source said FIN; so did we */
};

struct relay {
	struct relays *all;
	struct relay *prev, *next;
	struct side sides[2];
	struct flow flows[2];
	struct sockaddr_in to;
	uint16_t to_port;
	bool connected;
};

struct relays {
	struct loop *loop;
	relay_target_fn *target;
	relay_room_fn *room;
	void *arg;
	struct relay *first;
	size_t n;
	int spare[SPARE_PIPES_MAX][2];
	size_t n_spare;
};

static void on_event(void *arg, uint32_t events);

struct relays *relays_new(struct loop *loop, relay_target_fn *target, relay_room_fn *room, void *arg)
{
	struct relays *r = xcalloc(1, sizeof *r);

	*r = (struct relays){ .loop = loop, .target = target, .room = room, .arg = arg };
	return r;
}

size_t relays_count(const struct relays *r)
{
	return r->n;
}

static bool take_pipe(struct relays *r, int out[2])
{
	if (!r->n_spare) {
		if (pipe2(out, O_CLOEXEC | O_NONBLOCK) < 0)
			return false;
		(void)fcntl(out[1], F_SETPIPE_SZ, (int)SPLICE_BYTES); /* less is allowed too: pipe(7) */
		return true;
	}
	memcpy(out, r->spare[--r->n_spare], sizeof r->spare[0]);
	return true;
}

/* Only an empty one may be used again. */
static void drop_pipe(struct relays *r, struct flow *f)
{
	if (f->pipe[0] < 0)
		return;
	if (!f->pending && r->n_spare < SPARE_PIPES_MAX) {
		memcpy(r->spare[r->n_spare++], f->pipe, sizeof f->pipe);
		f->pipe[0] = f->pipe[1] = -1;
		return;
	}
	closep(&f->pipe[0]);
	closep(&f->pipe[1]);
	f->pipe[0] = f->pipe[1] = -1;
}

static void close_side(struct side *s)
{
	loop_unwatch(s->watch);
	s->watch = NULL;
	closep(&s->fd);
	s->fd = -1;
}

static void end(struct relay *relay)
{
	struct relays *r = relay->all;

	for (int i = 0; i < 2; i++) {
		close_side(&relay->sides[i]);
		drop_pipe(r, &relay->flows[i]);
	}
	if (relay->prev)
		relay->prev->next = relay->next;
	else
		r->first = relay->next;
	if (relay->next)
		relay->next->prev = relay->prev;
	r->n--;
	free(relay);
	r->room(r->arg);
}

/* What one side suffered, the other is told: a reset is no end of stream. */
static void reset(struct relay *relay)
{
	const struct linger now = { .l_onoff = 1, .l_linger = 0 };

	for (int i = 0; i < 2; i++)
		if (relay->sides[i].fd >= 0)
			(void)setsockopt(relay->sides[i].fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
	end(relay);
}

void relays_free(struct relays *r)
{
	struct relay *next;

	if (!r)
		return;
	for (struct relay *relay = r->first; relay; relay = next) {
		next = relay->next;
		end(relay);
	}
	for (size_t i = 0; i < r->n_spare; i++) {
		closep(&r->spare[i][0]);
		closep(&r->spare[i][1]);
	}
	free(r);
}

static void set_up_socket(int fd)
{
	const int on = 1, idle = KEEPALIVE_S, probes = KEEPALIVE_PROBES;

	/* Without these the connection works too. */
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
	(void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
	(void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof idle);
	(void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &idle, sizeof idle);
	(void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof probes);
}

static bool watch(struct side *s, uint32_t events)
{
	struct err ignored;

	if (events == s->events)
		return true;
	s->events = events;
	if (!events) {
		loop_unwatch(s->watch);
		s->watch = NULL;
	} else if (s->watch) {
		loop_watch_change(s->watch, events);
	} else {
		return loop_watch_fd(s->relay->all->loop, s->fd, events, on_event, s, &s->watch, &ignored) == 0;
	}
	return true;
}

/* 1 something moved, 0 must wait, -1 the connection is broken. */
static int fill(struct relays *r, struct flow *f, int from)
{
	if (f->pipe[0] < 0 && !take_pipe(r, f->pipe))
		return -1;
	ssize_t n = splice(from, NULL, f->pipe[1], NULL, SPLICE_BYTES, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
	if (n > 0)
		f->pending = (size_t)n;
	else if (n == 0)
		f->ended = true;
	else
		return errno == EAGAIN || errno == EINTR ? 0 : -1;
	return 1;
}

static int drain(struct flow *f, int to)
{
	ssize_t n = splice(f->pipe[0], NULL, to, NULL, f->pending, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);

	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -1;
	f->pending -= (size_t)n;
	return n > 0;
}

static bool pump(struct relay *relay, int i)
{
	struct flow *f = &relay->flows[i];
	int moved = 1;

	for (int turn = 0; moved > 0 && turn < SPLICES_PER_TURN; turn++) {
		if (f->pending)
			moved = drain(f, relay->sides[!i].fd);
		else if (!f->ended)
			moved = fill(relay->all, f, relay->sides[i].fd);
		else
			break;
	}
	if (!f->pending)
		drop_pipe(relay->all, f);
	if (f->ended && !f->pending && !f->shut) {
		f->shut = true;
		/* ENOTCONN: that side was reset; reading it says so. */
		(void)shutdown(relay->sides[!i].fd, SHUT_WR);
	}
	return moved >= 0;
}

/* Reads while nothing is on its way, so a slow reader slows its writer. */
static uint32_t wanted(const struct relay *relay, int i)
{
	const struct flow *from = &relay->flows[i], *to = &relay->flows[!i];

	return (!from->ended && !from->pending ? EPOLLIN : 0u) | (to->pending ? EPOLLOUT : 0u);
}

static void go_on(struct relay *relay)
{
	if (!pump(relay, CLIENT) || !pump(relay, SERVER)) {
		reset(relay);
		return;
	}
	if (relay->flows[CLIENT].shut && relay->flows[SERVER].shut) {
		end(relay);
		return;
	}
	for (int i = 0; i < 2; i++)
		if (!watch(&relay->sides[i], wanted(relay, i))) {
			reset(relay);
			return;
		}
}

static int socket_error(int fd)
{
	int error = 0;
	socklen_t len = sizeof error;

	return getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0 ? errno : error;
}

static bool dial(struct relay *relay)
{
	struct side *s = &relay->sides[SERVER];
	const int retries = DIAL_RETRIES;

	close_side(s);
	s->events = 0;
	if (!relay->all->target(relay->all->arg, relay->to_port, &relay->to))
		return false;
	s->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (s->fd < 0)
		return false;
	(void)setsockopt(s->fd, IPPROTO_TCP, TCP_SYNCNT, &retries, sizeof retries); /* else it takes minutes */
	set_up_socket(s->fd);
	if (connect(s->fd, (const struct sockaddr *)&relay->to, sizeof relay->to) < 0 && errno != EINPROGRESS)
		return false;
	return watch(s, EPOLLOUT);
}

/* The container was stopped between our look and our SYN: the switch leads elsewhere by now. */
static bool dial_elsewhere(struct relay *relay)
{
	struct sockaddr_in now;

	return relay->all->target(relay->all->arg, relay->to_port, &now) &&
	       memcmp(&now, &relay->to, sizeof now) != 0 && dial(relay);
}

static void on_event(void *arg, uint32_t events)
{
	struct side *s = arg;
	struct relay *relay = s->relay;

	if (!relay->connected) {
		if (socket_error(s->fd) == 0)
			relay->connected = true;
		else if (!dial_elsewhere(relay))
			return reset(relay);
		else
			return;
	} else if ((events & EPOLLERR) && socket_error(s->fd) != 0) {
		return reset(relay);
	}
	go_on(relay);
}

void relay_start(struct relays *r, int client_fd, uint16_t to_port)
{
	struct relay *relay = xcalloc(1, sizeof *relay);

	*relay = (struct relay){ .all = r, .next = r->first, .to_port = to_port };
	relay->sides[CLIENT] = (struct side){ .relay = relay, .fd = client_fd };
	relay->sides[SERVER] = (struct side){ .relay = relay, .fd = -1 };
	for (int i = 0; i < 2; i++)
		relay->flows[i].pipe[0] = relay->flows[i].pipe[1] = -1;
	if (r->first)
		r->first->prev = relay;
	r->first = relay;
	r->n++;
	set_up_socket(client_fd);
	if (!dial(relay) && !dial_elsewhere(relay))
		reset(relay);
}
