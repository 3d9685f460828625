"""SIGKILL of berth at any moment of its talks with Docker and the registry: the next run finds one truth."""

import json
import os
import time

import pytest
from moments import Sampler, World, at, by_phase, disarm, kill
from tap import wait_until

# Moments per phase: scaled down for engines that are tried besides the first; a campaign takes hundreds.
CAMPAIGN = int(os.environ.get("BERTH_KILL_MOMENTS", "0"))
KINDS = os.environ.get("BERTH_KILL_ENGINES", "docker20,docker26c").split(",")


@pytest.fixture(params=KINDS)
def world(request, ns):
    world = World(ns, request.param, "webapp:health")
    try:
        yield world
    finally:
        world.close()


def recorded(world, action):
    """The steps of an undisturbed run, by phase."""
    for tap in world.taps:
        tap.watch()
    action()
    return by_phase(world, [*world.hub.steps, *world.docker.steps])


def scaled(world, wanted):
    """{phase: moments} as this run is to have them."""
    share = 1 if world.kind == KINDS[0] else 0.3
    return {phase: CAMPAIGN or max(2, round(number * share)) for phase, number in wanted.items()}


def until_hit_or_over(service, done):
    ready_for = []

    def over():
        if done.is_set() or service.process.poll() is not None:
            return True
        if (health := service.health()) and health[0] == 200:
            ready_for.append(time.monotonic())
        return ready_for and time.monotonic() > ready_for[0] + 1.2  # one more probe: nothing else will come

    wait_until(over, 60, f"nothing happens\n{service.err}")


def campaign(world, name, steps, wanted, prepare, start, recover):
    """Kill what start() runs at chosen moments, and see that recover(number of the moment) finds all well."""
    sampler = Sampler(f"{name} ({world.kind})")
    try:
        for i, moment in enumerate(sampler.choose(steps, scaled(world, wanted))):
            count = sampler.counts[moment[0]]
            count["moments"] += 1
            prepare()
            done = at(world, moment, kill)
            service = start()
            until_hit_or_over(service, done)
            service.kill()
            disarm(world)
            count["hit"] += done.is_set()
            try:
                recover(i)
            except BaseException:
                print(f"\nkilled at {moment}; it had said\n{service.err}")
                raise
            count["recovered"] += 1
    finally:
        sampler.print()
    for phase, count in sampler.counts.items():
        assert count["hit"] * 2 >= count["moments"], phase


def test_a_killed_pull_is_done_by_the_next_one(world):
    def pull_again(_=0):
        done = world.berth.pull(world.image, "--json")
        assert done.code == 0, done
        assert world.api("GET", f"/images/{json.loads(done.out)['id']}/json")[0] == 200
        world.nothing_left()

    steps = recorded(world, pull_again)
    wanted = dict.fromkeys(("connect", "resolve", "upload", "commit"), 10)
    campaign(world, "pull, killed", steps, wanted, world.remove_all, world.pull, pull_again)


def test_a_killed_up_is_continued_by_the_next_one(world):
    steps = recorded(world, world.serves)
    wanted = {"find": 3, "resolve": 3, "upload": 3, "commit": 3, "create": 10, "start": 10, "probe": 10}
    campaign(world, "up, killed", steps, wanted, world.remove_all, world.up, lambda _: world.serves())


def test_a_killed_replacement_leaves_one_truth(world):
    """The next run has the options that were to come, or, every third time, those from before."""

    def options(n):
        return ("-e", f"CONFIGURATION={n}")

    def prepare():
        world.remove_containers()
        world.serves(*options("now"))
        world.create("web-prev", {"io.berth.name": "web"})

    def recover(i):
        if i % 3:
            world.serves(*options("next"), names=("web", "web-prev"))
        else:
            # the one before may have gone already, to make room for this one
            world.serves(*options("now"), also=("web-prev",))

    prepare()
    steps = recorded(world, lambda: recover(1))
    wanted = {"replace": 12, "create": 8, "start": 6, "probe": 4}
    campaign(
        world, "replacement, killed", steps, wanted, prepare, lambda: world.up(*options("next")), recover
    )
