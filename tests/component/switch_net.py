"""The switch in a network of its own: a host with a bridge as Docker makes it, two containers, a client outside."""

import contextlib
import itertools
import os
import select
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

BUILD = Path(os.environ.get("BERTH_BUILD", Path(__file__).resolve().parents[2]))
DRIVER = BUILD / "tests/component/driver_switch"
PEER = Path(__file__).parent / "switch_peer.py"
NEEDED = ("ip", "iptables", "iptables-restore", "nsenter")
OUTSIDE, HOST, BRIDGE = "10.99.0.9", "10.99.0.5", "172.30.0.1"
CONTAINERS = {"v1": "172.30.0.2", "v2": "172.30.0.3"}
NEIGHBOUR = "172.30.0.9"  # a third container, a client
PORT, INSIDE = 8080, 3000
ANSWER_S = 5

# What Docker writes for its bridge and for a container published on a loopback port.
DOCKER_NAT = """*nat
:DOCKER - [0:0]
-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
-A POSTROUTING -s 172.30.0.0/16 ! -o docker0 -j MASQUERADE
-A DOCKER -i docker0 -j RETURN
COMMIT
"""
PUBLISHED = "".join(
    f"-A DOCKER -d {address}/32 ! -i docker0 -o docker0 -p {proto} -m {proto} --dport {INSIDE} -j ACCEPT\n"
    for address in CONTAINERS.values()
    for proto in ("tcp", "udp")
)
DOCKER_20 = f"""{DOCKER_NAT}*filter
:FORWARD DROP [0:0]
:DOCKER - [0:0]
:DOCKER-USER - [0:0]
-A FORWARD -j DOCKER-USER
-A FORWARD -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A FORWARD -o docker0 -j DOCKER
-A FORWARD -i docker0 ! -o docker0 -j ACCEPT
{PUBLISHED}-A DOCKER-USER -j RETURN
COMMIT
"""
# 28 and later also drop what names a container's address on the wire, and all else that goes to the bridge.
DOCKER_28 = f"""{DOCKER_NAT}*raw
-A PREROUTING -d 172.30.0.2/32 ! -i docker0 -j DROP
-A PREROUTING -d 172.30.0.3/32 ! -i docker0 -j DROP
-A PREROUTING -d 127.0.0.1/32 ! -i lo -p tcp -m tcp --dport 32768 -j DROP
COMMIT
*filter
:FORWARD DROP [0:0]
:DOCKER - [0:0]
:DOCKER-BRIDGE - [0:0]
:DOCKER-CT - [0:0]
:DOCKER-FORWARD - [0:0]
:DOCKER-USER - [0:0]
-A FORWARD -j DOCKER-USER
-A FORWARD -j DOCKER-FORWARD
-A DOCKER-FORWARD -j DOCKER-CT
-A DOCKER-FORWARD -j DOCKER-BRIDGE
-A DOCKER-FORWARD -i docker0 -j ACCEPT
-A DOCKER-CT -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A DOCKER-BRIDGE -o docker0 -j DOCKER
{PUBLISHED}-A DOCKER ! -i docker0 -o docker0 -j DROP
COMMIT
"""

_numbers = itertools.count()


def missing():
    return [program for program in NEEDED if not shutil.which(program)]


