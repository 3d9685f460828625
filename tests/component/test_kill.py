"""SIGKILL of berth at any moment of its talks with Docker and the registry: the next run finds one truth."""

import json
import os
import threading
import time

import pytest
from moments import Sampler, World, at, by_phase, disarm, kill
from tap import unix_listener, wait_until

# Hits in each phase: scaled down for engines that are tried besides the first.
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
    """{phase: hits} as this run is to have them."""
    share = 1 if world.kind == KINDS[0] else 0.3
    return {phase: CAMPAIGN or max(2, round(number * share)) for phase, number in wanted.items()}


def until_hit_or_over(service, done, settled=lambda: True):
    ready_for = []

    def over():
        if done.is_set() or service.process.poll() is not None:
            return True
        if not settled():
            return False
        if (health := service.health()) and health[0] == 200:
            ready_for.append(time.monotonic())
        return ready_for and time.monotonic() > ready_for[0] + 1.2  # one more probe: nothing else will come

    wait_until(over, 60, lambda: f"nothing happens\n{service.err}")


def campaign(world, name, steps, wanted, prepare, start, recover, settled=lambda: True):
    """Kill what start() runs at chosen moments, and see that recover(number of the moment) finds all well."""
    sampler = Sampler(f"{name} ({world.kind})")
    try:
        for i, moment in enumerate(sampler.choose(steps, scaled(world, wanted))):
            count = sampler.counts[moment[0]]
            count["moments"] += 1
            prepare()
            done = at(world, moment, kill)
            service = start()
            until_hit_or_over(service, done, settled)
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


def test_a_killed_pull_is_done_by_the_next_one(world):
    def pull_again(_=0):
        done = world.berth.pull(world.image, "--json")
        assert done.code == 0, done
        assert world.api("GET", f"/images/{json.loads(done.out)['id']}/json")[0] == 200
        world.nothing_left()

    steps = recorded(world, pull_again)
    wanted = dict.fromkeys(("connect", "resolve", "upload", "commit"), 6)
    campaign(world, "pull, killed", steps, wanted, world.remove_all, world.pull, pull_again)


def test_the_next_note_replaces_what_a_killed_one_left(world):
    world.berth.state_dir.mkdir()
    left = world.berth.state_dir / "state.json.new"
    left.write_text("{")
    assert world.berth.pull(world.image).code == 0
    assert not left.exists()


def test_a_killed_up_is_continued_by_the_next_one(world):
    steps = recorded(world, world.serves)
    wanted = {"find": 3, "resolve": 3, "upload": 3, "commit": 3, "create": 6, "start": 6, "probe": 6}
    campaign(world, "up, killed", steps, wanted, world.remove_all, world.up, lambda _: world.serves())


def test_a_killed_replacement_leaves_one_truth(world):
    """The next run has the options that were to come, or, every third time, those from before."""

    def options(n):
        return ("-e", f"CONFIGURATION={n}")

    def prepare():
        world.remove_containers()
        world.serves(*options("now"))
        world.create("web-prev", {"io.berth.name": "web"})

    def settled(n=None):
        """One serves, made with options n, and nobody is at work on another."""
        there = world.containers()
        if any(state == "running" for name, (_, state) in there.items() if name != "web") or "web-next" in there:
            return False
        return not n or ("web" in there and f"CONFIGURATION={n}" in world.api("GET", "/containers/web/json")[1].decode())

    def recover(i):
        n = "next" if i % 3 else "now"
        service = world.up(*options(n))
        # Killed between the last change of names and the note of it, the new one is what somebody deployed.
        wait_until(lambda: settled("next" if i % 3 else None), 60, lambda: f"{world.containers()}\n{service.err}")
        # the one before may have gone already, to make room for this one
        world.finds_its_way(service, also=("web-prev",))

    prepare()
    steps = recorded(world, lambda: recover(1))
    wanted = {"replace": 8, "create": 5, "start": 4, "probe": 3}
    campaign(
        world,
        "replacement, killed",
        steps,
        wanted,
        prepare,
        lambda: world.up(*options("next")),
        recover,
        lambda: settled("next"),
    )


