"""A name server that answers A and AAAA from a table, or fails as told (RFC 1035, UDP and TCP)."""

import asyncio
import socket
import struct
import threading

from . import netns as namespaces

A, AAAA = 1, 28
CODES = {"NOERROR": 0, "FORMERR": 1, "SERVFAIL": 2, "NXDOMAIN": 3, "REFUSED": 5}


class Dns:
    """names: name -> list of addresses; others are NXDOMAIN. Answers on address:53, UDP and TCP.

    .fail(n, how) spoils the next n questions: a key of CODES, "silence", "truncated" (TC: ask
    again by TCP), "wrong id" or "other name". .questions lists (transport, name, type) asked.
    """

    def __init__(self, names, *, address="127.0.0.1", port=53, netns=None):
        self.names = {name.lower(): list(addresses) for name, addresses in names.items()}
        self.address, self.port, self._netns = address, port, netns
        self.questions = []
        self._failures = []
        self._loop = None
        self._thread = None

    def fail(self, count, how="SERVFAIL"):
        self._failures = [how] * count

    def resolv_conf(self):
        """For lab.Namespace.run(resolv=…)."""
        return f"nameserver {self.address}\noptions timeout:1 attempts:2\n"

    def __enter__(self):
        ready, failure = threading.Event(), []

        def run():
            try:
                if self._netns is not None:
                    namespaces.enter(self._netns)
                asyncio.run(self._main(ready))
            except BaseException as error:  # handed to the caller's thread
                failure.append(error)
                ready.set()

        self._thread = threading.Thread(target=run, name="double dns", daemon=True)
        self._thread.start()
        ready.wait()
        if failure:
            raise failure[0]
        return self

    def __exit__(self, *_):
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join(10)

    async def _main(self, ready):
        self._loop = asyncio.get_running_loop()
        self._over = asyncio.Event()
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        udp.bind((self.address, self.port))
        self.port = udp.getsockname()[1]
        transport, _ = await self._loop.create_datagram_endpoint(lambda: _Udp(self), sock=udp)
        tcp = await asyncio.start_server(self._stream, self.address, self.port)
        ready.set()
        await self._over.wait()
        transport.close()
        tcp.close()

    async def _stream(self, reader, writer):
        try:
            while True:
                (length,) = struct.unpack("!H", await reader.readexactly(2))
                reply = self.reply(await reader.readexactly(length), "tcp")
                if reply:
                    writer.write(struct.pack("!H", len(reply)) + reply)
                    await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    def reply(self, query, transport):
        """The bytes to answer, or None for silence."""
        ident, _, _, _, _, _ = struct.unpack("!6H", query[:12])
        name, end = _read_name(query, 12)
        kind, _ = struct.unpack("!2H", query[end : end + 4])
        question = query[12 : end + 4]
        self.questions.append((transport, name, {A: "A", AAAA: "AAAA"}.get(kind, str(kind))))
        how = self._failures.pop(0) if self._failures else "NOERROR"
        if how == "silence":
            return None
        truncated = how == "truncated" and transport == "udp"
        addresses = self.names.get(name)
        code = CODES.get(how, 0) or (CODES["NXDOMAIN"] if addresses is None else 0)
        flags = 0x8180 | code | (0x0200 if truncated else 0)
        records = []
        if code == 0 and not truncated:
            family = socket.AF_INET6 if kind == AAAA else socket.AF_INET
            for address in addresses or ():
                if (":" in address) == (kind == AAAA) and kind in (A, AAAA):
                    data = socket.inet_pton(family, address)
                    records.append(struct.pack("!3HIH", 0xC00C, kind, 1, 30, len(data)) + data)
        if how == "other name":
            question = b"\x05other\x07example\x00" + question[-4:]
        ident = ident ^ 1 if how == "wrong id" else ident
        return (
            struct.pack("!6H", ident, flags, 1, len(records), 0, 0) + question + b"".join(records)
        )


class _Udp(asyncio.DatagramProtocol):
    def __init__(self, server):
        self._server = server
        self._transport = None

    def connection_made(self, transport):
        self._transport = transport

    def datagram_received(self, data, addr):
        reply = self._server.reply(data, "udp")
        if reply:
            self._transport.sendto(reply, addr)


def _read_name(data, at):
    labels = []
    while data[at]:
        labels.append(data[at + 1 : at + 1 + data[at]].decode("latin-1"))
        at += 1 + data[at]
    return ".".join(labels).lower(), at + 1