class Net:
    """Four kinds of namespace: host, v1 and v2 and neighbour (containers), outside."""

    def __init__(self, docker=DOCKER_20, flavour="iptables"):
        self.prefix = f"sw{os.getpid()}x{next(_numbers)}"
        self.docker = docker
        self.flavour = flavour
        self.processes = []
        self.directory = Path(tempfile.mkdtemp(prefix="berth-switch-"))

    def open(self):
        try:
            self.build()
        except BaseException:
            self.close()
            raise
        return self

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()

    def name(self, role):
        return f"{self.prefix}{role}"

    def build(self):
        for role in ("host", "outside", "neighbour", *CONTAINERS):
            check("ip", "netns", "add", self.name(role))
            self.run(role, "ip", "link", "set", "lo", "up")
        self.run("host", "ip", "link", "add", "docker0", "type", "bridge")
        self.run("host", "ip", "addr", "add", f"{BRIDGE}/16", "dev", "docker0")
        self.run("host", "ip", "link", "set", "docker0", "up")
        for number, (role, address) in enumerate({**CONTAINERS, "neighbour": NEIGHBOUR}.items()):
            self.wire(role, address, 16, f"veth{number}")
            self.run("host", "ip", "link", "set", f"veth{number}", "master", "docker0")
            self.run(role, "ip", "route", "add", "default", "via", BRIDGE)
        self.wire("outside", OUTSIDE, 24, "uplink")
        self.run("host", "ip", "addr", "add", f"{HOST}/24", "dev", "uplink")
        self.run("host", "sysctl", "-qw", "net.ipv4.ip_forward=1")
        self.run("host", f"{self.flavour}-restore", "--noflush", input=self.docker)

    def wire(self, role, address, bits, link):
        self.run("host", "ip", "link", "add", link, "type", "veth", "peer", "eth0", "netns", self.name(role))
        self.run("host", "ip", "link", "set", link, "up")
        self.run(role, "ip", "addr", "add", f"{address}/{bits}", "dev", "eth0")
        self.run(role, "ip", "link", "set", "eth0", "up")

    def run(self, role, *argv, **options):
        return check("ip", "netns", "exec", self.name(role), *argv, **options)

    def start(self, role, *argv, **popen):
        process = subprocess.Popen(
            ["nsenter", f"--net=/run/netns/{self.name(role)}", "--", *map(str, argv)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            **popen,
        )
        self.processes.append(process)
        return process

    def peer(self, role, *argv):
        """Started, and past its first line."""
        process = self.start(role, sys.executable, PEER, *argv)
        process.first = line(process)
        return process

    def serve(self, role, *argv):
        return self.peer(role, "serve", role, INSIDE, *argv)

    def load(self, role, host, port=PORT):
        return self.peer(role, "load", host, port)

    def ask(self, role, host, port=PORT, *argv, command="ask"):
        return self.run(role, sys.executable, PEER, command, host, port, *argv).strip()

    def switch(self, kind, *ports, name="web", before=(), **popen):
        return Switch(self, [*before, DRIVER, self.directory, name, kind, *(ports or (f"{PORT}:{INSIDE}",))], popen)

    def close(self):
        for process in reversed(self.processes):
            process.kill()
            process.wait()
            with contextlib.suppress(BrokenPipeError):  # what it was told and never read
                process.stdin.close()
            process.stdout.close()
        for role in ("host", "outside", "neighbour", *CONTAINERS):
            subprocess.run(["ip", "netns", "del", self.name(role)], stderr=subprocess.DEVNULL, check=False)
        shutil.rmtree(self.directory)


class Switch:
    """driver_switch on the host."""

    def __init__(self, net, argv, popen):
        self.process = net.start("host", *argv, **popen)
        self.first = line(self.process)

    def say(self, command):
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()
        return line(self.process)

    def ok(self, command):
        answer = self.say(command)
        assert answer.startswith("ok"), f"{command}: {answer}"
        return answer[3:]

    def listed(self):
        words = self.ok("list").split(" problem=")
        found = dict(word.partition("=")[::2] for word in words[0].split())
        return {**found, "problem": words[1]}

    def kill(self):
        self.process.kill()
        self.process.wait()


def line(process):
    ready, _, _ = select.select([process.stdout], [], [], ANSWER_S)
    assert ready, "no answer"
    return process.stdout.readline().rstrip("\n")


def check(*argv, **options):
    return subprocess.run(
        [str(a) for a in argv], check=True, text=True, stdout=subprocess.PIPE, timeout=20, **options
    ).stdout
