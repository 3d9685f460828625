"""Deployments behind a load balancer, under load: no request fails, and none is answered wrongly.

BERTH_DEPLOYS=50 makes the campaign of it.
"""

import json
import os
import shutil
import subprocess
import threading
import time

import pytest
from deploy_steps import HOST, answer, names, until
from deploy_steps import berth, docker, outside, registry  # noqa: F401 (fixtures)
from lab import images
from load import FRONT, Balancer, Clients, Crowd
from service import binary, request

DEPLOYS = int(os.environ.get("BERTH_DEPLOYS", "4"))
RATE = 1000 if "BERTH_DEPLOYS" in os.environ else 100  # requests a second, all clients together
PORTS = ("-p", "80:3000")
DRAIN, LONG_DRAIN = "2s", "8s"
SLOW_S = 5  # a request that straddles the switch

needs = [program for program in ("haproxy", "wrk") if not shutil.which(program)]
pytestmark = pytest.mark.skipif(needs, reason=f"not installed: {', '.join(needs)}")


@pytest.fixture
def web(registry):
    return images.push("steady:v1", registry, "team/web", "latest")


def moved(registry, number):
    """The tag means the other version."""
    images.push(f"steady:{('v2', 'v1')[number % 2]}", registry, "team/web", "latest")


def deploy(berth, web, *argv, drain=DRAIN):
    return berth.run("deploy", web, *PORTS, "--drain-timeout", drain, "--json", *argv)


def served(berth, docker, web, *argv):
    """A running `berth up`, and the switch in use."""
    service = berth.up(web, *PORTS, "--drain-timeout", DRAIN, *argv)
    service.ready()
    answer(deploy(berth, web, "--force", *argv))
    return service


class Slow:
    """One request that takes its time; begun when this is made."""

    def __init__(self, ns, host=HOST):
        self.sock = ns.connect(host, 80, timeout=4 * SLOW_S)
        self.sock.sendall(f"GET /slow?{SLOW_S} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        self.answer = b""
        self.thread = threading.Thread(target=self.read)
        self.thread.start()

    def read(self):
        while chunk := self.sock.recv(4096):
            self.answer += chunk
        self.sock.close()

    def version(self):
        self.thread.join()
        return json.loads(self.answer.partition(b"\r\n\r\n")[2])["version"]


def test_no_request_fails_behind_a_load_balancer(ns, docker, berth, registry, web, outside, tmp_path):
    grace = ("-e", "GRACE=2")
    service = served(berth, docker, web, *grace)
    balancer = Balancer(outside, HOST, tmp_path)
    clients = [
        Clients(outside, "127.0.0.1", FRONT, "new", "kept"),
        Clients(outside, HOST, 80, "new", "kept", "kept"),
        Clients(outside, "127.0.0.1", 80, "new", "kept", where=ns.enter),
    ]
    crowd, began = Crowd(outside, f"http://127.0.0.1:{FRONT}/", 3600), time.monotonic()
    took, slow_ones = [], []
    for number in range(DEPLOYS):
        moved(registry, number)
        old, slow = ("v1", "v2")[number % 2], Slow(ns) if number % 4 == 0 else None
        # HAProxy's idle connections end with the drain, and the app GRACE after it, whoever is connected.
        done = answer(deploy(berth, web, *grace, drain=LONG_DRAIN if slow else DRAIN))
        assert done["strategy"] == "blue-green" and not done["current"]
        assert json.loads(request(ns, 80, "/")[1])["version"] != old
        took.append(done["took_ms"])
        if slow:
            slow_ones.append((slow, old))
    assert all(slow.version() == old for slow, old in slow_ones)
    faults, requests, lasted = balancer.faults(), balancer.requests(), time.monotonic() - began
    _, bad = crowd.stop()
    said = [client.stop() for client in clients]
    rate = (requests + sum(sum(one["counts"].values()) for one in said[1:])) / lasted
    print(f"\n{DEPLOYS} deploys: took {took} ms; {requests} requests through HAProxy, {rate:.0f} in all a second")
    print("clients", [one["counts"] for one in said])
    assert faults == {}
    assert [one["failures"] for one in said] == [[], [], []]
    assert bad == [] and rate >= RATE
    assert all(set(one["versions"]) == {"v1", "v2"} for one in said)
    assert names(docker) == ["web"] and service.health()[0] == 200


def test_an_app_that_ends_abruptly_costs_what_was_kept(ns, docker, berth, registry, web, outside):
    """Measured, and no more than that: an L4 switch cannot tell clients of a connection to go."""
    served(berth, docker, web, "-e", "ABRUPT=1")
    fresh, kept = Clients(outside, HOST, 80, "new", "new"), Clients(outside, HOST, 80, "kept", "kept", "kept")
    for number in range(2):
        moved(registry, number)
        answer(deploy(berth, web, "-e", "ABRUPT=1"))
    new, old = fresh.stop(), kept.stop()
    print(f"\nabrupt: new {new['counts']}, {len(new['failures'])} failed; kept {old['counts']}, {len(old['failures'])}")
    failures = sorted(new["failures"] + old["failures"])
    assert new["failures"] == [] and len(old["failures"]) <= 3 * 2, "\n".join(failures[:20] + failures[-20:])


def test_two_deploys_at_once_are_one_deployment(ns, docker, berth, registry, web, outside):
    served(berth, docker, web)
    clients = Clients(outside, HOST, 80, "new", "kept")
    moved(registry, 0)
    both = [
        ns.run(
            [binary(), "deploy", web, *PORTS, "--drain-timeout", DRAIN, "--json"],
            env=berth.env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        for _ in range(2)
    ]
    said = [json.loads(one.communicate(timeout=60)[0]) for one in both]
    assert sorted(one["current"] for one in said) == [False, True]
    assert clients.stop()["failures"] == [] and names(docker) == ["web"]


def test_a_deploy_while_dockerd_restarts_ends_well_one_way_or_the_other(ns, docker, berth, registry, web, outside):
    """Containers end with this dockerd: what matters is that one serves afterwards, and nothing is left over."""
    service = served(berth, docker, web)
    moved(registry, 0)
    process = ns.run(
        [binary(), "deploy", web, *PORTS, "--drain-timeout", DRAIN, "-e", "START_DELAY=3"],
        env=berth.env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    until(lambda: "web-next" in names(docker))
    docker.shut_down()
    time.sleep(0.5)
    docker.start()
    said = process.communicate(timeout=120)[1]
    assert process.returncode in (0, 1), said
    service.ready()
    until(lambda: names(docker) == ["web"] and "web-next" not in names(docker, "--all"), said=lambda: said)
    assert json.loads(request(ns, 80, "/")[1])["version"] == ("v2" if process.returncode == 0 else "v1")


def test_a_container_that_crashes_is_replaced_by_one_that_does_not(ns, docker, berth, registry, web):
    service = berth.up(web, *PORTS, "--drain-timeout", DRAIN)
    service.ready()
    answer(deploy(berth, web, "--force", "--", "/bin/sh", "-c", "/steady & sleep 1.5; exit 3"))
    until(lambda: docker.inspect("web")["RestartCount"] > 0, timeout=20)
    moved(registry, 0)
    done = answer(deploy(berth, web))
    assert done["strategy"] == "blue-green"
    until(lambda: (service.health() or (0,))[0] == 200)
    time.sleep(2)
    assert service.health()[0] == 200 and docker.inspect("web")["RestartCount"] == 0
    assert names(docker) == ["web"]
