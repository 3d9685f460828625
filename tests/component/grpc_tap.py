"""A proxy before containerd's socket that knows the calls of berth's one connection by their HTTP/2 frames, without HPACK."""

import contextlib
import struct

import tap

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM = 0, 1, 3
END_STREAM_AND_HEADERS = 5
CANCEL = b"\0\0\0\x08"


class GrpcTap(tap.Tap):
    """A tap whose steps are `containerd` calls; refuse_call(n, status) answers the nth from now with a gRPC status."""

    def __init__(self, listener, connect):
        self.refused, self.calls, self.connections = {}, 0, 0
        super().__init__("containerd", listener, connect)
        self.connection = GrpcConnection

    def refuse_call(self, n, status):
        self.refused, self.calls = {n: status}, 0


class GrpcConnection(tap.Connection):
    def __init__(self, *args):
        super().__init__(*args)
        self.pending, self.begun, self.refused = b"", False, set()

    def _pump(self, source, sink, look):
        if source is not self.client:
            super()._pump(source, sink, look)
            return
        with contextlib.suppress(OSError):
            while data := source.recv(tap.PIECE):
                for frame in self._frames(data):
                    self._frame(frame, sink)
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(tap.socket.SHUT_RDWR)

    def _frames(self, data):
        """The whole ones, the preface being the first."""
        self.pending += data
        if not self.begun and self.pending.startswith(PREFACE):
            self.begun, self.pending = True, self.pending[len(PREFACE) :]
            self.tap.connections += 1
            yield PREFACE
        while self.begun and len(self.pending) >= 9:
            size = 9 + int.from_bytes(self.pending[:3], "big")
            if len(self.pending) < size:
                return
            frame, self.pending = self.pending[:size], self.pending[size:]
            yield frame

    def _frame(self, frame, sink):
        if frame == PREFACE:
            sink.sendall(frame)
            return
        kind, stream = frame[3], int.from_bytes(frame[5:9], "big")
        if kind == HEADERS:
            self._call(stream)
        if stream in self.refused:
            if kind == HEADERS:  # which the server must see, for its table of headers, but not act on
                sink.sendall(frame + struct.pack(">I", 4)[1:] + bytes([RST_STREAM, 0]) + frame[5:9] + CANCEL)
            return
        sink.sendall(frame)
        if kind == DATA:
            self.tap.step(self.request, "sent")

    def _call(self, stream):
        with self.tap.lock:
            self.tap.calls += 1
            status = self.tap.refused.get(self.tap.calls)
        self.request, self.answers = "call", 0
        self.tap.step(self.request, "asked")
        if status is not None:
            self.refused.add(stream)
            self.client.sendall(refusal(stream, status))


def refusal(stream, status):
    """As of a server that knows no such method: the status in the head, nothing else."""
    fields = [(b"content-type", b"application/grpc"), (b"grpc-status", b"%d" % status), (b"grpc-message", b"no")]
    block = b"\x88" + b"".join(b"\0%c%b%c%b" % (len(k), k, len(v), v) for k, v in fields)  # RFC 7541 §6.2.2
    return struct.pack(">I", len(block))[1:] + bytes([HEADERS, END_STREAM_AND_HEADERS]) + struct.pack(">I", stream) + block


def before(engine, path):
    """A tap on path for this engine's containerd."""
    return GrpcTap(tap.unix_listener(path), lambda: tap.unix_connect(engine.containerd_socket))
