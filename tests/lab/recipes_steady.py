"""A web application for tests of deployments: kept connections, slow requests, and an end that is graceful or is not."""

import random
import subprocess
import tempfile
from pathlib import Path

from . import oci, recipes_small

# START_DELAY: seconds before it listens. ABRUPT: it ends at SIGTERM, whoever is connected; else each answer says
# `Connection: close` from then on, and it ends when nobody is connected, after GRACE (5) seconds at the latest.
# /slow?SECONDS answers that much later; all else is {"version":"…"}.
SOURCE = r"""
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static atomic_int ending, connected;

static const char *variable(const char *name, const char *otherwise)
{
	const char *value = getenv(name);
	return value && *value ? value : otherwise;
}

static int answer(int fd, const char *request)
{
	double seconds = 0;
	char body[64], text[256];
	if (sscanf(request, "GET /slow?%lf", &seconds) == 1)
		usleep((useconds_t)(seconds * 1e6));
	int close_it = ending || strstr(request, "\r\nConnection: close") || strstr(request, "\r\nconnection: close");
	int length = snprintf(body, sizeof body, "{\"version\":\"%s\"}\n", variable("VERSION", "?"));
	int n = snprintf(text, sizeof text, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n%s\r\n%s",
			 length, close_it ? "Connection: close\r\n" : "", body);
	return send(fd, text, (size_t)n, MSG_NOSIGNAL) == n && !close_it;
}

static void *serve(void *arg)
{
	int fd = (int)(long)arg, one = 1;
	char buffer[8192];
	size_t have = 0;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	for (;;) {
		char *end;
		buffer[have] = 0;
		while (!(end = strstr(buffer, "\r\n\r\n"))) {
			ssize_t n = have < sizeof buffer - 1 ? recv(fd, buffer + have, sizeof buffer - 1 - have, 0) : 0;
			if (n <= 0)
				goto over;
			have += (size_t)n;
			buffer[have] = 0;
		}
		*end = 0;
		if (!answer(fd, buffer))
			break;
		have -= (size_t)(end + 4 - buffer);
		memmove(buffer, end + 4, have);
	}
over:
	shutdown(fd, SHUT_WR);
	while (recv(fd, buffer, sizeof buffer, 0) > 0)
		;
	close(fd);
	connected--;
	return NULL;
}

static void *wait_for_the_end(void *arg)
{
	sigset_t *set = arg;
	int number;
	sigwait(set, &number);
	if (*variable("ABRUPT", ""))
		_exit(0);
	ending = 1;
	for (int left = atoi(variable("GRACE", "5")) * 100; left > 0 && connected; left--)
		usleep(10000);
	_exit(0);
}

int main(void)
{
	struct sockaddr_in6 any = { .sin6_family = AF_INET6, .sin6_port = htons(3000) };
	pthread_attr_t small;
	pthread_t thread;
	sigset_t set;
	int one = 1;
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	pthread_attr_init(&small);
	pthread_attr_setstacksize(&small, 65536);
	pthread_attr_setdetachstate(&small, PTHREAD_CREATE_DETACHED);
	pthread_create(&thread, &small, wait_for_the_end, &set);
	usleep((useconds_t)(atof(variable("START_DELAY", "0")) * 1e6));
	int listener = socket(AF_INET6, SOCK_STREAM, 0);
	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
	if (bind(listener, (void *)&any, sizeof any) || listen(listener, 4096))
		return 1;
	for (;;) {
		int fd = accept(listener, NULL, NULL);
		if (fd < 0)
			continue;
		connected++;
		if (pthread_create(&thread, &small, serve, (void *)(long)fd)) {
			connected--;
			close(fd);
		}
	}
}
"""
MIB = 1 << 20


def steady(layout: oci.Layout):
    """v1 and v2 differ in a top layer of 1 MB alone."""
    with tempfile.TemporaryDirectory() as directory:
        program = Path(directory) / "steady"
        argv = ["cc", "-O1", "-static", "-pthread", "-x", "c", "-", "-o", str(program)]
        subprocess.run(argv, input=SOURCE, text=True, check=True)
        app = oci.Tar().file("steady", program.read_bytes(), mode=0o755)
    shared = [recipes_small.base(layout), layout.layer(app.bytes(), note="steady")]
    for version in ("v1", "v2"):
        noise = random.Random(version).randbytes(MIB)
        top = layout.layer(oci.Tar().file("content", noise).bytes(), note=f"content {version}")
        run = {"Cmd": ["/steady"], "Env": [recipes_small.PATH, f"VERSION={version}"], "ExposedPorts": {"3000/tcp": {}}}
        layout.tag(version, layout.image([*shared, top], run))
