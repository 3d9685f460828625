"""Clients of the health endpoint: the endpoint alone in a process, the ALB's probe, and raw bytes."""

import json
import multiprocessing
import os
import socket
import subprocess
import time
from pathlib import Path

import pytest

BUILD = Path(os.environ.get("BERTH_BUILD", Path(__file__).resolve().parents[2]))
DRIVER = BUILD / "tests/component/driver_health"

LIFE_S = 5
REQUEST = b"GET /healthz HTTP/1.1\r\nHost: 10.0.0.1:8642\r\nUser-Agent: ELB-HealthChecker/2.0\r\n\r\n"
LIVEZ = b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"

needs_driver = pytest.mark.skipif(not DRIVER.exists(), reason=f"{DRIVER} is not built")


def free_port():
    with socket.socket(socket.AF_INET6) as probe:
        probe.bind(("::", 0))
        return probe.getsockname()[1]


class Endpoint:
    """driver_health, listening."""

    def __init__(self, listen=None, **limits):
        self.port = free_port()
        self.process = subprocess.Popen(
            [DRIVER, listen.replace("PORT", str(self.port)) if listen else f":{self.port}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **limits,
        )
        self.first = self.process.stdout.readline().strip()

    def __enter__(self):
        assert self.first == "listening", self.process.communicate()[1]
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        assert self.process.wait(timeout=5) == 0, self.process.stderr.read()
        self.process.stdout.close()
        self.process.stderr.close()

    def tell(self, **snapshot):
        for key, value in snapshot.items():
            self.process.stdin.write(f"{key} {value}\n")
            self.process.stdin.flush()
            assert self.process.stdout.readline() == "ok\n", key

    def connect(self, host="127.0.0.1", timeout=LIFE_S + 3):
        return socket.create_connection((host, self.port), timeout)

    def ask(self, request=REQUEST, host="127.0.0.1"):
        with self.connect(host) as connection:
            return exchange(connection, request)

    def resident_bytes(self):
        fields = Path(f"/proc/{self.process.pid}/statm").read_text().split()
        return int(fields[1]) * os.sysconf("SC_PAGE_SIZE")

    def cpu_s(self):
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@pytest.fixture(scope="module")
def endpoint():
    with Endpoint() as started:
        yield started


class Answer:
    def __init__(self, raw, seconds, reset):
        self.raw, self.seconds, self.reset = raw, seconds, reset
        head, _, self.body = raw.partition(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        self.status = int(lines[0].split(" ")[1]) if raw else None
        self.headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines[1:])}

    def json(self):
        return json.loads(self.body)


def until_closed(connection, started):
    raw, reset = b"", False
    try:
        while data := connection.recv(65536):
            raw += data
    except ConnectionResetError:
        reset = True
    return Answer(raw, time.monotonic() - started, reset)


def exchange(connection, request):
    started = time.monotonic()
    try:
        connection.sendall(request)
    except (BrokenPipeError, ConnectionResetError):
        pass  # refused before it was read whole; what was answered is still to be read
    return until_closed(connection, started)


def probe_for_ever(port, interval_s, stop, results):
    """What an ALB does: a new connection every time. Sends (latency, status) of each through a pipe."""
    seen = []
    while not stop.is_set():
        started = time.monotonic()
        status = None
        try:
            with socket.create_connection(("127.0.0.1", port), 5) as connection:
                status = exchange(connection, REQUEST).status
        except OSError as error:
            status = repr(error)
        seen.append((time.monotonic() - started, status))
        time.sleep(max(0, interval_s - (time.monotonic() - started)))
    results.send(seen)


class Prober:
    """Probes from a process of its own, so that the attacker's Python does not slow it down."""

    def __init__(self, port, interval_s=0.02):
        context = multiprocessing.get_context("fork")
        self.stop = context.Event()
        self.receiver, sender = context.Pipe(duplex=False)
        self.process = context.Process(target=probe_for_ever, args=(port, interval_s, self.stop, sender), daemon=True)

    def __enter__(self):
        self.process.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        self.seen = self.receiver.recv() if self.receiver.poll(10) else []
        self.process.join(10)

    def latencies(self):
        return sorted(latency for latency, _ in self.seen)

    def statuses(self):
        return {status for _, status in self.seen}
