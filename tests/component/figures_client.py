"""Who asks, and is asked, where it is measured how long that takes: each a process of its own.

first HOST PORT VERSION: asks, with a new connection each time, until VERSION answers; prints when that was.
ask PORT [TIMES]: /healthz as a load balancer does, TIMES (100) a second, until stdin ends; prints [[when, seconds, status or null], …].
bare PORT: answers with as little as an answer takes.
Times are those of time.monotonic().
"""

import http.client
import json
import select
import socket
import sys
import time

REQUEST = b"GET /healthz HTTP/1.1\r\nHost: 10.0.0.1:8642\r\nUser-Agent: ELB-HealthChecker/2.0\r\n\r\n"
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"


def first(host, port, version):
    while True:
        connection = http.client.HTTPConnection(host, int(port), timeout=10)
        connection.request("GET", "/")
        said = json.loads(connection.getresponse().read())["version"]
        connection.close()
        if said == version:
            return time.monotonic()
        time.sleep(0.002)


def status(port):
    with socket.create_connection(("127.0.0.1", int(port)), timeout=10) as connection:
        connection.sendall(REQUEST)
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    return int(answer.split(None, 2)[1])


def ask(port, times=100):
    """A moment that was missed is made up for: who asks is late then, not who answers."""
    seen, due = [], time.monotonic()
    while not select.select([sys.stdin], [], [], max(0, due - time.monotonic()))[0]:
        began = time.monotonic()
        try:
            said = status(port)
        except OSError:
            said = None
        seen.append((began, time.monotonic() - began, said))
        due += 1 / int(times)
    return seen


def bare(port):
    with socket.create_server(("127.0.0.1", int(port)), backlog=1024) as server:
        while True:
            client, _ = server.accept()
            with client:
                client.recv(65536)
                client.sendall(ANSWER)


if __name__ == "__main__":
    print("begun", flush=True)
    print(json.dumps({"first": first, "ask": ask, "bare": bare}[sys.argv[1]](*sys.argv[2:])), flush=True)
