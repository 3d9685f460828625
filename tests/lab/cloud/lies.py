"""Faults that change a right answer on its way out: the transfers that lie. (Use them as
faults.NAME.)
"""

import gzip as gzip_module

from .message import Response


def change(function):
    """The right answer after function(request, response) has changed it (or returned another)."""

    async def fault(exchange):
        response = await exchange.normal()
        await exchange.send(function(exchange.request, response) or response)

    return fault


def position(offset, data):
    """An offset: a number of bytes, a fraction of the body as a float, or negative from the end."""
    if isinstance(offset, float):
        return int(len(data) * offset)
    return max(len(data) + offset, 0) if offset < 0 else min(offset, len(data))


def flip(offset=0.5):
    """One bit wrong at the offset."""

    def spoil(_request, response):
        data = bytearray(response.body)
        if data:
            data[min(position(offset, data), len(data) - 1)] ^= 1
        response.body = bytes(data)

    return change(spoil)


def extra(count, how="length"):
    """Bytes past the end: how is in the "length", "chunked", or "after" the promised length."""
    more = b"X" * count
    if how == "length":
        return change(
            lambda _request, response: Response(
                response.status, response.headers, response.body + more
            )
        )
    if how == "chunked":
        return chunked(more=more)

    async def fault(exchange):
        response = await exchange.normal()
        await exchange.send(response)
        await exchange.write(more)
        exchange.close()

    return fault


def missing(count):
    """An answer that is well-formed and `count` bytes too short."""
    return change(
        lambda _request, response: Response(
            response.status, response.headers, response.body[:-count]
        )
    )


def content_length(value):
    """The right body under another Content-Length (any text), then the end of the connection."""

    async def fault(exchange):
        response = await exchange.normal()
        await exchange.send_head(response.set("Content-Length", value))
        await exchange.send_body(response)
        exchange.close()

    return fault


def chunked(size=65536, more=b"", end=True):
    """The right body in chunks; without `end` the connection ends before the last one."""

    async def fault(exchange):
        response = await exchange.normal()
        data = response.body + more
        await exchange.send_head(
            response.set("Content-Length", None).set("Transfer-Encoding", "chunked")
        )
        for i in range(0, len(data), size):
            part = data[i : i + size]
            await exchange.write(b"%x\r\n" % len(part))
            await exchange.write_body(part)
            await exchange.write(b"\r\n")
        if end:
            await exchange.write(b"0\r\n\r\n")
        else:
            exchange.close()

    return fault


def until_close():
    """The right body without any length, ended by the end of the connection (legal in HTTP/1.1)."""

    async def fault(exchange):
        response = await exchange.normal()
        response.set("Transfer-Encoding", "identity")  # keeps head() from adding a length
        head = response.head(exchange.server.now()).replace(b"Transfer-Encoding: identity\r\n", b"")
        exchange.request.status = response.status
        await exchange.write(head)
        await exchange.send_body(response)
        exchange.close()

    return fault


def content_range(value):
    """For a 206: another Content-Range, text or a function of (first, last, total), or None."""

    def spoil(_request, response):
        if response.status == 206:
            span, _, total = response.header("Content-Range")[len("bytes ") :].partition("/")
            first, _, last = span.partition("-")
            response.set(
                "Content-Range",
                value(int(first), int(last), int(total)) if callable(value) else value,
            )

    return change(spoil)


def ignore_range():
    """200 and everything to a range request."""

    async def fault(exchange):
        request = exchange.request
        saved, request.headers = request.headers, [
            h for h in request.headers if h[0].lower() != "range"
        ]
        response = await exchange.normal()
        request.headers = saved
        await exchange.send(response.set("Accept-Ranges", None))

    return fault


def doubled():
    """The body twice under the same Content-Range (or the same status)."""
    return change(
        lambda _request, response: Response(response.status, response.headers, response.body * 2)
    )


def multipart():
    """A 206 as multipart/byteranges, though one range was asked for."""

    def spoil(_request, response):
        inner = (
            response.header("Content-Range")
            or f"bytes 0-{len(response.body) - 1}/{len(response.body)}"
        )
        part = (
            b"--BOUNDARY\r\nContent-Type: application/octet-stream\r\nContent-Range: "
            + inner.encode()
            + b"\r\n\r\n"
        )
        out = Response(206, response.headers, part + response.body + b"\r\n--BOUNDARY--\r\n")
        return out.set("Content-Range", None).set(
            "Content-Type", "multipart/byteranges; boundary=BOUNDARY"
        )

    return change(spoil)


def encoded(coding="gzip", really=True):
    """Content-Encoding that nobody asked for; `really` encodes the body too (gzip only)."""

    def spoil(_request, response):
        if really:
            response.body = gzip_module.compress(response.body)
        response.set("Content-Encoding", coding)

    return change(spoil)
