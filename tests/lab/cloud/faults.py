"""What a double can do instead of answering well. Each function gives a fault for Server.on: `async
fault(exchange)`.

Faults named for a transfer take the answer that would have been right and spoil it on the wire, so
they work for every double and any path. Offsets count in the body of this answer (of a 206 from its
own first byte).
"""

import asyncio
import itertools

from .lies import (  # noqa: F401  they are faults like those here
    change,
    chunked,
    content_length,
    content_range,
    doubled,
    encoded,
    extra,
    flip,
    ignore_range,
    missing,
    multipart,
    position,
    until_close,
)
from .message import Response, text

NEVER = 1e9  # seconds; a server that stops cancels its connections


# --- whole answers


def answer(response):
    """This Response; or a function of the Request giving one."""

    async def fault(exchange):
        await exchange.send(response(exchange.request) if callable(response) else response)

    return fault


def status(code, body="", headers=(), content_type="text/plain"):
    return answer(text(code, body, headers, content_type))


def body(data, **headers):
    """The right head with another body; headers as Content_Type="…" (None removes)."""

    def spoil(_request, response):
        response.body = data
        response.set("Content-Length", None)
        for name, value in headers.items():
            response.set(name.replace("_", "-"), value)

    return change(spoil)


def raw(data, then="close"):
    """These bytes as they are, then "close", "reset", "hang" or "keep" the connection."""

    async def fault(exchange):
        await exchange.write(data)
        if then == "hang":
            await asyncio.sleep(NEVER)
        elif then == "reset":
            exchange.reset()
        elif then == "close":
            exchange.close()

    return fault


def sequence(*faults):
    """One after the other; None behaves; the last goes on for ever."""
    rest = iter(itertools.chain(faults, itertools.repeat(faults[-1])))

    async def fault(exchange):
        chosen = next(rest)
        if chosen is None:
            await exchange.send(await exchange.normal())
        else:
            await chosen(exchange)

    return fault


def after(fault, action):
    """The fault (None: behave), and action() before its first byte leaves: `after(truncate(0.5),
    host.expire)` is a presigned URL that dies midway, `imds.rotate` keys that change midway.
    """

    async def both(exchange):
        response = await exchange.normal()
        action()

        async def same():
            return response

        exchange.normal = same
        await (fault(exchange) if fault else exchange.send(response))

    return both


# --- silence and violence


def hang():
    """Take the request and say nothing."""
    return raw(b"", "hang")


def close():
    """End the connection in order instead of answering."""
    return raw(b"", "close")


def reset():
    return raw(b"", "reset")


def delay(seconds):
    """The right answer, late."""

    async def fault(exchange):
        await asyncio.sleep(seconds)
        await exchange.send(await exchange.normal())

    return fault


# --- transfers that break off: the head promises all


def _cut(offset, end):
    async def fault(exchange):
        response = await exchange.normal()
        await exchange.send_head(response)
        await exchange.write_body(response.body[: position(offset, response.body)])
        await end(exchange)

    return fault


def truncate(offset):
    """Only so many bytes, then an orderly end of the connection."""

    async def end(exchange):
        exchange.close()

    return _cut(offset, end)


def reset_at(offset):
    """So many bytes, then RST. (A short wait: bytes not yet read by the client die with an RST.)"""

    async def end(exchange):
        await asyncio.sleep(0.05)
        exchange.reset()

    return _cut(offset, end)


def stall_at(offset):
    """So many bytes, then silence; the connection stays open."""

    async def end(_exchange):
        await asyncio.sleep(NEVER)

    return _cut(offset, end)


def slow(bytes_per_second, after=0):
    """The right answer at that rate, from byte `after` on."""

    async def fault(exchange):
        response = await exchange.normal()
        await exchange.send_head(response)
        start = position(after, response.body)
        await exchange.write_body(response.body[:start])
        step = max(int(bytes_per_second / 20), 1)
        for i in range(start, len(response.body), step):
            part = response.body[i : i + step]
            await exchange.write_body(part)
            await asyncio.sleep(len(part) / bytes_per_second)

    return fault


# --- redirects


def redirect(location, code=307):
    """To the location, byte for byte as given (also CR and LF); a function of the Request; None for
    no Location.
    """

    async def fault(exchange):
        where = location(exchange.request) if callable(location) else location
        await exchange.send(Response(code, [("Location", where)] if where is not None else []))

    return fault


def redirect_loop(code=307):
    """To itself."""

    async def fault(exchange):
        await exchange.send(
            Response(code, [("Location", exchange.server.url + exchange.request.target)])
        )

    return fault


# --- login, overload, headers


def unauthorized(challenge=None):
    """401, with the registry's own challenge whatever was sent, or this one (a list for several, ""
    for none).
    """

    async def fault(exchange):
        values = [challenge] if isinstance(challenge, str) else challenge
        if values is None:
            request = exchange.request
            saved, request.headers = request.headers, [
                h for h in request.headers if h[0].lower() != "authorization"
            ]
            values = [(await exchange.normal()).header("WWW-Authenticate")]
            request.headers = saved
        await exchange.send(text(401, "no", [("WWW-Authenticate", v) for v in values if v]))

    return fault


def overloaded(code=429, retry_after=None):
    """429 or 503; retry_after is text, or a function of the server's time giving it."""

    async def fault(exchange):
        value = retry_after(exchange.server.now()) if callable(retry_after) else retry_after
        await exchange.send(
            text(code, "slow down", [("Retry-After", value)] if value is not None else [])
        )

    return fault


def stream(
    total, prefix=b"", fill=b"a", suffix=b"", declared=True, content_type="application/json"
):
    """A 200 of `total` bytes: prefix, fill, suffix. A token of 1 GB is stream(1 << 30,
    b'{"token":"', suffix=b'"}').

    declared: say Content-Length; else chunked. .body_sent of the request tells how much the client
    took.
    """

    async def fault(exchange):
        length = ("Content-Length", str(total)) if declared else ("Transfer-Encoding", "chunked")
        await exchange.send_head(Response(200, [("Content-Type", content_type), length]))
        block = fill * (65536 // len(fill))
        left = total - len(prefix) - len(suffix)
        for part in itertools.chain(
            [prefix],
            (block[: min(len(block), left - i)] for i in range(0, left, len(block))),
            [suffix],
        ):
            if part:
                await exchange.write(b"" if declared else b"%x\r\n" % len(part))
                await exchange.write_body(part)
                await exchange.write(b"" if declared else b"\r\n")
        await exchange.write(b"" if declared else b"0\r\n\r\n")

    return fault


def headers(count=10000, value="x" * 20, name="X-Filler"):
    """The right answer under so many header lines more."""

    def spoil(_request, response):
        response.headers = response.headers + [(f"{name}-{i}", value) for i in range(count)]

    return change(spoil)


def informational(count=None, code=100, interval=0.001):
    """1xx answers: `count` of them and then the right one, or for ever (None)."""

    async def fault(exchange):
        for _ in range(count) if count is not None else itertools.count():
            await exchange.write(b"HTTP/1.1 %d Informational\r\n\r\n" % code)
            exchange.request.body_sent += 1  # how many the client put up with
            await asyncio.sleep(interval)
        await exchange.send(await exchange.normal())

    return fault
