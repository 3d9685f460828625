"""What the tests of deployments share: an engine and a registry in one namespace, and a machine beside the instance."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from lab import Engine, Registry, images, oci
from service import Berth, request

KIND = os.environ.get("BERTH_DEPLOY_ENGINE", "docker20")
HOST, OUTSIDE = "10.99.0.5", "10.99.0.9"
PEER = Path(__file__).parent / "switch_peer.py"


def check(*argv):
    return subprocess.run(argv, check=True, stdout=subprocess.PIPE, text=True, timeout=20).stdout


class Outside:
    """A machine beside the instance."""

    def __init__(self, ns):
        self.name = f"{ns.name}-out"
        self.enter = ["nsenter", f"--net=/run/netns/{self.name}", "--"]
        self.processes = []
        check("ip", "netns", "add", self.name)
        check(*ns.enter, "ip", "link", "add", "uplink", "type", "veth", "peer", "eth0", "netns", self.name)
        check(*ns.enter, "ip", "addr", "add", f"{HOST}/24", "dev", "uplink")
        check(*ns.enter, "ip", "link", "set", "uplink", "up")
        for argv in (["addr", "add", f"{OUTSIDE}/24", "dev", "eth0"], ["link", "set", "eth0", "up"]):
            check(*self.enter, "ip", *argv)
        check(*self.enter, "ip", "link", "set", "lo", "up")
        # A client without a free port takes one again whose connection has just been reset, which is another matter.
        check(*self.enter, "sysctl", "-q", "-w", "net.ipv4.ip_local_port_range=2000 65000")

    def start(self, argv, where=None, **popen):
        process = subprocess.Popen([*(where or self.enter), *map(str, argv)], **popen)
        self.processes.append(process)
        return process

    def load(self, host=HOST, where=None):
        process = self.start(
            [sys.executable, PEER, "load", host, "80"],
            where,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        process.stdout.readline()
        return process

    def ask(self):
        return check(*self.enter, sys.executable, str(PEER), "ask", HOST, "80").strip()

    def close(self):
        for process in self.processes:
            process.kill()
            process.wait()
        subprocess.run(["ip", "netns", "del", self.name], stderr=subprocess.DEVNULL, check=False)


@pytest.fixture
def outside(ns):
    outside = Outside(ns)
    yield outside
    outside.close()


@pytest.fixture
def registry(ns):
    with Registry(ns) as registry:
        yield registry


@pytest.fixture
def docker(ns):
    with Engine(KIND) as engine:
        yield engine.start(ns)


@pytest.fixture
def berth(ns, docker):
    berth = Berth(ns, docker)
    yield berth
    berth.close()
    for number, service in enumerate(berth.services):  # shown when a test fails
        print(f"--- berth up, {number}\n{service.err}")


@pytest.fixture
def web(registry):
    return images.push("webapp:v1", registry, "team/web", "latest")


def moved(registry, to="webapp:v2"):
    """The tag means another image now."""
    return images.push(to, registry, "team/web", "latest")


def variant(directory, version, data):
    """A version of the web application with a layer of data on top; an image of its own layout."""
    layout, base, layers = oci.Layout(directory), images.get(f"webapp:{version}"), []
    for descriptor, diff_id in zip(base.layers, base.diff_ids, strict=True):
        oci.link(base.blob(descriptor["digest"]), layout.path)
        layers.append(oci.Layer(descriptor["digest"], descriptor["size"], diff_id))
    layers.append(layout.layer(oci.Tar().file("data", data).bytes()))
    layout.tag("latest", layout.image(layers, base.config["config"]))
    layout.write()
    return oci.read(layout.path, "latest")


def result(client):
    """What a load has seen: the versions, and what failed."""
    client.stdin.close()
    said = json.loads(client.stdout.readline())
    return {json.loads(a)["version"] for a in said["answers"]}, said["failures"]


def answer(done):
    assert done.code == 0, done
    return json.loads(done.out)


def names(docker, *flags):
    return sorted(docker.docker("ps", *flags, "--format", "{{.Names}}").split())


def version(ns, host="127.0.0.1"):
    return json.loads(request(ns, 80, "/", host=host)[1])["version"]


def until(true, timeout=60, said=lambda: ""):
    deadline = time.monotonic() + timeout
    while not true():
        assert time.monotonic() < deadline, f"not in {timeout} s\n{said()}"
        time.sleep(0.05)
