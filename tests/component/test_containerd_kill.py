"""SIGKILL in each phase of a pull into the containerd store: the next one has it all, and no more.

killing.py says how a campaign is run.
"""

import os
import random
import signal
from pathlib import Path

import pytest
import tap
from containerd_steps import *  # noqa: F403 its fixtures too
from containerd_steps import leases, wipe
from killing import CAMPAIGN, PHASES, SEED, Histogram, World

SAMPLE = 2  # hits in each phase where there is no campaign


@pytest.fixture
def world(ns, registry, engine):
    world = World(ns, registry, engine)
    yield world
    world.close()


def test_killed_in_each_phase(world):
    """At any moment of what berth says to its peers, or they to it."""
    moments = {mode: world.whole(mode) for mode in ("after", "tee")}
    assert set(moments["after"]) == set(PHASES)
    chance, histogram = random.Random(SEED), Histogram("killed in each phase")
    wanted = CAMPAIGN or SAMPLE
    try:
        for phase in PHASES:
            hits(world, histogram, phase, moments, wanted, chance)
    finally:
        histogram.print()
    assert histogram.failures == []
    assert all(histogram.rows[phase]["hit"] == wanted for phase in PHASES)


def hits(world, histogram, phase, moments, wanted, chance):
    """So many. A run may have fewer moments than the one before had, and none has no first."""
    modes = [mode for mode in moments if phase in moments[mode]]
    nth = 0
    while histogram.rows.get(phase, {}).get("hit", 0) < wanted:
        mode = modes[histogram.rows.get(phase, {}).get("hit", 0) % len(modes)]
        nth = nth // 2 or chance.randint(1, moments[mode][phase])
        wipe(world.engine)
        process = world.start(mode, (phase, nth))
        process.communicate(timeout=60)
        if not world.hit.is_set():
            histogram.count(phase, "missed")
            assert nth > 1, f"{phase} has no first moment: {process.returncode}"
            continue
        assert process.returncode == -signal.SIGKILL
        histogram.count(phase, "hit", *(["left a lease"] if leases(world.engine) else []))
        histogram.recovers(world, mode, f"{phase} {nth}, --backfill {mode}", phase)
        nth = 0


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
    world.whole("after")
    wipe(world.engine)
    process = world.start("after", (phase, 1), victim=Victim(world.engine, victim))
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
        engine.containerd.leases()  # by a connection that may have been to the one that died
        return True
    except Exception:  # noqa: BLE001 whatever it says while it is not back
        return False
