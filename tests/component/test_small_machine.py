"""`berth pull` where memory is scarce: in 512 MiB, with Docker's data on a disk."""

import contextlib
import json
import os
import subprocess
import time

import lab
import pytest
from lab import images, processes
from lab.small_machine import MemoryGroup, ext4
from parity import thorough
from service import Berth, binary

MIB = 1 << 20
MACHINE_BYTES = 512 * MIB
DISK_BYTES = 8 << 30
PSS_MAX_BYTES = 96 * MIB
WITHIN_S = 600

# BERTH_MEMORY_IMAGE: another image of the lab, as `big`, for a figure of it.
NAMES = os.environ.get("BERTH_MEMORY_IMAGE", "heavy:gzip,heavy:zstd").split(",")
CASES = [(kind, name) for kind in ("docker20", "docker26c") for name in NAMES]
CASES = [case for case in CASES if case[0] != "docker20" or "zstd" not in case[1]]  # since 23


@pytest.fixture
def machine(ns):
    """Its memory."""
    with MemoryGroup(ns, MACHINE_BYTES) as group:
        yield group


@pytest.fixture
def disk(ns):
    """All that is on tmpfs elsewhere is on it from now on."""
    with ext4(ns.data_dir / "disk", DISK_BYTES) as mounted:
        elsewhere, ns.data_dir = ns.data_dir, mounted
        yield mounted
        ns.data_dir = elsewhere


def test_the_machine_is_that_small(ns, machine):
    """Who takes more than there is does not live."""
    greedy = f"held = b'x' * {MACHINE_BYTES}"
    greedy = machine.argv("/usr/bin/python3", "-c", greedy)
    assert ns.run(greedy, stderr=subprocess.DEVNULL).wait(60) == -9
    assert machine.killed == 1


@pytest.mark.parametrize("who", ["berth", *thorough("berth and the engine")])
@pytest.mark.parametrize("kind, name", CASES)
def test_a_pull_fits_into_512_mib(ns, machine, disk, kind, name, who, capsys):
    with contextlib.ExitStack() as stack:
        registry = stack.enter_context(registry_elsewhere(ns, disk))
        reference = images.push(name, registry, "team/app")
        group = machine if "engine" in who else None
        engine = stack.enter_context(lab.Engine(kind, group=group)).start(ns)
        assert (engine.pid in machine.pids()) == ("engine" in who)
        answer, peak, took_s = pulled(ns, machine, engine, reference)
        with capsys.disabled():
            print(f"\n{name} into {kind}, {who} in {MACHINE_BYTES // MIB} MiB: peak PSS ", end="")
            print(f"of berth and its workers {peak / MIB:.1f} MiB, of the group ", end="")
            print(f"{machine.peak_bytes / MIB:.0f} MiB, {took_s:.1f} s, store {answer['store']}")
        assert answer["store"] == ("containerd" if engine.containerd_store else "load")
        assert answer["layers_fetched"] == len(images.get(name).layers)
        assert 0 < peak <= PSS_MAX_BYTES
        assert machine.killed == 0
        engine.docker("run", "--rm", reference, "/bin/sh", "-c", "true")


def registry_elsewhere(ns, disk):
    """Its storage is another machine's."""
    ns.data_dir = disk.parent
    registry = lab.Registry(ns)
    ns.data_dir = disk
    return registry


def pulled(ns, machine, engine, reference):
    """berth's answer, the highest sum of its processes' PSS, seconds."""
    berth, began_s = Berth(ns, engine), time.monotonic()
    command = [binary(), "pull", reference, "--json"]
    if engine.containerd_store:
        command += ["--containerd-socket", engine.containerd_socket]
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    process = ns.run(machine.argv(*command), env=berth.env, **streams)
    sampler = processes.PeakMemory(process.pid, binary())
    sampler.start()
    out, err = process.communicate(timeout=WITHIN_S)
    sampler.over.set()
    assert process.returncode == 0 and "warning" not in err, (err, machine.killed)
    return json.loads(out), sampler.peak, time.monotonic() - began_s
