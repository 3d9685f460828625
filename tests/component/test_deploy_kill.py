"""SIGKILL of `berth deploy` at any moment of its talks with Docker: the service answers, and the next up finds one truth."""

import os

import pytest
from moments import PORTS, Sampler, World, at, by_phase, disarm, kill
from tap import wait_until

MOMENTS = {"find": 3, "create": 4, "start": 3, "probe": 4, "replace": 8}
CAMPAIGN = int(os.environ.get("BERTH_KILL_MOMENTS", "0"))
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
    hits = []
    for moment in sampler.choose(steps, {phase: CAMPAIGN or MOMENTS[phase]}):
        done = at(world, moment, kill)
        service = world.start("deploy", world.image, *DEPLOY, "--strategy", strategy)
        over_after(service, done)
        service.kill()
        disarm(world)
        hits.append(done.is_set())
        try:
            if strategy == "blue-green":
                assert any(state == "running" for _, state in world.containers().values())
            world.serves(also=("web-prev",))
        except BaseException:
            print(f"\nkilled at {moment}; it had said\n{service.err}")
            raise
        assert [name for name, row in world.containers().items() if row[1] == "running"] == ["web"]
    assert sum(hits) * 2 >= len(hits), hits
