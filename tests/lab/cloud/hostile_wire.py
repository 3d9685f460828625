"""Faults on the wire, one row a case: tables to parametrise tests with.

RECOVERS: script once on blob GETs, `registry.on("GET", "/blobs/", fault, nth=1)`; the pull must
succeed (fetching, where the server has ranges, only what is missing). LIES: one refetch is allowed;
scripted for ever they must end in failure. IMDS: what a function does to an Imds; each is for ever,
so that berth must fail and say which step and why.
"""

import json
import time
from email.utils import formatdate

from . import faults
from .imds import TOKEN_PATH, RoleCredentials

RECOVERS = {
    "truncated at 0": faults.truncate(0),
    "truncated at 1": faults.truncate(1),
    "truncated at half": faults.truncate(0.5),
    "truncated before the last byte": faults.truncate(-1),
    "reset at 0": faults.reset_at(0),
    "reset at 1": faults.reset_at(1),
    "reset at half": faults.reset_at(0.5),
    "reset before the last byte": faults.reset_at(-1),
    "reset before the head": faults.reset(),
    "closed before the head": faults.close(),
    "head cut in half": faults.raw(b"HTTP/1.1 200 OK\r\nContent-Le"),
    "chunked and cut": faults.chunked(end=False),
    "chunked": faults.chunked(1000),
    "ended by the connection": faults.until_close(),
    "three informational answers first": faults.informational(3, 103),
    "500": faults.status(500),
    "502 of a proxy": faults.status(502, "<html>Bad Gateway</html>", content_type="text/html"),
}

# These take the client's patience: 20 s without a byte, or a rate below 1 KiB/s for 30 s.
STALLS = {
    "silence at half": faults.stall_at(0.5),
    "silence before the head": faults.hang(),
    "one byte a second": faults.slow(1, after=0.5),
}

LIES = {
    "flipped bit": faults.flip(),
    "flipped last byte": faults.flip(-1),
    "one byte past the size": faults.extra(1),
    "1 MiB past the size": faults.extra(1 << 20),
    "bytes past the size, chunked": faults.extra(10, "chunked"),
    "well-formed and one byte short": faults.missing(1),
    "Content-Encoding gzip": faults.encoded("gzip"),
    "Content-Encoding gzip, but plain": faults.encoded("gzip", really=False),
    "Content-Encoding br": faults.encoded("br", really=False),
    "empty 200": faults.body(b""),
    "a page of HTML": faults.body(
        b"<html>Please log in to the hotel's network</html>", Content_Type="text/html"
    ),
    "204": faults.status(204),
    "206 though nothing was asked": faults.change(
        lambda _q, r: r.__class__(206, r.headers, r.body)
    ),
}

# For answers to range requests: cut the first answer, then one of these on the second.
RANGE_LIES = {
    "Content-Range of other bytes": faults.content_range(
        lambda first, last, total: f"bytes 0-{last - first}/{total}"
    ),
    "Content-Range with another total": faults.content_range(
        lambda first, last, total: f"bytes {first}-{last}/{total + 1}"
    ),
    "Content-Range backwards": faults.content_range(
        lambda first, last, total: f"bytes {last}-{first}/{total}"
    ),
    "Content-Range of nonsense": faults.content_range("bytes x-y/z"),
    "Content-Range overflowing": faults.content_range("bytes 18446744073709551616-1/2"),
    "no Content-Range": faults.content_range(None),
    "doubled body": faults.doubled(),
    "multipart": faults.multipart(),
    "416": faults.status(416),
}
RANGE_IGNORED = faults.ignore_range()  # honest, if it starts again from 0: recovers

# Location -> for all of them: failure, and no request to anywhere else (least of all one with
# credentials).
LOCATIONS = {
    "file": "file:///etc/passwd",
    "ftp": "ftp://127.0.0.1/x",
    "gopher": "gopher://127.0.0.1:70/x",
    "javascript": "javascript:alert(1)",
    "userinfo": "http://user:secret@{authority}/x",
    "CR LF, encoded": "{url}/x%0d%0aX-Injected:%201",
    "bare CR": "{url}/x\rX-Injected: 1",
    "bare LF": "{url}/x\nX-Injected: 1",
    "64 KiB": "{url}/" + "x" * 65536,
    "NUL": "{url}/x\0y",
    "empty": "",
    "missing": None,
    "no host": "http:///x",
    "port 0": "http://127.0.0.1:0/x",
    "port too large": "http://127.0.0.1:99999/x",
    "IMDS": "http://169.254.169.254/latest/meta-data/",
    "IMDS as a number": "http://2852039166/latest/meta-data/",
    "IMDS as mapped IPv6": "http://[::ffff:169.254.169.254]/latest/",
    "IMDS over IPv6": "http://[fd00:ec2::254]/latest/",
    "link-local IPv6": "http://[fe80::1]/x",
    "container credentials": "http://169.254.170.2/v2/credentials/x",
    "unspecified": "http://0.0.0.0/x",
    "multicast": "http://224.0.0.1/x",
}


def location(name, server):
    """The fault that redirects to the LOCATIONS entry, filled in for that server."""
    text = LOCATIONS[name]
    if text is not None:
        text = text.replace("{url}", server.url).replace("{authority}", server.authority)
    return faults.redirect(text)


# More private than a public peer: for a registry at a public address in a namespace.
PRIVATE_LOCATIONS = {
    "loopback": "http://127.0.0.1:8080/x",
    "loopback by name": "http://localhost/x",
    "10.x": "http://10.0.0.1/x",
    "192.168.x": "http://192.168.0.1/x",
    "unique local": "http://[fd12::1]/x",
}

