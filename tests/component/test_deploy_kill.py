"""SIGKILL of `berth deploy` at any moment of its talks with Docker: the service answers, and the next up finds one truth."""

import json
import os
import random
import re
import shutil
import signal
import subprocess
import urllib.parse

import pytest
from deploy_steps import variant
from lab import images
from moments import PORTS, SEED, Sampler, World, at, by_phase, disarm, kill
from service import binary
from tap import wait_until

MOMENTS = {"find": 3, "create": 4, "start": 3, "probe": 4, "replace": 8}
# BERTH_KILLS: so many in all, in equal shares, for each strategy.
CAMPAIGN = int(os.environ.get("BERTH_KILL_MOMENTS", "0")) or -(-int(os.environ.get("BERTH_KILLS", "0")) // len(MOMENTS))
KINDS = os.environ.get("BERTH_KILL_ENGINES", "docker20").split(",")
DEPLOY = (*PORTS, "--force", "--drain-timeout", "1s")


@pytest.fixture(params=KINDS)
def world(request, ns):
    world = World(ns, request.param, "webapp:v1")
    try:
        yield world
    finally:
        world.close()


def deploy(world, *argv):
    done = world.berth.run("deploy", world.image, *DEPLOY, *argv)
    assert done.code == 0, done


def over_after(service, done):
    wait_until(lambda: done.is_set() or service.process.poll() is not None, 60, lambda: service.err)


def one_truth(world, strategy):
    """One container runs, and clients are led there and nowhere else."""
    assert [name for name, row in world.containers().items() if row[1] == "running"] == ["web"]
    switch = json.loads(world.berth.run("status", "--name", "web", "--json").out).get("switch")
    if strategy == "recreate":
        assert not switch
    else:
        assert switch["nat"] == "leads" and switch["container"] == world.containers()["web"][0]
    rules = world.ns.check(["iptables-save", "-t", "nat"])
    assert rules.count("-j BERTH-web\n") == (0 if strategy == "recreate" else 1), rules


@pytest.mark.parametrize("strategy", ["blue-green", "recreate"])
@pytest.mark.parametrize("phase", MOMENTS)
def test_a_killed_deploy_leaves_one_truth(world, strategy, phase):
    def prepare():
        world.remove_all()
        deploy(world)
        deploy(world, "--strategy", strategy)

    prepare()
    for tap in world.taps:
        tap.watch()
    deploy(world, "--strategy", strategy)
    steps = by_phase(world, [*world.hub.steps, *world.docker.steps])
    sampler = Sampler(f"deploy by {strategy}, killed ({world.kind})")
    for moment in sampler.choose(steps, {phase: CAMPAIGN or MOMENTS[phase]}):
        done = at(world, moment, kill)
        service = world.start("deploy", world.image, *DEPLOY, "--strategy", strategy)
        over_after(service, done)
        service.kill()
        disarm(world)
        sampler.counts[phase].update({"moments": 1, "hit": done.is_set()})
        try:
            if strategy == "blue-green":
                assert any(state == "running" for _, state in world.containers().values())
            world.serves(also=("web-prev",))
        except BaseException:
            print(f"\nkilled at {moment}; it had said\n{service.err}")
            raise
        one_truth(world, strategy)
        sampler.counts[phase]["recovered"] += 1
    sampler.print()


PULL_MOMENTS = {"resolve": 2, "upload": 3, "commit": 3}


def forget_new_image(world):
    """The generation that is not web's has never been here."""
    world.api("DELETE", "/containers/web-prev?force=1")
    for row in json.loads(world.api("GET", "/images/json?all=1")[1]):
        world.api("DELETE", f"/images/{urllib.parse.quote(row['Id'])}")  # not that of a container


@pytest.mark.parametrize("phase", PULL_MOMENTS)
def test_a_deploy_killed_while_it_pulls_changes_nothing(world, phase, tmp_path):
    world.remove_all()
    deploy(world)
    deploy(world)
    data = random.Random(SEED).randbytes(2 << 20)
    images.push_image(variant(tmp_path / "newer", "v2", data), world.registry, "team/web", "latest")
    for tap in world.taps:
        tap.watch()
    deploy(world)
    steps = by_phase(world, [*world.hub.steps, *world.docker.steps])
    assert world.berth.run("rollback", "--name", "web", "--drain-timeout", "1s").code == 0
    first = world.containers()["web"]
    sampler = Sampler(f"deploy, killed while it pulls ({world.kind})")
    for moment in sampler.choose(steps, {phase: CAMPAIGN or PULL_MOMENTS[phase]}):
        forget_new_image(world)
        done = at(world, moment, kill)
        service = world.start("deploy", world.image, *DEPLOY)
        over_after(service, done)
        service.kill()
        disarm(world)
        sampler.counts[phase].update({"moments": 1, "hit": done.is_set()})
        try:
            world.serves(also=("web-prev",))
            one_truth(world, "blue-green")
            if service.process.returncode == -signal.SIGKILL:
                assert world.containers()["web"] == first
            else:
                assert world.berth.run("rollback", "--name", "web", "--drain-timeout", "1s").code == 0
        except BaseException:
            print(f"\nkilled at {moment}; it had said\n{service.err}")
            raise
        sampler.counts[phase]["recovered"] += 1
    sampler.print()


DOCKERD_KILLS = int(os.environ.get("BERTH_DOCKERD_KILLS", "3"))


def test_a_dockerd_killed_during_a_deploy_leaves_one_truth(world):
    """The deploy ends by itself, one way or the other."""
    world.remove_all()
    deploy(world)
    deploy(world)
    for tap in world.taps:
        tap.watch()
    deploy(world)
    steps = by_phase(world, [step for step in world.docker.steps if step.edge != "told"])
    sampler, ends = Sampler(f"deploy, dockerd killed ({world.kind})"), []
    phases = ["start", "replace", "create", "probe", "find"]
    wanted = {phase: len(range(i, DOCKERD_KILLS, len(phases))) for i, phase in enumerate(phases)}
    for moment in sampler.choose(steps, {phase: n for phase, n in wanted.items() if n}):
        begun = []

        def outage(process, begun=begun):
            if process.poll() is not None:
                raise ProcessLookupError
            begun.append(True)
            world.engine.kill()

        done = at(world, moment, outage)
        service = world.start("deploy", world.image, *DEPLOY)
        over_after(service, done)  # which may hear of it before this thread does
        disarm(world)
        done.wait(moment[2] + 0.2)  # it may begin only now
        sampler.counts[moment[0]].update({"moments": 1, "hit": bool(begun)})
        if begun:
            assert done.wait(20)
            world.engine.start()
        try:
            ends.append((moment[0], bool(begun), service.wait(150)))
            assert ends[-1][2] in (0, 1, 75)
            world.serves(also=("web-prev",))
            one_truth(world, "blue-green")
        except BaseException:
            print(f"\ndockerd killed at {moment}; it had said\n{service.err}")
            raise
        sampler.counts[moment[0]]["recovered"] += 1
    sampler.print()
    print(ends)
    assert any(hit for _, hit, _ in ends)


# What changes something outside the process: files, the engine, the registry, netfilter, other programs.
CALLS = (
    "rename renameat renameat2 unlink unlinkat mkdir mkdirat ftruncate write pwrite64 writev sendto sendmsg "
    "clone clone3 vfork kill"
).split()
SYSCALLS = os.environ.get("BERTH_KILL_SYSCALLS", "6")  # how many of them, or `all`


def calls_of(text):
    """[(name, which of that name)] of one process, in the order of time."""
    counts, found = {}, []
    for name in re.findall(r"^(\w+)\(", text, re.M):
        counts[name] = counts.get(name, 0) + 1
        found.append((name, counts[name]))
    return found


@pytest.mark.skipif(not shutil.which("strace"), reason="strace is not installed")
def test_a_deploy_killed_at_a_system_call_leaves_one_truth(world, tmp_path):
    world.remove_all()
    deploy(world)
    deploy(world)
    argv = ["deploy", world.image, *DEPLOY]
    trace = tmp_path / "trace"
    wanted = ",".join("?" + call for call in CALLS)
    assert under(world, ["strace", "-qq", "-o", trace, "-e", f"trace={wanted}"], argv) == 0
    calls = calls_of(trace.read_text())
    number = len(calls) if SYSCALLS == "all" else int(SYSCALLS)
    chosen = sorted(random.Random(f"{SEED} calls").sample(range(len(calls)), min(number, len(calls))))
    hits = 0
    for name, nth in (calls[i] for i in chosen):
        code = under(world, ["strace", "-qq", "-o", "/dev/null", "-e", f"inject={name}:signal=KILL:when={nth}"], argv)
        hits += code != 0
        try:
            assert any(state == "running" for _, state in world.containers().values())
            world.serves(also=("web-prev",))
            one_truth(world, "blue-green")
        except BaseException:
            print(f"\nkilled at {name} {nth}")
            raise
    print(f"\n{hits} kills at {len(chosen)} of {len(calls)} system calls")
    assert hits * 3 >= len(chosen) * 2


def under(world, strace, argv):
    process = world.ns.run(
        [*strace, binary(), *argv], env=world.berth.env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    return process.wait(120)
