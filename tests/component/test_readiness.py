"""Probes, rise and fall, timeouts: when /healthz says 200, and why not."""

import contextlib
import json
import os
import signal
import socket
import threading
import time
from pathlib import Path

import pytest
from lab import Engine, Registry, images
from service import Berth, request
from tap import wait_until

PORTS = ("-p", "80:3000")
QUICK = ("--probe-interval", "200ms")


@pytest.fixture(scope="module")
def world():
    """One engine and registry for all: the containers are removed between the tests."""
    from lab import Namespace

    with Namespace() as ns, Registry(ns) as registry, Engine("docker20") as engine:
        engine.start(ns)
        references = {
            tag: images.push(f"webapp:{tag}", registry, "team/web", tag) for tag in ("v1", "health")
        }
        yield ns, engine, references


@pytest.fixture
def up(world):
    ns, engine, references = world
    berth = Berth(ns, engine)

    def start(tag="v1", *argv, **env):
        return berth.up(references[tag], *PORTS, *QUICK, *argv, env=env)

    yield start
    berth.close()
    names = engine.docker("ps", "--all", "--quiet").split()
    if names:
        engine.docker("rm", "--force", *names)


def docker(world, *argv):
    return world[1].docker(*argv)


PROBES = [
    ("v1", "http://:3000/health"),
    ("v1", "http://:3000"),
    ("v1", "tcp://:3000"),
    ("v1", "none"),
    ("v1", None),  # tcp on the published port
    ("health", "docker"),
    ("health", None),  # the image's HEALTHCHECK
]


@pytest.mark.parametrize("tag,probe", PROBES)
def test_every_probe_finds_a_good_app_ready(up, tag, probe):
    service = up(tag, *(["--probe", probe] if probe else []))
    assert service.wait_health(200, timeout=20)["status"] == "ready"


def test_healthcheck_is_asked_before_dockers_own_first_round(up):
    """dockerd would run its first one only after the image's interval."""
    began = time.monotonic()
    up("health").wait_health(200, timeout=20)
    assert time.monotonic() - began < 8


@pytest.mark.parametrize("probe", ["http://:3000/", "tcp://:3000"])
def test_a_slow_start_stays_503_until_the_app_answers(up, probe):
    service = up("v1", "--probe", probe, BERTH_ENV="START_DELAY=2")
    seen = []
    service.wait_health(200, seen=seen)
    assert {code for code, _ in seen[:-1]} == {503}


def test_a_published_port_that_docker_proxy_accepts_does_not_fool_the_probe(up, world):
    service = up("v1", "--probe", "tcp://:3001", "-p", "81:3001", "--ready-timeout", "3s")
    said = service.wait_health("failed", timeout=20)
    assert "refused" in said["reason"]


def test_an_http_error_is_not_ready_and_named(up):
    service = up("v1", "--probe", "http://:3000/no-such-page")
    said = wait_until(lambda: (now := service.health()) and "404" in now[1]["reason"] and now, 30)
    assert said[0] == 503


def test_ready_timeout_shows_the_last_log_lines_and_the_reason(up):
    service = up("v1", "--probe", "tcp://:9", "--ready-timeout", "2s")
    said = service.wait_health("failed", timeout=20)
    assert "not ready within 2 s" in said["reason"] or "refused" in said["reason"]
    service.wait_line("not ready within 2 s")


def test_on_failure_exit_leaves_by_its_code_after_a_minute_of_failed(up):
    service = up("v1", "--probe", "tcp://:9", "--ready-timeout", "1s")
    service.wait_health("failed", timeout=20)
    began = time.monotonic()
    assert service.wait(90) == 1
    assert 50 < time.monotonic() - began < 70


def test_on_failure_stay_keeps_saying_it_and_recovers_when_the_app_does(up, world):
    service = up("v1", "--on-failure", "stay", "--ready-timeout", "1s", "--probe", "http://:3000/late")
    service.wait_health("failed", timeout=20)
    docker(world, "exec", "web", "sh", "-c", "echo ok >/www/late")
    service.wait_health(200, timeout=10)


def test_an_app_that_ends_at_once_without_restart_fails_with_its_exit_code(up):
    service = up("v1", "--restart", "no", "--", "sh", "-c", "echo so long; exit 7")
    said = service.wait_health("failed", timeout=20)
    assert "exit code 7" in said["reason"]
    service.wait_line("so long")


