"""A raw HTTP/1.1 server in a thread, which records all and does what its script says."""

import asyncio
import socket
import ssl
import struct
import threading
import time
from dataclasses import dataclass
from typing import Optional

from . import netns as namespaces
from .message import BadRequest, HEAD_MAX, Response, read_request, text
from .script import Script

SLICE = 256 * 1024
GONE = (ConnectionError, ssl.SSLError, asyncio.IncompleteReadError, TimeoutError)


@dataclass
class Connection:
    number: int
    peer: tuple
    local: tuple
    tls: Optional[str] = None  # version agreed
    sni: Optional[str] = None
    error: Optional[str] = None  # of the handshake, or of bytes that were no HTTP
    garbage: bytes = b""  # those bytes


class Exchange:
    """One request being answered: what a fault gets to work with."""

    def __init__(self, server, request, writer):
        self.server = server
        self.request = request
        self._writer = writer
        self.close_after = False

    async def normal(self):
        """The Response the well-behaved server would give."""
        return await self.server.respond(self.request)

    async def send(self, response):
        """Send a Response as it should be sent (no body to HEAD)."""
        await self.send_head(response)
        if self.request.method != "HEAD":
            await self.send_body(response)

    async def send_head(self, response):
        self.request.status = response.status
        if (response.header("Connection") or "").lower() == "close":
            self.close_after = True
        await self.write(response.head(self.server.now()))

    async def send_body(self, response):
        if isinstance(response.body, bytes):
            view = memoryview(response.body)
            for start in range(0, len(view), SLICE):
                await self.write_body(view[start : start + SLICE])
        else:
            async for part in response.body:
                await self.write_body(part)

    async def write_body(self, data):
        self._writer.write(data)
        self.request.body_sent += len(data)  # before the wait: the client may be done first
        await self._writer.drain()

    async def write(self, data):
        """Any bytes at all."""
        self._writer.write(data)
        await self._writer.drain()

    def reset(self):
        """End the connection with a TCP RST."""
        self.close_after = True
        sock = self._writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()

    def close(self):
        """End the connection after this exchange, in order."""
        self.close_after = True


