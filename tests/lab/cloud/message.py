"""HTTP messages as the doubles see them: what arrived, byte for byte, and what to answer."""

import json
from dataclasses import dataclass, field
from email.utils import formatdate
from http.client import responses as REASONS
from typing import Any, Optional
from urllib.parse import parse_qs, unquote, urlsplit

HEAD_MAX = 1 << 20  # a client of ours that sends more is broken; the test should say so
BODY_MAX = 64 << 20


class BadRequest(Exception):
    """The bytes are no HTTP/1 request: why, and (some of) the bytes."""

    def __init__(self, why, data=b""):
        super().__init__(why)
        self.data = data


@dataclass
class Request:
    method: str
    target: str
    version: str
    headers: list  # of (name, value), in order, as sent
    body: bytes
    raw: bytes  # head and body, for canaries
    peer: tuple = ()
    connection: int = 0
    server: str = ""
    time: float = 0.0
    # Filled in as it is answered.
    status: Optional[int] = None
    body_sent: int = 0

    @property
    def path(self):
        return unquote(urlsplit(self.target).path)

    @property
    def query(self):
        return parse_qs(urlsplit(self.target).query, keep_blank_values=True)

    def arg(self, name, default=None):
        return self.query.get(name, [default])[0]

    def header(self, name, default=None):
        for key, value in self.headers:
            if key.lower() == name.lower():
                return value
        return default

    def header_all(self, name):
        return [value for key, value in self.headers if key.lower() == name.lower()]

    @property
    def range(self):
        """The Range header's (first, last) with None for an open end, or None."""
        value = self.header("Range")
        if not value or not value.startswith("bytes=") or "," in value:
            return None
        first, _, last = value[len("bytes=") :].partition("-")
        return (int(first) if first else None, int(last) if last else None)

    def __str__(self):
        return (
            f"{self.server}: {self.method} {self.target} -> {self.status} ({self.body_sent} bytes)"
        )


@dataclass
class Response:
    status: int = 200
    headers: list = field(default_factory=list)
    body: Any = b""  # bytes, or an async iterator of them (with a length header of your own)
    reason: Optional[str] = None

    def header(self, name, default=None):
        for key, value in self.headers:
            if key.lower() == name.lower():
                return value
        return default

    def set(self, name, value):
        """Replace the header; None removes it."""
        self.headers = [(k, v) for k, v in self.headers if k.lower() != name.lower()]
        if value is not None:
            self.headers.append((name, str(value)))
        return self

    def head(self, now):
        """The status line and headers, with Date and Content-Length unless set (or not to be
        computed).
        """
        headers = list(self.headers)
        names = {k.lower() for k, _ in headers}
        if "date" not in names:
            headers.append(("Date", formatdate(now, usegmt=True)))
        if (
            isinstance(self.body, bytes)
            and self.status not in (204, 304)
            and self.status >= 200
            and not names & {"content-length", "transfer-encoding"}
        ):
            headers.append(("Content-Length", str(len(self.body))))
        reason = self.reason if self.reason is not None else REASONS.get(self.status, "Unknown")
        lines = [f"HTTP/1.1 {self.status} {reason}"]
        lines += [f"{k}: {v}" for k, v in headers if v is not None]
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1", "surrogateescape")


def text(status, body="", headers=(), content_type="text/plain"):
    return Response(status, [("Content-Type", content_type), *headers], body.encode())


def json_response(status, document, headers=(), content_type="application/json"):
    return Response(
        status, [("Content-Type", content_type), *headers], json.dumps(document).encode()
    )


def parse_head(head):
    """(method, target, version, headers) of the bytes up to and with the empty line."""
    try:
        first, *rest = head.decode("latin-1").split("\r\n")[:-2]
        method, target, version = first.split(" ")
    except ValueError as error:
        raise BadRequest("bad request line", head) from error
    if not version.startswith("HTTP/1."):
        raise BadRequest("bad version", head)
    headers = []
    for line in rest:
        name, colon, value = line.partition(":")
        if not colon or not name or name != name.strip():
            raise BadRequest("bad header line", head)
        headers.append((name, value.strip(" \t")))
    return method, target, version, headers


async def read_request(reader):
    """The next request of a connection, or None at its clean end."""
    from asyncio import IncompleteReadError, LimitOverrunError

    first = await reader.read(1)
    if not first:
        return None
    if not first.isalpha():  # TLS to a plain port, say: it would wait for ever for its answer
        raise BadRequest("no HTTP", first + await reader.read(HEAD_MAX))
    try:
        head = first + await reader.readuntil(b"\r\n\r\n")
    except IncompleteReadError as error:
        raise BadRequest("connection ended inside a head", first + error.partial) from error
    except LimitOverrunError as error:
        raise BadRequest("head too large") from error
    method, target, version, headers = parse_head(head)
    request = Request(method, target, version, headers, b"", head)
    try:
        await _read_body(reader, request)
    except IncompleteReadError as error:
        raise BadRequest("connection ended inside a body", request.raw + error.partial) from error
    except ValueError as error:
        raise BadRequest("bad chunk size", request.raw) from error
    return request


async def _read_body(reader, request):
    length = request.header("Content-Length")
    if (request.header("Transfer-Encoding") or "").lower() == "chunked":
        size = None
        while size != 0:
            line = await reader.readuntil(b"\r\n")
            size = int(line.split(b";")[0], 16)
            chunk = await reader.readexactly(size + 2)
            request.raw += line + chunk
            request.body += chunk[:-2]
            if len(request.body) > BODY_MAX:
                raise BadRequest("body too large", request.raw)
    elif length is not None:
        if not length.isdigit() or int(length) > BODY_MAX:
            raise BadRequest("bad Content-Length", request.raw)
        request.body = await reader.readexactly(int(length))
        request.raw += request.body
