"""SIGTERM of `berth deploy` and `rollback` while names move, and after: who asks is answered, and what is said is true."""

import signal
import subprocess
import time

import pytest
import tap
from deploy_steps import moved, names, result, until, version
from deploy_steps import berth, docker, outside, registry, web  # noqa: F401 (fixtures)
from service import binary

PORTS = ("-p", "80:3000")
DRAIN = ("--drain-timeout", "1s")
HEARD_S = 0.05  # a signal is read within a millisecond; two cores are shared
LAST_CALLS = 40  # more than there are, at each edge
SIGNALS = {"answered": 1, "asked": 1, "twice": 2}


class LastCalls(tap.Tap):
    """On Docker's socket: from the first change of names on, the nth call is known, before or after it is carried out."""

    def __init__(self, ns, docker):
        self.path = ns.run_dir / "last.sock"
        super().__init__("docker", tap.unix_listener(self.path), lambda: tap.unix_connect(docker.socket))
        self.arm(None, 0, None)

    def arm(self, edge, number, action):
        with self.lock:
            self.edge, self.left, self.act, self.begun, self.hit = edge, number, action, False, None

    def step(self, request, edge):
        with self.lock:
            self.begun |= "/rename" in request or request == "DELETE /containers/ID"
            if not self.begun or edge != self.edge or not self.act:
                return
            self.left -= 1
            if self.left >= 0:
                return
            action, self.act, self.hit = self.act, None, request
        action()


@pytest.fixture
def calls(ns, docker):
    calls = LastCalls(ns, docker)
    yield calls
    calls.refuse()


def signalled(ns, berth, calls, number, how, argv):
    """(exit code, what it said) of one that gets SIGTERM at that call; a second one soon after, if `twice`."""
    running = []

    def strike():
        tap.wait_until(lambda: running)
        for _ in range(SIGNALS[how]):
            running[0].send_signal(signal.SIGTERM)
            time.sleep(HEARD_S)

    calls.arm("answered" if how == "twice" else how, number, strike)
    running.append(
        ns.run(
            [binary(), *argv],
            env={**berth.env, "DOCKER_HOST": f"unix://{calls.path}"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
    )
    said = running[0].communicate(timeout=60)[1]
    return running[0].returncode, said


@pytest.mark.parametrize(
    "command, how", [("deploy", "asked"), ("deploy", "answered"), ("deploy", "twice"), ("rollback", "answered")]
)
def test_sigterm_at_the_last_calls_costs_no_request(ns, docker, berth, registry, web, outside, calls, command, how):
    service = berth.up(web, *PORTS, *DRAIN)
    service.ready()
    for data in ("webapp:v2", "webapp:v1"):  # both generations are behind the switch
        moved(registry, data)
        assert berth.run("deploy", web, *PORTS, *DRAIN, "--force").code == 0
    client = outside.load()
    for number in range(LAST_CALLS):
        before = docker.inspect("web")["Id"]
        to = moved(registry, ("webapp:v2", "webapp:v1")[number % 2])
        argv = ["deploy", to, *PORTS, *DRAIN, "--force"] if command == "deploy" else ["rollback", "--name", "web", *DRAIN]
        code, said = signalled(ns, berth, calls, number, how, argv)
        if not calls.hit:
            break
        print(f"{number} {calls.hit}: exit {code}")
        until(lambda: names(docker) == ["web"], said=lambda: said)
        assert "web-next" not in names(docker, "--all"), f"{calls.hit}: {said}"
        after = docker.inspect("web")["Id"]
        assert (code == 0) == (after != before), f"{calls.hit}: exit {code}\n{said}"
        assert ("serves on" in said) == (after == before), f"{calls.hit}: {said}"
        assert docker.inspect("web")["HostConfig"]["RestartPolicy"]["Name"] == "unless-stopped"
        assert code == 0 or how == "twice", f"{calls.hit}: the new one has the clients\n{said}"
        version(ns)
    assert 4 < number < LAST_CALLS - 1
    assert result(client) == ({"v1", "v2"}, [])
    assert service.health()[0] == 200