class Server:
    """A double. Use it as a context manager, or start() and stop().

    listen: addresses to listen on; port 0 picks one (the same for all). netns: see netns.enter.
    tls: a Certificate (ca.py), or None for plain HTTP. names: the host names it goes by, for its
    logs and URLs. Subclasses say what they answer in respond(); everything may be called from the
    test's thread while it runs.
    """

    def __init__(self, name, *, listen=(("127.0.0.1", 0),), netns=None, tls=None, host=None):
        self.name = name
        self.host = host
        self.script = Script()
        self.requests = []
        self.connections = []
        self.clock_offset = 0.0  # seconds this server's clock is ahead of the machine's
        self.errors = []  # exceptions in the double itself; stop() raises the first
        self.tls = tls
        self._listen = list(listen)
        self._netns = netns
        self._next_certificates = []
        self._next_connections = []
        self._sockets = []
        self._accepting = []
        self._tasks = set()
        self._thread = None
        self._loop = None

    # --- for tests

    @property
    def address(self):
        return self._listen[0]

    @property
    def url(self):
        """scheme://host[:port], by name if it has one."""
        return f"{'https' if self.tls else 'http'}://{self.authority}"

    @property
    def authority(self):
        host, port = self.host or self._listen[0][0], self._listen[0][1]
        if ":" in host:
            host = f"[{host}]"
        return host if port == (443 if self.tls else 80) else f"{host}:{port}"

    @property
    def on(self):
        return self.script.on

    def reset(self):
        """Forget requests, connections and rules; keep content and credentials."""
        self.script.clear()
        self.requests.clear()
        self.connections.clear()
        self._next_certificates.clear()
        self._next_connections.clear()
        if self._loop and not self._accepting:
            self.up()

    def matching(self, method="*", path=""):
        """The requests so far of that method whose target has the regular expression."""
        import re

        return [
            r
            for r in list(self.requests)
            if method in ("*", r.method) and re.search(path, r.target)
        ]

    def received(self):
        """All request bytes so far, for canaries."""
        return b"\n".join(
            [r.raw for r in list(self.requests)] + [c.garbage for c in list(self.connections)]
        )

    def settle(self):
        """Wait a moment for what clients that are gone have left in the sockets."""
        time.sleep(0.05)
        if self._loop:
            self._call(lambda: None)

    def now(self):
        return time.time() + self.clock_offset

    def down(self):
        """Refuse connections from now on (the port stays ours)."""
        self._call(self._down)

    def up(self):
        """Listen again."""
        self._call(self._up)

    def outage(self, seconds):
        """Refuse connections for so long, then listen again."""
        self.down()
        self._loop.call_soon_threadsafe(self._loop.call_later, seconds, self._up)

    def next_connections(self, count, what):
        """The next `count` connections are accepted, then "reset" or left to "hang"."""
        assert what in ("reset", "hang")
        self._next_connections += [what] * count

    def next_certificates(self, count, certificate):
        """The next `count` connections are offered another certificate."""
        self._next_certificates += [certificate] * count

    def start(self):
        ready = threading.Event()
        failure = []

        def run():
            try:
                if self._netns is not None:
                    namespaces.enter(self._netns)
                asyncio.run(self._main(ready))
            except BaseException as error:  # pylint: disable=broad-except
                failure.append(error)
                ready.set()

        self._thread = threading.Thread(target=run, name=f"double {self.name}", daemon=True)
        self._thread.start()
        ready.wait()
        if failure:
            raise failure[0]
        return self

    def stop(self):
        if self._thread and self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stopped.set)
            self._thread.join(10)
        self._loop = None
        if self.errors:
            raise AssertionError(f"the double {self.name} failed") from self.errors[0]

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()

    # --- for subclasses

    async def respond(self, request):
        return text(404, "nothing here")

    # --- inside the thread

    def _call(self, function):
        done = threading.Event()

        def run():
            function()
            done.set()

        self._loop.call_soon_threadsafe(run)
        done.wait(5)

    async def _main(self, ready):
        self._loop = asyncio.get_running_loop()
        self._stopped = asyncio.Event()
        port = self._listen[0][1]
        for host, own_port in self._listen:
            with _bound(host, own_port or port) as chosen:
                port = port or chosen.getsockname()[1]
                # Bound again by number: Linux gives up a port it chose itself when the listener is
                # shut down.
                self._sockets.append(_bound(host, own_port or port))
        self._listen = [sock.getsockname()[:2] for sock in self._sockets]
        self._up()
        ready.set()
        await self._stopped.wait()
        everything = [*self._accepting, *self._tasks]
        for task in everything:
            task.cancel()
        await asyncio.gather(*everything, return_exceptions=True)
        for sock in self._sockets:
            sock.close()

    def _up(self):
        if not self._accepting:
            for sock in self._sockets:
                sock.listen(512)
                self._accepting.append(asyncio.ensure_future(self._accept(sock), loop=self._loop))

    def _down(self):
        for task in self._accepting:
            task.cancel()
        self._accepting = []
        for sock in self._sockets:
            self._loop.remove_reader(sock)
            # Linux: stops listening and keeps the port bound; listen() opens it again.
            sock.shutdown(socket.SHUT_RDWR)

    async def _accept(self, sock):
        while True:
            conn, peer = await self._loop.sock_accept(sock)
            conn.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            record = Connection(len(self.connections) + 1, peer[:2], conn.getsockname()[:2])
            self.connections.append(record)
            task = asyncio.ensure_future(self._connection(conn, record))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _connection(self, conn, record):
        what = self._next_connections.pop(0) if self._next_connections else None
        if what == "reset":
            conn.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            conn.close()
            return
        if what == "hang":
            with conn:
                await self._stopped.wait()
            return
        certificate = self._next_certificates.pop(0) if self._next_certificates else self.tls
        context = certificate.context(record) if certificate else None
        reader = asyncio.StreamReader(limit=HEAD_MAX)
        protocol = asyncio.StreamReaderProtocol(reader)
        writer = None
        try:
            transport, _ = await self._loop.connect_accepted_socket(
                lambda: protocol, conn, ssl=context, ssl_handshake_timeout=10 if context else None
            )
            writer = asyncio.StreamWriter(transport, protocol, reader, self._loop)
            if context:
                record.tls = writer.get_extra_info("ssl_object").version()
            await self._exchanges(reader, writer, record)
        except GONE as error:
            record.error = record.error or repr(error)
        except OSError as error:
            record.error = record.error or repr(error)
        except asyncio.CancelledError:
            pass
        except Exception as error:  # pylint: disable=broad-except
            self.errors.append(error)
        finally:
            if writer:
                writer.close()
            else:
                conn.close()

    async def _exchanges(self, reader, writer, record):
        while True:
            try:
                request = await read_request(reader)
            except BadRequest as error:
                record.error, record.garbage = str(error), error.data
                writer.write(text(400, str(error), [("Connection", "close")]).head(self.now()))
                return
            if request is None:
                return
            request.peer, request.connection = record.peer, record.number
            request.server, request.time = self.name, time.time()
            self.requests.append(request)
            exchange = Exchange(self, request, writer)
            fault = self.script.pick(request)
            if fault:
                await fault(exchange)
            else:
                await exchange.send(await exchange.normal())
            if (
                exchange.close_after
                or (request.header("Connection") or "").lower() == "close"
                or request.version == "HTTP/1.0"
            ):
                return


def _bound(host, port):
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    sock.bind((host, port))
    sock.setblocking(False)
    return sock


class Trap(Server):
    """A host where nobody should go: answers everything alike and keeps what it was sent."""

    def __init__(self, name="trap", answer=None, **kwargs):
        super().__init__(name, **kwargs)
        self.answer = answer or Response(404)

    async def respond(self, request):
        return self.answer
