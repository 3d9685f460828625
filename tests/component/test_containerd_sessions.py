"""The containerd store by itself: sessions that end early, or beside others."""

from pathlib import Path

import pytest
from containerd_steps import *  # noqa: F403 its fixtures too
from containerd_steps import (
    NO_BOOT,
    berth_pull,
    collect_garbage,
    drive,
    finish,
    leases,
    load,
    must_run,
    nothing_more_than,
    pushed,
    snapshots,
    start_driver,
)
from lab import images


def test_only_the_layers_that_are_lacking(ns, engine):
    old, new = images.get("webapp:v1"), images.get("webapp:v2")
    load(ns, engine, old, "127.0.0.1:5/app:v1")
    answer = load(ns, engine, new, "127.0.0.1:5/app:v2")
    assert answer["fed"] == new.layers[-1]["size"]
    assert answer["skipped"] == [layer["digest"] for layer in new.layers[:-1]]
    nothing_more_than(engine, old, new)
    assert load(ns, engine, new, "127.0.0.1:5/app:again")["fed"] == 0
    engine.docker("rmi", "127.0.0.1:5/app:v1", "127.0.0.1:5/app:v2")
    nothing_more_than(engine, new)
    must_run(engine, "127.0.0.1:5/app:again")


@pytest.mark.parametrize("at", range(4))
def test_an_abandoned_session_leaves_nothing(ns, engine, at):
    image = images.get("webapp:v1")
    answer = drive(ns, engine, image, "127.0.0.1:5/app:v1", f"cut={at}")
    assert answer["outcome"] == "cut"
    nothing_more_than(engine)


def test_a_killed_session_is_taken_up(ns, engine):
    image = images.get("tiny125")
    process = start_driver(ns, engine, image, "127.0.0.1:5/app:v1", "slow")
    assert process.stdout.readline() == "half\n"
    process.kill()
    process.communicate()
    assert len(leases(engine)) == 1
    collect_garbage(engine)
    half = len(image.layers) // 2
    assert len({name for name in snapshots(engine) if "berth" not in name}) == half
    answer = load(ns, engine, image, "127.0.0.1:5/app:v1")
    assert answer["skipped"] == [layer["digest"] for layer in image.layers[:half]]
    nothing_more_than(engine, image)


def test_two_at_once(ns, engine):
    image = images.get("tiny125")
    both = [start_driver(ns, engine, image, f"127.0.0.1:5/app:{i}") for i in range(2)]
    for process in both:
        assert finish(process)["outcome"] == "loaded"
    nothing_more_than(engine, image)
    must_run(engine, "127.0.0.1:5/app:0")


def test_leases_of_others(ns, engine):
    """Those of another boot go, those of processes that cannot be judged stay until they expire."""
    ours = f"io.berth.holder={NO_BOOT}.1.1.1"
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    engine.ctr("leases", "create", "--id", "berth-otherboot", ours)
    engine.ctr("leases", "create", "--id", "berth-otherspace", f"io.berth.holder={boot}.1.1.1")
    engine.ctr("leases", "create", "--id", "berth-nobody")
    engine.ctr("leases", "create", "--id", "notberths", ours)
    load(ns, engine, images.get("webapp:v1"), "127.0.0.1:5/app:v1")
    assert leases(engine) == {"berth-otherspace", "berth-nobody", "notberths"}


def test_what_the_dead_left_goes_also_when_there_is_nothing_to_pull(ns, registry, engine):
    reference = pushed("webapp:v1", registry)
    berth_pull(ns, engine, reference)
    engine.ctr("leases", "create", "--id", "berth-otherboot", f"io.berth.holder={NO_BOOT}.1.1.1")
    berth_pull(ns, engine, reference)
    nothing_more_than(engine, images.get("webapp:v1"))


def test_a_layer_that_vanished_is_not_found(ns, engine):
    image = images.get("webapp:v1")
    answer = drive(ns, engine, image, "127.0.0.1:5/app:v1", "claim=1")
    assert (answer["outcome"], answer["kind"]) == ("failed", "not-found")
    load(ns, engine, image, "127.0.0.1:5/app:v1", "whole")
