"""Candidates that are no good, of every kind: the old container answers every request, and the reason is told and kept."""

import json
import os
import random
import subprocess
import time

import pytest
from deploy_steps import answer, moved, names, result, variant
from deploy_steps import berth, outside, registry, web  # noqa: F401 (fixtures)
from lab import Engine, images
from service import Berth
from tap import Step, Tap

KINDS = os.environ.get("BERTH_DEPLOY_ENGINE", "docker20,docker26c").split(",")
PORTS = ("-p", "80:3000", "--drain-timeout", "1s")
SMALL_DISK_BYTES = 72 << 20
MIB = 1 << 20
CUT_WITHIN_S = 60

SPEAKS = ("--", "sh", "-c", 'i=1; while [ $i -le 30 ]; do echo "line $i"; i=$((i + 1)); done; exit ')


@pytest.fixture(params=KINDS)
def docker(request, ns):
    with Engine(request.param) as engine:
        yield engine.start(ns)


@pytest.fixture(params=KINDS)
def small_docker(request, ns):
    """Docker, and berth's state, on a disk that is soon full."""
    disk, elsewhere = ns.data_dir / "disk", ns.data_dir
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SMALL_DISK_BYTES}", "small", disk], check=True)
    ns.data_dir = disk
    engine = Engine(request.param)
    try:
        engine.start(ns)
        ns.data_dir = elsewhere
        yield engine
    finally:
        ns.data_dir = elsewhere
        engine.stop()
        subprocess.run(["umount", "-l", disk], check=True)


def deploy(berth, web, *argv):
    return berth.run("deploy", web, *PORTS, *argv)


def status(berth):
    return json.loads(berth.run("status", "--name", "web", "--json").out)


class Served:
    """A service that has been moved to the switch, with clients who do not stop asking."""

    def __init__(self, docker, berth, web, outside):
        self.docker, self.berth, self.web, self.outside = docker, berth, web, outside
        self.service = berth.up(web, *PORTS)
        self.service.ready()
        answer(deploy(berth, web, "--force", "--json"))
        self.container = docker.inspect("web")["Id"]
        self.before = names(docker, "--all")
        self.client = outside.load()

    def fails(self, *argv, says, web=None, code=1):
        """This deploy does, and nothing else changes."""
        done = deploy(self.berth, web or self.web, *argv)
        assert done.code == code and says.lower() in done.last_line.lower(), f"{argv}: {done}"
        assert self.docker.inspect("web")["Id"] == self.container
        assert names(self.docker) == ["web"] and names(self.docker, "--all") == self.before
        assert self.service.health()[0] == 200, done
        return done

    def refuses(self, *argv, digest):
        """What failed is remembered, and not tried again unless somebody insists; not even fetched."""
        assert status(self.berth)["last_failure"]["digest"] == digest
        done = self.fails(*argv, says="--force")
        assert "pulling" not in done.err and "starting" not in done.err

    def ends(self):
        """Who asked, all the time, was answered by it."""
        assert result(self.client) == ({"v1"}, [])
        assert status(self.berth)["status"] == "ready"


# What is asked for, what is said about it, and what of the candidate's own words is shown.
BAD = {
    "ends": ((*SPEAKS[:-1], SPEAKS[-1] + "7"), "exit code 7", True),
    "ends without a fault": ((*SPEAKS[:-1], SPEAKS[-1] + "0"), "exit code 0", True),
    "would be restarted for ever": (("--restart", "always", *SPEAKS[:-1], SPEAKS[-1] + "9"), "exit code 9", True),
    "is never ready": (("--probe", "tcp://:9", "--ready-timeout", "1s"), "not ready within 1 s", False),
    "has no such user": (("--user", "nobody-here"), "check --user", False),
    "has no such command": (("--entrypoint", "/nothing"), "is the command in the image?", False),
    "has no such log driver": (("--log-driver", "nonsense"), "nonsense", False),
    "has no such capability": (("--cap-add", "nonsense"), "CAP_NONSENSE", False),
}
INSISTED = ("ends", "has no such capability")


