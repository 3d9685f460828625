"""What the health endpoint says, and which requests it answers."""

import re
import time

import pytest
from health_clients import LIVEZ, REQUEST, Endpoint, needs_driver
from health_clients import endpoint  # noqa: F401 (fixtures)

pytestmark = needs_driver

CONTRACT_FIELDS = {"status", "reason", "image", "digest", "container", "since"}
STATUSES = ["starting", "pulling", "ready", "draining", "failed", "unhealthy"]


@pytest.mark.parametrize("status", STATUSES)
def test_healthz_is_200_exactly_when_ready(endpoint, status):
    endpoint.tell(status=status, reason='"quoted" \\ because', image="ghcr.io/a/b:c")
    answer = endpoint.ask()
    assert answer.status == (200 if status == "ready" else 503)
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-store"
    said = answer.json()
    assert set(said) == CONTRACT_FIELDS
    assert said["status"] == status
    assert said["reason"] == '"quoted" \\ because'
    assert said["image"] == "ghcr.io/a/b:c"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", said["since"])


def test_since_is_the_last_change_of_status():
    with Endpoint() as endpoint:
        endpoint.tell(status="ready")
        first = endpoint.ask().json()["since"]
        time.sleep(1.1)
        endpoint.tell(probes_passed="7", reason="other")
        assert endpoint.ask().json()["since"] == first
        endpoint.tell(status="unhealthy")
        assert endpoint.ask().json()["since"] > first


def test_a_reason_in_any_bytes_is_still_json(endpoint):
    endpoint.process.stdin.flush()
    endpoint.process.stdin.buffer.write(b"reason \xff\xfe\xc3 caf\xc3\xa9 \x01\x1b[31m\n")
    endpoint.process.stdin.buffer.flush()
    assert endpoint.process.stdout.readline() == "ok\n"
    body = endpoint.ask().body
    assert b"caf\xc3\xa9" in body
    assert "\x1b" not in endpoint.ask().json()["reason"], body.decode()  # decode() proves it is UTF-8


def test_livez_lives_whatever_the_status(endpoint):
    endpoint.tell(status="failed")
    answer = endpoint.ask(REQUEST.replace(b"healthz", b"livez"))
    assert (answer.status, answer.json()) == (200, {"status": "alive"})


SAMPLE = re.compile(r'([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{((?:[a-z_]+="(?:[^"\\\n]|\\["\\n])*",?)*)\})? (\S+)')
LABEL = re.compile(r'([a-z_]+)="((?:[^"\\\n]|\\["\\n])*)"')


def parse_metrics(text):
    """Prometheus text format 0.0.4: {(name, labels): value}; HELP and TYPE once, before a metric's samples."""
    described, typed, samples = set(), {}, {}
    assert text.endswith("\n")
    for line in text.splitlines():
        if line.startswith("# HELP "):
            name = line.split(" ")[2]
            assert name not in described
            described.add(name)
        elif line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ")
            assert kind in ("counter", "gauge")
            assert name in described and name not in typed
            assert name.endswith("_total") == (kind == "counter"), name
            typed[name] = kind
        else:
            match = SAMPLE.fullmatch(line)
            assert match, line
            name, labels, value = match.groups()
            assert name == list(typed)[-1], f"{name} is not in its group"
            key = (name, tuple(LABEL.findall(labels or "")))
            assert key not in samples
            samples[key] = float(value)
    return samples


def test_metrics_are_prometheus_text(endpoint):
    endpoint.tell(status="ready", image='a"b\\c', container="web", digest="sha256:00", store="load")
    endpoint.tell(pull_bytes="123456789012", pull_ms="1500", probes_passed="41", probes_failed="3", ready_after_ms="2500")
    answer = endpoint.ask(REQUEST.replace(b"healthz", b"metrics"))
    assert answer.status == 200
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    samples = parse_metrics(answer.body.decode())
    info = [dict(labels) for name, labels in samples if name == "berth_info"]
    assert info[0]["image"] == 'a\\"b\\\\c' and info[0]["container"] == "web" and info[0]["store"] == "load"
    assert samples["berth_ready", ()] == 1
    assert samples["berth_pull_bytes", ()] == 123456789012
    assert samples["berth_pull_seconds", ()] == 1.5
    assert samples["berth_ready_after_seconds", ()] == 2.5
    assert samples["berth_probes_passed_total", ()] == 41
    assert samples["berth_probes_failed_total", ()] == 3
    assert abs(samples["berth_start_time_seconds", ()] - time.time()) < 600
    states = {labels[0][1]: value for (name, labels), value in samples.items() if name == "berth_status"}
    assert states == {status: float(status == "ready") for status in STATUSES}