class Outage:
    """dockerd ends, and nobody listens; or it does, and systemd holds its socket open meanwhile; or it is told to end."""

    WAYS = ("killed", "killed, activated by its socket", "told to end")

    def __init__(self, world, i):
        self.world, self.way, self.begun = world, self.WAYS[i % len(self.WAYS)], False
        self.lock = threading.Lock()

    def begin(self):
        """Once: a moment that comes late may meet who has given it up."""
        with self.lock:
            if self.begun:
                return
            if "socket" in self.way:
                self.world.docker.open.clear()
            elif "told" not in self.way:
                self.world.docker.refuse()
            (self.world.engine.shut_down if "told" in self.way else self.world.engine.kill)()
            self.begun = True

    def end(self):
        self.world.engine.start()
        if "socket" in self.way:
            self.world.docker.open.set()
        elif "told" not in self.way:
            self.world.docker.listen(unix_listener(self.world.socket))


def restart_docker_if_asked(world, service):
    """Docker may have lost a port in its death, for which there is no other cure. berth says so, and goes on by itself."""

    def settled():
        health = service.health()
        return "`systemctl restart docker`" in service.err or (health and health[0] == 200)

    wait_until(settled, 60, lambda: f"neither ready nor wanting a restart\n{service.err}")
    if "`systemctl restart docker`" in service.err:
        world.engine.shut_down()
        world.engine.start()


def crashes(world, name, steps, wanted, start, recover, both=False):
    """As campaign(), but dockerd dies, `both`: and berth too. recover(service) comes after dockerd is back."""
    sampler = Sampler(f"{name} ({world.kind})")
    try:
        for i, moment in enumerate(sampler.choose(steps, scaled(world, wanted))):
            count = sampler.counts[moment[0]]
            count["moments"] += 1
            world.remove_all()
            outage = Outage(world, i)

            def action(process, outage=outage):
                outage.begin()
                if both:
                    kill(process)

            done = at(world, moment, action)
            service = start()
            until_hit_or_over(service, done)
            disarm(world)
            if outage.begun:
                assert done.wait(20)
                count["hit"] += 1
            else:
                action(service.process)
            outage.end()
            try:
                recover(service)
            except BaseException:
                print(f"\ndockerd died at {moment}, {outage.way}; berth said\n{service.err}")
                raise
            count["recovered"] += 1
    finally:
        sampler.print()


def test_up_recovers_by_itself_when_dockerd_dies(world):
    def recover(service):
        restart_docker_if_asked(world, service)
        world.finds_its_way(service)

    steps = recorded(world, world.serves)
    wanted = {"find": 1, "resolve": 1, "upload": 2, "commit": 2, "create": 2, "start": 2, "probe": 2}
    crashes(world, "up, dockerd killed", steps, wanted, world.up, recover)


def test_pull_recovers_or_says_that_it_is_worth_retrying_when_dockerd_dies(world):
    def recover(service):
        code = service.wait()
        assert code in (0, 75), service.err
        done = world.berth.pull(world.image, "--json")
        assert done.code == 0, done
        assert world.api("GET", f"/images/{json.loads(done.out)['id']}/json")[0] == 200
        world.nothing_left()

    steps = recorded(world, world.serves)
    wanted = {"connect": 1, "resolve": 2, "upload": 3, "commit": 3}
    crashes(world, "pull, dockerd killed", steps, wanted, world.pull, recover)


def test_after_a_power_cut_up_serves(world):
    steps = recorded(world, world.serves)
    wanted = {"upload": 2, "commit": 2, "create": 2, "start": 2, "probe": 2}

    def recover(_):
        service = world.up()
        restart_docker_if_asked(world, service)
        world.finds_its_way(service)

    crashes(world, "power cut", steps, wanted, world.up, recover, both=True)


def test_what_ended_with_dockerd_is_started_and_what_was_stopped_is_not(world):
    """A dockerd that crashed ends what it finds running, and leaves `unless-stopped` down."""
    service = world.up()
    service.ready()
    outage = Outage(world, 0)
    outage.begin()
    outage.end()
    service.wait_line("web had ended with Docker; started it again")
    wait_until(lambda: (service.health() or (0,))[0] == 200 and world.app() == 200, 30)
    world.api("POST", "/containers/web/stop")
    service.wait_health(503)
    outage = Outage(world, 0)
    outage.begin()
    outage.end()
    wait_until(lambda: len([s for s in world.docker.steps if s.request == "GET /events"]) >= 3, 30)
    service.wait_health(503)
    assert world.containers()["web"][1] == "exited"