def test_no_kind_of_bad_candidate_costs_a_request(ns, docker, berth, registry, web, outside):
    served = Served(docker, berth, web, outside)
    moved(registry)
    digest = images.get("webapp:v2").digest
    for kind, (argv, says, speaks) in BAD.items():
        argv = ("-e", f"KIND={kind}", *argv)
        done = served.fails(*argv, says=says)
        lines = [line.partition(" | ")[2] for line in done.err.splitlines() if "web-next | line" in line]
        assert lines == ([f"line {i}" for i in range(11, 31)] if speaks else []), done
        assert "webapp v2: listening" in done.err or kind != "is never ready", done
        served.refuses(*argv, digest=digest)
    for kind in INSISTED:
        served.fails("-e", f"KIND={kind}", "--force", *BAD[kind][0], says=BAD[kind][1])
    served.ends()
    assert answer(deploy(berth, web, "--json"))["digest"] == digest  # it was the options


def test_what_is_no_fault_of_the_image_is_told_and_tried_again(ns, docker, berth, registry, web, outside):
    served = Served(docker, berth, web, outside)
    served.fails("--force", "--memory", "900g", says="--strategy recreate needs")
    assert "of memory" in status(berth)["last_failure"]["failure"]
    served.fails("--force", "--memory", "900g", says="--strategy recreate needs")
    served.fails(web=web.replace("latest", "none"), says="none")
    assert status(berth)["last_failure"]["digest"] == ""
    served.ends()


def test_an_image_whose_bytes_are_wrong_is_not_fetched_again(ns, docker, berth, registry, web, outside, tmp_path):
    served = Served(docker, berth, web, outside)
    broken = variant(tmp_path / "broken", "v2", random.Random(1).randbytes(MIB))
    images.push_image(broken, registry, "team/web", "latest")
    blob = broken.layers[-1]["digest"].partition(":")[2]
    data = registry.data_dir / f"docker/registry/v2/blobs/sha256/{blob[:2]}/{blob}/data"
    data.write_bytes(data.read_bytes()[:-100] + bytes(100))
    served.fails(says="digest")
    served.refuses(digest=broken.digest)
    assert "pulling" in served.fails("--force", says="digest").err
    served.ends()


def test_a_pull_that_is_cut_for_good_costs_no_request(ns, docker, berth, registry, web, outside, tmp_path):
    """The way to the image is no fault of the image's: it is remembered, and tried again."""
    tap = Tap("registry", ns.listen(), lambda: ns.connect(registry.address, registry.port))
    port = tap.listener.getsockname()[1]
    there = web.replace(registry.host, f"127.0.0.1:{port}")
    served = Served(docker, berth, there, outside)
    larger = variant(tmp_path / "larger", "v2", random.Random(2).randbytes(24 * MIB))
    images.push_image(larger, registry, "team/web", "latest")

    def cut():
        tap.refuse()
        registry.kill()

    tap.watch(Step("registry", f"GET /v2/team/web/blobs/{larger.layers[-1]['digest']}", "told", 5), cut)
    began = time.monotonic()
    done = served.fails(says=f"127.0.0.1:{port}")
    assert tap.fired.is_set() and time.monotonic() - began < CUT_WITHIN_S, done
    assert status(berth)["last_failure"]["digest"] == larger.digest
    served.ends()
    registry.start()
    tap.listen(ns.listen(port=port))
    assert answer(deploy(berth, there, "--json"))["digest"] == larger.digest


def test_a_full_disk_costs_no_request(ns, small_docker, registry, web, outside, tmp_path):
    berth = Berth(ns, small_docker)
    berth.state_dir = berth.env["BERTH_STATE_DIR"] = small_docker.data_dir.parent / "berth-state"
    try:
        served = Served(small_docker, berth, web, outside)
        larger = variant(tmp_path / "larger", "v2", bytes(SMALL_DISK_BYTES))
        images.push_image(larger, registry, "team/web", "latest")
        served.fails(says="make room in Docker's data directory")
        served.refuses(digest=larger.digest)
        served.fails("--force", says="no space left on device")
        served.ends()
        moved(registry)
        assert answer(deploy(berth, web, "--json"))["digest"] == images.get("webapp:v2").digest
    finally:
        berth.close()