def test_fall_and_rise_are_counted(up, world):
    service = up("v1", "--probe", "http://:3000/health", "--probe-fall", "4", "--probe-rise", "3")
    service.ready()
    docker(world, "exec", "web", "mv", "/www/health", "/www/away")
    gone = time.monotonic()
    said = service.wait_health("unhealthy", timeout=10)
    assert time.monotonic() - gone > 0.4 and "404" in said["reason"]
    docker(world, "exec", "web", "mv", "/www/away", "/www/health")
    back = time.monotonic()
    service.wait_health(200, timeout=10)
    assert time.monotonic() - back > 0.3


def test_a_hanging_app_is_cut_by_the_probe_timeout(up, world):
    service = up("v1", "--probe", "http://:3000/health", "--probe-timeout", "300ms")
    service.ready()
    docker(world, "pause", "web")
    said = service.wait_health(503, timeout=10)
    docker(world, "unpause", "web")
    assert said["reason"]
    service.ready()


def test_host_network_is_probed_on_loopback(up, world):
    service = up("v1", "--network", "host", "--probe", "http://:3000/health")
    service.ready()
    assert request(world[0], 3000)[0] == 200


class NotifySocket:
    """systemd's side of sd_notify."""

    def __init__(self, path):
        self.path, self.lines = path, []
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(path))
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        while True:
            data = self.socket.recv(4096).decode()
            self.lines += [(time.monotonic(), line) for line in data.splitlines()]

    def said(self, prefix):
        return [(at, line) for at, line in self.lines if line.startswith(prefix)]


def test_systemd_hears_ready_at_once_then_the_phases_and_the_watchdog(up, world):
    notify = NotifySocket(world[0].run_dir / "notify.sock")
    service = up(
        "v1",
        BERTH_ENV="START_DELAY=2",
        NOTIFY_SOCKET=str(notify.path),
        WATCHDOG_USEC="600000",
    )
    service.ready()
    time.sleep(1)
    ready = notify.said("READY=1")
    assert len(ready) == 1
    serving = [at for at, line in notify.said("STATUS=ready")]
    assert serving and ready[0][0] < serving[0] - 1, "READY=1 does not wait for the app"
    assert len(notify.said("WATCHDOG=1")) >= 3
    service.stop()
    assert notify.said("STOPPING=1")


def test_a_hung_docker_starves_the_watchdog_only_after_its_deadlines(up, world):
    """A container's pause is no reason to restart berth: the watchdog goes on."""
    notify = NotifySocket(world[0].run_dir / "notify2.sock")
    service = up("v1", NOTIFY_SOCKET=str(notify.path), WATCHDOG_USEC="600000")
    service.ready()
    docker(world, "pause", "web")
    before = len(notify.said("WATCHDOG=1"))
    time.sleep(2)
    assert len(notify.said("WATCHDOG=1")) > before
    docker(world, "unpause", "web")


def processes_of(container):
    for cgroup in Path("/proc").glob("[0-9]*/cgroup"):
        with contextlib.suppress(OSError):
            if container in cgroup.read_text():
                yield int(cgroup.parent.name)


def test_while_docker_hangs_the_app_is_asked_where_it_was(up, world):
    """Neither a wrong 503 nor a wrong 200."""
    engine = world[1]
    service = up()
    service.ready()
    app = list(processes_of(engine.inspect("web")["Id"]))
    with engine.hanging():
        until = time.monotonic() + 7
        while time.monotonic() < until:
            assert service.health()[0] == 200, service.err
            time.sleep(0.1)
        for pid in app:
            os.kill(pid, signal.SIGKILL)
        reason = service.wait_health("unhealthy", timeout=15)["reason"]
        assert "connect to" in reason
    service.wait_health(200, timeout=20)


def test_metrics_and_livez_answer_while_not_ready(up, world):
    service = up("v1", "--probe", "tcp://:9")
    service.wait_health(503)
    assert request(world[0], 8642, "/livez")[0] == 200
    status, body = request(world[0], 8642, "/metrics")
    assert status == 200 and "berth_ready 0" in body


def test_json_log_lines_are_json(up):
    service = up("v1", "--log-format", "json")
    service.ready()
    assert service.lines and all("msg" in json.loads(line) for line in service.lines)
