"""Proxies between berth and its peers that know every step of a conversation, and can act at any of them."""

import contextlib
import re
import socket
import threading
import time
from typing import NamedTuple

REQUEST = re.compile(rb"(GET|HEAD|POST|PUT|DELETE) (\S+) HTTP/1\.[01]\r\n")
LONG_ID = re.compile(r"(?<![0-9a-f:])[0-9a-f]{64}")
PIECE = 64 * 1024


class Step(NamedTuple):
    """The nth time that this happened to such a request.

    edge: `asked` (not forwarded yet), `sent` (one piece of its body was), `uploaded` (all of a chunked
    body was), `answered` (the answer's first bytes are here, not forwarded yet), `told` (a later piece is).
    """

    peer: str
    request: str  # method and path, without version, query and IDs
    edge: str
    n: int


class Tap:
    """Passes everything on between the clients of `listener` and what `connect()` reaches.

    steps: what happened since the last watch(). watch(step, action) runs the action once, in place,
    when that step happens: nothing more passes on this connection until the action returns.
    """

    def __init__(self, peer, listener, connect):
        self.connection = Connection
        self.peer, self.connect = peer, connect
        self.lock = threading.Lock()
        self.steps, self.counts, self.wanted, self.action = [], {}, None, None
        self.fired = threading.Event()
        self.open = threading.Event()
        self.open.set()
        self.listener = None
        self.listen(listener)

    def listen(self, listener):
        self.listener = listener
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()

    def refuse(self):
        """Nobody listens any more; listen() ends that."""
        # close() alone would leave accept() waiting on the open socket
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()

    def watch(self, step=None, action=None):
        with self.lock:
            self.steps, self.counts, self.wanted, self.action = [], {}, step, action
            self.fired = threading.Event()

    def _accept(self, listener):
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client):
        self.open.wait()
        try:
            server = self.connect()
        except OSError:
            client.close()
            return
        server.settimeout(None)
        self.connection(self, client, server).run()

    def step(self, request, edge):
        with self.lock:
            n = self.counts[request, edge] = self.counts.get((request, edge), 0) + 1
            step = Step(self.peer, request, edge, n)
            self.steps.append(step)
            if step != self.wanted:
                return
            action, self.wanted = self.action, None
            fired = self.fired
        action()
        fired.set()


class Connection:
    def __init__(self, tap, client, server):
        self.tap, self.client, self.server = tap, client, server
        self.request, self.answers = None, 0

    def run(self):
        threading.Thread(target=self._pump, args=(self.server, self.client, self._downward), daemon=True).start()
        self._pump(self.client, self.server, self._upward)

    def _pump(self, source, sink, look):
        with contextlib.suppress(OSError):
            while data := source.recv(PIECE):
                after = look(data)
                sink.sendall(data)
                if after and self.request:
                    self.tap.step(self.request, after)
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def _upward(self, data):
        """What is to be said once data has been forwarded."""
        if head := REQUEST.match(data):
            path = head[2].decode().partition("?")[0]
            path = re.sub(r"^/v1\.\d+", "", path)
            self.request, self.answers = f"{head[1].decode()} {LONG_ID.sub('ID', path)}", 0
            self.tap.step(self.request, "asked")
            return None
        return "uploaded" if data.endswith(b"0\r\n\r\n") else "sent"

    def _downward(self, data):
        # Docker's own pull tries TLS first.
        if self.request and not data.startswith(b"HTTP/1.1 100 "):
            self.answers += 1
            self.tap.step(self.request, "answered" if self.answers == 1 else "told")


def unix_listener(path):
    with contextlib.suppress(FileNotFoundError):
        path.unlink()
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen(64)
    return listener


def unix_connect(path):
    client = socket.socket(socket.AF_UNIX)
    client.connect(str(path))
    return client


def wait_until(what, timeout=10, why="", every=0.02):
    """Until what() is true: its value."""
    deadline = time.monotonic() + timeout
    while not (value := what()):
        assert time.monotonic() < deadline, f"not within {timeout} s: {why() if callable(why) else why or what}"
        time.sleep(every)
    return value
