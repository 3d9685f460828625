"""Pulls into the containerd store that are killed on the way, and what must be true of the next one.

BERTH_KILL_MOMENTS=N: a campaign, of N hits in each phase and of every system call, instead of a
sample that takes seconds. BERTH_KILL_SEED chooses the sample, BERTH_KILL_IMAGE another image.
"""

import collections
import json
import os
import random
import subprocess
import threading
import time
from pathlib import Path

import grpc_tap
import tap
from containerd_steps import (
    berth_command,
    chain_ids,
    must_run,
    nothing_more_than,
    pushed,
    snapshots,
    unfinished,
    wipe,
)
from lab import images, tree

CAMPAIGN = int(os.environ.get("BERTH_KILL_MOMENTS", "0"))
SEED = int(os.environ.get("BERTH_KILL_SEED", "1"))
IMAGE = os.environ.get("BERTH_KILL_IMAGE", "mixed")
FAILURES_MAX = 5  # after which a campaign need not go on
RUN_EVERY = 20  # recoveries: a container takes longer than all the rest

# phase, who is spoken to next, what the request holds: the phase that begins with it.
BEGINS = {
    ("connect", "registry", ""): "resolve",
    ("resolve", "containerd", ""): "begin",
    ("begin", "registry", "/blobs/"): "unpack",
    ("unpack", "containerd", ""): "layers",
    ("layers", "docker", "/images/load"): "documents",
    ("documents", "containerd", ""): "end",
    ("end", "registry", ""): "backfill",
}
PHASES = ("connect", *BEGINS.values())


def next_phase(phase, peer, request):
    for (now, who, what), then in BEGINS.items():
        if (now, who) == (phase, peer) and what in request:
            return then
    return phase


class World:
    """berth between taps on Docker, containerd and the registry, which know what phase it is in."""

    def __init__(self, ns, registry, engine):
        self.ns, self.registry, self.engine, self.image = ns, registry, engine, images.get(IMAGE)
        self.lock, self.hit = threading.Lock(), threading.Event()
        self.process = self.victim = self.wanted = None
        self.phase, self.counts, self.recoveries = "connect", collections.Counter(), 0
        docker, containerd, listener = ns.run_dir / "d.sock", ns.run_dir / "c.sock", ns.listen()
        self.taps = [
            tap.Tap("docker", tap.unix_listener(docker), lambda: tap.unix_connect(engine.socket)),
            tap.Tap("registry", listener, lambda: ns.connect(registry.address, registry.port)),
            grpc_tap.before(engine, containerd),
        ]
        for one in self.taps:
            one.step = lambda request, edge, peer=one.peer: self.step(peer, request)
        self.trees = self.trees_of_docker()
        repository = pushed(IMAGE, registry).partition("/")[2]
        self.reference = f"127.0.0.1:{listener.getsockname()[1]}/{repository}"
        self.command = berth_command(ns, engine, self.reference, "--containerd-socket", containerd)
        self.command += ["--docker-host", f"unix://{docker}"]

    def trees_of_docker(self):
        """What the engine's own pull unpacks."""
        reference, self.began_ns = pushed(IMAGE, self.registry), time.time_ns()
        self.engine.docker("pull", "--quiet", reference)
        return [tree.walk(path) for path in self.engine.layer_dirs(reference)]

    def step(self, peer, request):
        """Nothing more passes on this connection until it returns."""
        with self.lock:
            self.phase = next_phase(self.phase, peer, request)
            self.counts[self.phase] += 1
            if (self.phase, self.counts[self.phase]) != self.wanted:
                return
            self.wanted = None
        victim = self.victim or tap.wait_until(lambda: self.process, every=0.001)
        victim.kill()
        victim.wait()
        self.hit.set()

    def start(self, mode, wanted=None, before=(), victim=None):
        """berth; at the wanted (phase, nth moment of it) the victim, or else berth, is killed."""
        with self.lock:
            self.phase, self.counts, self.wanted = "connect", collections.Counter(), wanted
            self.process, self.victim = None, victim
            self.hit.clear()
        streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        command = [*before, *self.command, "--backfill", mode]
        self.process = self.ns.run(command, start_new_session=True, **streams)
        return self.process

    def whole(self, mode, before=()):
        """How many moments each phase of an undisturbed pull has."""
        wipe(self.engine)
        process = self.start(mode, before=before)
        _, err = process.communicate(timeout=120)
        assert process.returncode == 0, err
        return dict(self.counts)

    def close(self):
        for one in self.taps:
            one.refuse()

    def recovers(self, mode):
        """The next pull, undisturbed, fetches what was not kept; all is there, and no more."""
        # A berth that lived to say that it failed has let go of what it had, for containerd to collect at its leisure.
        leased = self.engine.containerd.leases() != set()
        kept = [chain in snapshots(self.engine) for chain in chain_ids(self.image)]
        process = self.start(mode)
        out, err = process.communicate(timeout=60)
        assert process.returncode == 0 and "warning" not in err, err
        answer = json.loads(out)
        if not answer["present"] and leased:
            assert answer["layers_fetched"] == kept.count(False), (kept, answer)
        assert not survivors(process.pid)
        self.usable()
        nothing_more_than(self.engine, self.image)
        assert not unfinished(self.engine)

    def usable(self):
        """Docker makes containers of it, and every file is as by its own pull."""
        status, body = self.engine.api("POST", "/containers/create", {"Image": self.reference})
        assert status == 201, body
        self.engine.api("DELETE", f"/containers/{json.loads(body)['Id']}?force=1")
        for ours, theirs in zip(self.engine.layer_dirs_of(self.image), self.trees, strict=True):
            different = tree.differences(tree.walk(ours), theirs, self.began_ns)
            assert not different, different
        self.recoveries += 1
        if self.recoveries % RUN_EVERY == 1:
            must_run(self.engine, self.reference)


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


class Histogram:
    """Counts by phase, system call or whatever; and the failures that a campaign goes on after."""

    def __init__(self, title):
        self.title, self.rows, self.failures = title, {}, []
        self.began_s = time.monotonic()

    def count(self, row, *columns):
        self.rows.setdefault(row, collections.Counter()).update(columns)

    def recovers(self, world, mode, moment, row):
        """Does World.recovers()? Counted in this row."""
        try:
            world.recovers(mode)
        except Exception as error:  # noqa: BLE001 whatever it was, it is told with the moment
            self.failures.append(f"killed at {moment}: {error}")
            print(self.failures[-1])
            assert len(self.failures) < FAILURES_MAX, "and so on"
            return False
        self.count(row, "recovered")
        return True

    def print(self):
        columns = list(dict.fromkeys(name for row in self.rows.values() for name in row))
        took_s = time.monotonic() - self.began_s
        print(f"\n{self.title}: {took_s:.0f} s, seed {SEED}, image {IMAGE}")
        for row, counts in {"": {name: name for name in columns}, **self.rows}.items():
            print(f"  {row:<16}" + "".join(f"{counts[name]:>14}" for name in columns))


def sample(values, number):
    return random.Random(SEED).sample(values, min(number, len(values)))
