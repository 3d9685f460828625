"""A proxy before containerd's socket. berth makes a connection for each call, so that they can be counted without HPACK."""

import contextlib
import struct

import tap

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
SETTINGS = b"\0\0\0\x04\0\0\0\0\0"
END_STREAM_AND_HEADERS = 5


class GrpcTap(tap.Tap):
    """A tap whose steps are `containerd` calls; refuse_call(n, status) answers the nth from now with a gRPC status."""

    def __init__(self, listener, connect):
        self.refused, self.calls = {}, 0
        super().__init__("containerd", listener, connect)

    def refuse_call(self, n, status):
        self.refused, self.calls = {n: status}, 0

    def _serve(self, client):
        with self.lock:
            self.calls += 1
            status = self.refused.get(self.calls)
        if status is not None:
            answer(client, status)
            return
        try:
            server = self.connect()
        except OSError:
            client.close()
            return
        GrpcConnection(self, client, server).run()


class GrpcConnection(tap.Connection):
    def _upward(self, data):
        if data.startswith(PREFACE):
            self.request = "call"
            self.tap.step(self.request, "asked")
            return None
        return "sent"


def answer(client, status):
    """As a server does that knows no such method: the status in the head, nothing else."""
    with contextlib.suppress(OSError), client:
        client.settimeout(5)
        client.recv(65536)
        fields = [(b"content-type", b"application/grpc"), (b"grpc-status", b"%d" % status), (b"grpc-message", b"no")]
        block = b"\x88" + b"".join(b"\0%c%b%c%b" % (len(k), k, len(v), v) for k, v in fields)  # RFC 7541 §6.2.2
        head = struct.pack(">I", len(block))[1:] + bytes([1, END_STREAM_AND_HEADERS]) + struct.pack(">I", 1)
        client.sendall(SETTINGS + head + block)
        while client.recv(65536):
            pass


def before(engine, path):
    """A tap on path for this engine's containerd."""
    return GrpcTap(tap.unix_listener(path), lambda: tap.unix_connect(engine.containerd_socket))