# Retry-After -> the seconds that a client may wait for it at most (60 is the clamp).
RETRY_AFTER = {
    "2": 2,
    "0": 0,
    "-1": 60,
    "1000000000": 60,
    "1e9": 60,
    "soon": 60,
    "": 60,
    "99999999999999999999": 60,
}


def retry_after_date(seconds):
    """A fault: 503 with Retry-After as a date so many seconds ahead."""
    return faults.overloaded(503, lambda now: formatdate(now + seconds, usegmt=True))


HEADERS = {
    "10,000 headers": faults.headers(10000),
    "one header of 1 MiB": faults.headers(1, "x" * (1 << 20)),
    "endless 100 Continue": faults.informational(code=100),
    "endless 103 Early Hints": faults.informational(code=103),
    "header without colon": faults.raw(b"HTTP/1.1 200 OK\r\nnonsense\r\n\r\n"),
    "status 99": faults.raw(b"HTTP/1.1 99 Huh\r\n\r\n"),
    "HTTP/0.9": faults.raw(b"hello"),
    "negative Content-Length": faults.content_length("-1"),
    "two Content-Lengths": faults.change(
        lambda _q, r: r.headers.extend(
            [("Content-Length", str(len(r.body))), ("Content-Length", "1")]
        )
    ),
}

TOKENS = {
    "1 GB": faults.stream(1 << 30, b'{"token":"', suffix=b'"}'),
    "1 GB, chunked": faults.stream(1 << 30, b'{"token":"', suffix=b'"}', declared=False),
    "missing": faults.status(200, '{"expires_in":300}', content_type="application/json"),
    "empty": faults.status(200, '{"token":""}', content_type="application/json"),
    "not a string": faults.status(200, '{"token":5}', content_type="application/json"),
    "with CR LF": faults.status(
        200, '{"token":"a\\r\\nX-Injected: 1"}', content_type="application/json"
    ),
    "half a JSON": faults.status(200, '{"token":"abc', content_type="application/json"),
    "HTML": faults.status(200, "<html/>", content_type="text/html"),
    "redirect": faults.redirect("http://127.0.0.1:1/token"),
    "401": faults.unauthorized('Bearer realm="x"'),
    "403": faults.status(
        403, '{"errors":[{"code":"DENIED","message":"denied"}]}', content_type="application/json"
    ),
}

ROLE_PATH = "/iam/security-credentials/."


def _half(_request, response):
    response.body = response.body[: len(response.body) // 2]
    response.set("Content-Length", None)


def _code(imds, code):
    document = json.dumps(
        {
            "Code": code,
            "Message": "EC2 cannot assume the role",
            "LastUpdated": "2026-01-01T00:00:00Z",
        }
    )
    imds.on("GET", ROLE_PATH, faults.status(200, document))


def _expired(imds):
    imds.issued.append(RoleCredentials(imds.canaries, imds.aws_names, -3600, time.time))


IMDS = {
    "refused": lambda imds: imds.down(),
    "reset": lambda imds: imds.next_connections(10**4, "reset"),
    "hangs before the answer": lambda imds: imds.on("*", "", faults.hang()),
    "token hangs": lambda imds: imds.on("PUT", TOKEN_PATH, faults.hang()),
    **{
        f"token {code}": (lambda imds, code=code: imds.on("PUT", TOKEN_PATH, faults.status(code)))
        for code in (400, 401, 403, 404, 405, 500, 503)
    },
    **{
        f"metadata {code}": (lambda imds, code=code: imds.on("GET", "", faults.status(code)))
        for code in (401, 403, 503)
    },
    "no role": lambda imds: imds.on("GET", "/iam/", faults.status(404)),
    "role 404": lambda imds: imds.on("GET", ROLE_PATH, faults.status(404)),
    "token redirect": lambda imds: imds.on(
        "PUT", TOKEN_PATH, faults.redirect(imds.url + "/elsewhere")
    ),
    "metadata redirect": lambda imds: imds.on("GET", "", faults.redirect(imds.url + "/elsewhere")),
    "1 MB token": lambda imds: imds.on("PUT", TOKEN_PATH, faults.status(200, "A" * (1 << 20))),
    "token with CR LF": lambda imds: imds.on(
        "PUT", TOKEN_PATH, faults.status(200, "AQAEA\r\nX-Injected: 1")
    ),
    "empty token": lambda imds: imds.on("PUT", TOKEN_PATH, faults.status(200, "")),
    "token with NUL": lambda imds: imds.on("PUT", TOKEN_PATH, faults.status(200, "AQAE\0A")),
    "half a JSON": lambda imds: imds.on("GET", ROLE_PATH, faults.change(_half)),
    "truncated JSON": lambda imds: imds.on("GET", ROLE_PATH, faults.truncate(0.5)),
    "Code AssumeRoleUnauthorizedAccess": lambda imds: _code(imds, "AssumeRoleUnauthorizedAccess"),
    "Code Failed": lambda imds: _code(imds, "Failed"),
    "expired role": _expired,
    "role name with a path": lambda imds: imds.on(
        "GET", "/iam/security-credentials/?$", faults.status(200, "../../x")
    ),
    "role name of 1 MB": lambda imds: imds.on(
        "GET", "/iam/security-credentials/?$", faults.status(200, "r" * (1 << 20))
    ),
    "endless document": lambda imds: imds.on(
        "GET", ROLE_PATH, faults.stream(1 << 30, declared=False)
    ),
}
