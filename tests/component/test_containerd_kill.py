"""SIGKILL in the middle of pulls into the containerd store: the next one succeeds, and nothing of the dead is left.

BERTH_KILL_MOMENTS=N: N moments in each phase, and every system call, instead of a sample that takes a minute.
"""

import collections
import json
import os
import random
import re
import signal
import subprocess
import threading
import time
from pathlib import Path

import grpc_tap
import pytest
import tap
from containerd_steps import *  # noqa: F403 its fixtures too
from containerd_steps import (
    berth_command,
    chain_ids,
    leases,
    nothing_more_than,
    pushed,
    runs,
    snapshots,
    unfinished,
    wipe,
)
from lab import images

CAMPAIGN = int(os.environ.get("BERTH_KILL_MOMENTS", "0"))
SEED = int(os.environ.get("BERTH_KILL_SEED", "1"))
PHASES = ("connect", "resolve", "begin", "unpack", "layers", "documents", "end", "backfill")
IMAGE = "webapp:v1"

# What changes something outside the process.
MUTATING = (
    "mkdir,mkdirat,openat2,rename,renameat,renameat2,unlink,unlinkat,symlinkat,linkat,mknodat,fchmod,fchmodat,fchown,fchownat,"
    "utimensat,fsetxattr,ftruncate,fallocate,pwrite64,write,splice,sendto,sendmsg,connect,mount,umount2,pivot_root,syncfs,"
    "fsync,fdatasync"
)


class World:
    """berth between taps on Docker, containerd and the registry; what passed them, in the order of time."""

    def __init__(self, ns, registry, engine):
        self.ns, self.registry, self.engine, self.image = ns, registry, engine, images.get(IMAGE)
        self.journal, self.wanted, self.hit = [], None, threading.Event()
        self.process = self.victim = None
        docker, containerd, listener = ns.run_dir / "d.sock", ns.run_dir / "c.sock", ns.listen()
        self.taps = [
            tap.Tap("docker", tap.unix_listener(docker), lambda: tap.unix_connect(engine.socket)),
            tap.Tap("registry", listener, lambda: ns.connect(registry.address, registry.port)),
            grpc_tap.before(engine, containerd),
        ]
        for one in self.taps:
            one.step = lambda request, edge, peer=one.peer: self.step(peer, request, edge)
        pushed(IMAGE, registry)
        self.reference = f"127.0.0.1:{listener.getsockname()[1]}/team/{IMAGE.replace(':', '-')}:v1"
        self.command = berth_command(ns, engine, self.reference, "--containerd-socket", containerd)
        self.command += ["--docker-host", f"unix://{docker}"]
        self.lock = threading.Lock()
        self.counts = collections.Counter()

    def step(self, peer, request, edge):
        with self.lock:
            key = (peer, request, edge)
            self.counts[key] += 1
            moment = (*key, self.counts[key])
            self.journal.append(moment)
            if moment != self.wanted:
                return
        while not self.process:  # it is being started
            time.sleep(0.001)
        victim = self.victim or self.process
        victim.kill()
        victim.wait()
        self.hit.set()

    def start(self, mode, wanted=None, before=(), victim=None):
        """berth; at the wanted moment the victim, or else berth itself, is killed."""
        with self.lock:
            self.journal, self.counts, self.wanted, self.process = [], collections.Counter(), wanted, None
            self.victim = victim
            self.hit.clear()
        command = [*before, *self.command, "--backfill", mode]
        self.process = self.ns.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)
        return self.process

    def close(self):
        for one in self.taps:
            one.refuse()

    def recovers(self, mode):
        """The next pull, undisturbed."""
        kept = [chain in snapshots(self.engine) for chain in chain_ids(self.image)]
        process = self.start(mode)
        out, err = process.communicate(timeout=60)
        assert process.returncode == 0 and "warning" not in err, err
        answer = json.loads(out)
        if not answer["present"]:
            assert answer["layers_fetched"] == kept.count(False), (kept, answer)
        nothing_more_than(self.engine, self.image)
        assert not unfinished(self.engine)
        assert not survivors(self.process.pid)
        assert runs(self.engine, self.reference)