# Request, and the statuses that are right; None: closed without a word. Each is answered once, and the connection closed.
REQUESTS = {
    "any Host": (b"GET /livez HTTP/1.1\r\nHost: nobody.knows.example:1\r\n\r\n", {200}),
    "no Host": (b"GET /livez HTTP/1.1\r\n\r\n", {200}),
    "HTTP/1.0": (b"GET /livez HTTP/1.0\r\n\r\n", {200}),
    "HTTP/1.0 keep-alive": (b"GET /livez HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", {200}),
    "HTTP/1.1 keep-alive": (b"GET /livez HTTP/1.1\r\nHost: x\r\nConnection: keep-alive\r\n\r\n", {200}),
    "absolute URI": (b"GET http://x/livez HTTP/1.1\r\nHost: x\r\n\r\n", {200}),
    "absolute URI without a path": (b"GET http://x HTTP/1.1\r\nHost: x\r\n\r\n", {404}),
    "percent-encoded path": (b"GET /%6civez HTTP/1.1\r\nHost: x\r\n\r\n", {200, 404}),
    "query": (b"GET /livez?deep=1&x=%00 HTTP/1.1\r\nHost: x\r\n\r\n", {200}),
    "lines end with LF": (b"GET /livez HTTP/1.1\nHost: x\n\n", {200, 400}),
    "header of 8 KiB": (b"GET /livez HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 8192 + b"\r\n\r\n", {200}),
    "cookies of 4 KiB": (b"GET /livez HTTP/1.1\r\nHost: x\r\nCookie: a=" + b"c" * 4096 + b"\r\n\r\n", {200}),
    "100 headers": (b"GET /livez HTTP/1.1\r\nHost: x\r\n" + b"X-A: b\r\n" * 100 + b"\r\n", {200}),
    "another path": (b"GET /../etc/passwd HTTP/1.1\r\nHost: x\r\n\r\n", {400, 404}),
    "trailing slash": (b"GET /livez/ HTTP/1.1\r\nHost: x\r\n\r\n", {404}),
    "HTTP/0.9": (b"GET /livez\r\n\r\n", {400, None}),
    "HTTP/2 preface": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0", {400, 405, 505, None}),
    "HTTP/2 upgrade": (b"GET /livez HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n", {200}),
    "HTTP/3.7": (b"GET /livez HTTP/3.7\r\nHost: x\r\n\r\n", {400, 505}),
    "POST": (b"POST /livez HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc", {405}),
    "POST without an end": (b"POST /livez HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\nabc", {405, 413}),
    "POST, chunked": (b"POST /livez HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", {405}),
    "PUT, Expect": (b"PUT /livez HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n", {405}),
    "CONNECT": (b"CONNECT 169.254.169.254:80 HTTP/1.1\r\nHost: x\r\n\r\n", {400, 405}),
    "OPTIONS": (b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", {405}),
    "nonsense method": (b"G\0T /livez HTTP/1.1\r\nHost: x\r\n\r\n", {400, 405, None}),
    "header of 1 MB": (b"GET /livez HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 1_000_000 + b"\r\n\r\n", {431, None}),
    "URI of 1 MB": (b"GET /" + b"a" * 1_000_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", {414, 431, None}),
    "100,000 headers": (b"GET /livez HTTP/1.1\r\nHost: x\r\n" + b"X-A: b\r\n" * 100_000 + b"\r\n", {431, None}),
    "CL and TE": (
        b"GET /livez HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + LIVEZ,
        {200, 400},
    ),
    "two CL": (
        b"GET /livez HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nContent-Length: 34\r\n\r\n" + LIVEZ,
        {200, 400},
    ),
    "CL of letters": (b"GET /livez HTTP/1.1\r\nHost: x\r\nContent-Length: 0x10\r\n\r\n", {200, 400}),
    "TE unknown": (b"GET /livez HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: xchunked\r\n\r\n" + LIVEZ, {200, 400, 501}),
    "TE, blank before the colon": (
        b"GET /livez HTTP/1.1\r\nHost: x\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n" + LIVEZ,
        {200, 400},
    ),
    "obs-fold": (b"GET /livez HTTP/1.1\r\nHost: x\r\nX: a\r\n Content-Length: 34\r\n\r\n" + LIVEZ, {200, 400}),
    "request inside a body": (
        b"POST /livez HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(LIVEZ) + LIVEZ,
        {405},
    ),
    "two Hosts": (b"GET /livez HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n", {200, 400}),
    "pipelined": (LIVEZ * 2, {200}),
    "pipelined, 1,000": (LIVEZ * 1000, {200}),
}

# libmicrohttpd 0.9.75 says the head of its own 400 twice there, and closes.
HEAD_TWICE = {"CL of letters"}


@pytest.mark.parametrize("name", REQUESTS)
def test_one_request_one_answer_and_out(endpoint, name):
    request, right = REQUESTS[name]
    answer = endpoint.ask(request)
    assert answer.status in right or (answer.reset and not answer.raw), answer.raw[:300]
    assert answer.seconds < 1, "not closed at once"
    if answer.status:
        assert answer.headers["connection"] == "close"
        exact = len(answer.body) == int(answer.headers["content-length"])
        assert exact or answer.reset or name in HEAD_TWICE, "more than one answer"


def test_head_is_get_without_a_body(endpoint):
    endpoint.tell(status="ready")
    get, head = endpoint.ask(), endpoint.ask(REQUEST.replace(b"GET", b"HEAD"))
    assert head.status == 200
    assert head.body == b""
    assert {**head.headers, "date": ""} == {**get.headers, "date": ""}


def test_405_says_what_is_allowed(endpoint):
    assert endpoint.ask(b"DELETE /healthz HTTP/1.1\r\nHost: x\r\n\r\n").headers["allow"] == "GET, HEAD"