def survivors(session):
    """Processes of berth's that outlived it."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[3]) == session and fields[0] not in "ZX":
            found.append(stat.parent.name)
    return found


@pytest.fixture
def world(ns, registry, engine):
    world = World(ns, registry, engine)
    yield world
    world.close()


def phase_of(journal):
    """Moments of one run by phase."""
    phases, phase = collections.defaultdict(list), "connect"
    for moment in journal:
        peer, request, _, _ = moment
        if peer == "registry" and "/blobs/" in request and phase == "begin":
            phase = "unpack"
        elif peer == "registry" and phase == "connect":
            phase = "resolve"
        elif peer == "registry" and phase == "end":
            phase = "backfill"
        elif peer == "containerd" and phase == "resolve":
            phase = "begin"
        elif peer == "containerd" and phase == "unpack":
            phase = "layers"
        elif peer == "docker" and "/images/load" in request and phase == "layers":
            phase = "documents"
        elif peer == "containerd" and phase == "documents":
            phase = "end"
        phases[phase].append(moment)
    return phases


def recorded(world, mode):
    process = world.start(mode)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    return phase_of(world.journal)


def test_killed_at_any_moment_of_its_talks(world):
    chance, counts = random.Random(SEED), collections.defaultdict(collections.Counter)
    steps = {}
    for mode in ("after", "tee"):
        wipe(world.engine)
        steps[mode] = recorded(world, mode)
    try:
        for phase in PHASES:
            for i in range(CAMPAIGN or 2):
                mode = "after" if i % 2 == 0 or not steps["tee"][phase] else "tee"
                moment = chance.choice(steps[mode][phase])
                counts[phase]["moments"] += 1
                wipe(world.engine)
                world.start(mode, moment).communicate(timeout=60)
                counts[phase]["hit"] += world.hit.is_set()
                counts[phase]["left a lease"] += bool(leases(world.engine))
                try:
                    world.recovers(mode)
                except BaseException:
                    print(f"killed at {moment} of {phase}, --backfill {mode}")
                    raise
                counts[phase]["recovered"] += 1
    finally:
        print_histogram("killed in", counts)
    for phase, count in counts.items():
        assert count["hit"] * 2 >= count["moments"], phase


def print_histogram(title, counts):
    columns = list(dict.fromkeys(name for count in counts.values() for name in count))
    print(f"\n{title} (seed {SEED})\n  {'':<12}" + "".join(f"{name:>14}" for name in columns))
    for row, count in counts.items():
        print(f"  {row:<12}" + "".join(f"{count[name]:>14}" for name in columns))


def count_calls(world, log):
    """How often berth, or one of its workers, makes each mutating call: the most of any process."""
    process = world.start("tee", before=["strace", "-f", "-qq", "-o", log, "-e", f"trace={MUTATING}"])
    _, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    by_process = collections.Counter(re.findall(r"^(\d+) +(\w+)\(", Path(log).read_text(), re.M))
    most = collections.Counter()
    for (_, call), n in by_process.items():
        most[call] = max(most[call], n)
    return most


def test_killed_at_each_mutating_system_call(world):
    """Whichever process it is that makes it: berth dies with a worker's failure, and workers with berth."""
    most = count_calls(world, world.ns.run_dir / "strace.log")
    points = [(call, n) for call, times in sorted(most.items()) for n in range(1, times + 1)]
    if not CAMPAIGN:
        points = random.Random(SEED).sample(points, 8)
    counts = collections.defaultdict(collections.Counter)
    try:
        for call, n in points:
            wipe(world.engine)
            inject = ["-e", f"trace={call}", "-e", f"inject={call}:signal=SIGKILL:when={n}"]
            process = world.start("tee", before=["strace", "-f", "-qq", "-o", "/dev/null", *inject])
            process.communicate(timeout=120)
            counts[call]["moments"] += 1
            counts[call]["killed berth"] += process.returncode in (-signal.SIGKILL, 128 + signal.SIGKILL)
            try:
                world.recovers("tee")
            except BaseException:
                print(f"killed at {call} number {n}: {process.returncode}")
                raise
            counts[call]["recovered"] += 1
    finally:
        print_histogram(f"killed at a system call, of {sum(most.values())}", counts)


# --- the others die


def containerd_pid(engine):
    children = Path(f"/proc/{engine.pid}/task").glob("*/children")
    for pid in " ".join(path.read_text() for path in children).split():
        if Path(f"/proc/{pid}/comm").read_text().strip() == "containerd":
            return int(pid)
    raise AssertionError("no containerd")


def kill_containerd(engine):
    os.kill(containerd_pid(engine), signal.SIGKILL)


DEATHS = [(victim, phase) for victim in ("containerd", "dockerd") for phase in ("unpack", "documents", "backfill")]


@pytest.mark.parametrize("victim, phase", DEATHS if CAMPAIGN else [("containerd", "unpack"), ("dockerd", "documents")])
def test_an_engine_that_dies_in_the_middle(world, victim, phase):
    """berth ends by itself, and the next pull has it all."""
    steps = recorded(world, "after")
    wipe(world.engine)
    process = world.start("after", steps[phase][0], victim=Victim(world.engine, victim))
    out, err = process.communicate(timeout=90)
    assert world.hit.is_set() and process.returncode in (0, 1, 75), (process.returncode, out, err)
    tap.wait_until(lambda: answers(world.engine), 60, "the engine is back", every=0.5)
    world.recovers("after")


class Victim:
    """What World kills instead of berth."""

    def __init__(self, engine, name):
        self.engine, self.name = engine, name

    def kill(self):
        if self.name == "dockerd":
            self.engine.kill()
        else:
            kill_containerd(self.engine)

    def wait(self):
        """Back, as systemd would have it; dockerd looks after its containerd itself."""
        if self.name == "dockerd":
            self.engine.start()


def answers(engine):
    try:
        engine.ctr("version")
        engine.docker("images", timeout=10)
        return True
    except Exception:  # noqa: BLE001 whatever it says while it is not back
        return False
