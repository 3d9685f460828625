"""A world for tests that interrupt: an engine and a registry behind taps, and what must be true afterwards."""

import collections
import contextlib
import itertools
import json
import os
import random
import shutil
import signal
import threading
import time
import urllib.parse
from pathlib import Path

import tap as taps
from lab import Engine, Registry, images
from service import Berth, Service, request
from tap import Tap, wait_until

PORTS = ("-p", "80:3000")
SEED = int(os.environ.get("BERTH_KILL_SEED", "1"))
ABOVE_ALL = 90  # s: longer than any recovery here, with two cores shared

# What berth leaves in --run-dir besides its lock: locks that nobody holds, and where the switch leads.
KEPT = ("deploying", "switch")

PHASES = ("connect", "find", "resolve", "upload", "commit", "replace", "create", "start", "probe")


class World:
    """Engine, registry and berth; berth reaches both through taps only."""

    def __init__(self, ns, kind, image="webapp:v1"):
        self.ns, self.kind = ns, kind
        self.engine = Engine(kind).start(ns)
        self.registry = Registry(ns)
        self.socket = ns.run_dir / "tap.sock"
        listener = ns.listen()
        self.docker = Tap("docker", taps.unix_listener(self.socket), lambda: taps.unix_connect(self.engine.socket))
        self.hub = Tap("registry", listener, lambda: ns.connect(self.registry.address, self.registry.port))
        self.taps = (self.docker, self.hub)
        image = images.get(image) if isinstance(image, str) else image
        pushed = images.push_image(image, self.registry, "team/web", "latest")
        self.image = pushed.replace(self.registry.host, f"127.0.0.1:{listener.getsockname()[1]}")
        self.config_digest = image.config_digest
        self.berth = Berth(ns, self.engine, env={"DOCKER_HOST": f"unix://{self.socket}"})
        self.sessions, self.running = [], None

    def close(self):
        self.berth.close()
        for one in self.taps:
            one.refuse()
        self.registry.stop()
        self.engine.stop()

    # --- berth: in sessions of its own, so that what it leaves running can be found

    def start(self, *argv, **popen):
        """A running berth; its stdout is not looked at."""
        service = Service(self.berth, argv, None, {"start_new_session": True, **popen})
        self.berth.services.append(service)
        self.sessions.append(service.process.pid)
        self.running = service.process
        return service

    def up(self, *argv, **popen):
        return self.start("up", self.image, *PORTS, *argv, **popen)

    def pull(self, **popen):
        return self.start("pull", self.image, **popen)

    # --- the engine, asked directly

    def api(self, method, path, body=None):
        return self.engine.api(method, path, body)

    def containers(self):
        """{name: (id, state)}"""
        status, body = self.api("GET", "/containers/json?all=1")
        assert status == 200, body
        return {row["Names"][0].strip("/"): (row["Id"], row["State"]) for row in json.loads(body)}

    def create(self, name, labels):
        """A container that never ran."""
        status, body = self.api("POST", f"/containers/create?name={name}", {"Image": self.image, "Labels": labels})
        assert status == 201, body

    def remove_containers(self):
        for row in self.containers().values():
            self.api("DELETE", f"/containers/{row[0]}?force=1&v=1")

    def remove_all(self):
        """Back to a machine that has never seen the image, nor berth."""
        self.remove_containers()
        for row in json.loads(self.api("GET", "/images/json?all=1")[1]):
            self.api("DELETE", f"/images/{urllib.parse.quote(row['Id'])}?force=1")
        for path in (self.berth.state_dir, self.berth.run_dir):
            shutil.rmtree(path, ignore_errors=True)
        self.berth.services.clear()
        self.sessions.clear()
        self.running = None

    # --- what must be true

    def spool(self):
        """What the engine has not removed of what it was sent."""
        return sorted(p.name for p in (self.engine.data_dir / "tmp").glob("*"))

    def survivors(self):
        """Processes of berth's sessions: (pid, argv)."""
        found = []
        for stat in Path("/proc").glob("[0-9]*/stat"):
            try:
                fields = stat.read_text().rpartition(")")[2].split()
                argv = (stat.parent / "cmdline").read_text().replace("\0", " ")
            except OSError:
                continue
            if int(fields[3]) in self.sessions and fields[0] not in "ZX":
                found.append((stat.parent.name, argv))
        return found

    def nothing_left(self, run=()):
        """No process, no spool, no file besides these. A writer that was killed leaves one, until the next writes."""
        state = ("state.json", "state.json.new", "state.lock")
        wait_until(lambda: not self.survivors(), 3, lambda: self.survivors())
        self.sessions.clear()  # their numbers are given to others sooner or later
        wait_until(lambda: not self.spool(), 5, lambda: f"{self.engine.data_dir}/tmp: {self.spool()}")
        for where, allowed in ((self.berth.run_dir, run), (self.berth.state_dir, state)):
            there = {p.name for p in where.glob("*")} if where.exists() else set()
            assert there <= set(allowed), f"{where}: {sorted(there)}"

    def app(self):
        try:
            return request(self.ns, 80, "/")[0]
        except OSError:
            return None

    def serves(self, *argv, names=("web",), also=()):
        """Run `up` to its end: ready, 200, the containers `names` and no others but `also`, nothing left."""
        self.finds_its_way(self.up(*argv), names, also)

    def finds_its_way(self, service, names=("web",), also=()):
        """As serves(), with one that runs; what it says may be from before an outage: 200 is from the app, too."""

        def serves():
            assert service.process.poll() is None, service.err
            ready = (service.health() or (0,))[0] == 200 and self.app() == 200
            # what a death has left is drained beside the service
            return ready and [name for name, row in self.containers().items() if row[1] == "running"] == ["web"]

        wait_until(serves, ABOVE_ALL, lambda: f"not ready\n{service.err}")
        there = self.containers()
        assert set(names) <= set(there) <= {*names, *also}, f"{there}\n{service.err}"
        assert service.stop() == 0, service.err
        assert self.containers().keys() == there.keys()
        assert self.containers()["web"][1] == "running", service.err
        self.nothing_left(run=("web.lock", *KEPT))


class Sampler:
    """Chooses moments, seeded; counts what became of them, for the histogram."""

    def __init__(self, name):
        self.name, self.random = name, random.Random(f"{SEED} {name}")
        self.counts = collections.defaultdict(collections.Counter)

    def choose(self, steps_by_phase, wanted):
        """(phase, step, delay) of each phase in `wanted`, {phase: hits}, until there were so many.

        At the step itself first, which then is not forwarded; when there are too few, some time
        after. No two runs are alike: after a miss comes the first step of the phase, which all have.
        """
        for phase, number in wanted.items():
            steps = steps_by_phase.get(phase, [])
            assert steps, f"no step of phase {phase}"
            held = self.random.sample(steps, min(len(steps), (number + 1) // 2))
            later = itertools.repeat(None)
            moments = itertools.chain(
                ((phase, step, 0) for step in held),
                ((phase, self.random.choice(steps), self.random.uniform(0, 0.04)) for _ in later),
            )
            count, again = self.counts[phase], None
            while count["hit"] < number:
                before = count["hit"]
                yield again or next(moments)
                missed = count["hit"] == before
                assert not (missed and again), f"phase {phase} never came again"
                again = (phase, steps[0], 0) if missed else None

    def print(self):
        print(f"\n{self.name}: seed {SEED}\n  {'phase':<10}{'moments':>8}{'hit':>6}{'recovered':>11}")
        for phase in PHASES:
            if row := self.counts.get(phase):
                print(f"  {phase:<10}{row['moments']:>8}{row['hit']:>6}{row['recovered']:>11}")


def by_phase(world, steps):
    """Recorded steps of one run, in the order of time, sorted into the phases."""
    found = collections.defaultdict(list)
    started = created = loaded = uploaded = False
    for step in steps:
        method, _, path = step.request.partition(" ")
        if step.peer == "registry":
            is_layer = "/blobs/" in path and world.config_digest not in path
            phase = "upload" if is_layer else "resolve"
        elif path == "/images/load":
            loaded = True
            uploaded |= step.edge == "uploaded"
            phase = "commit" if uploaded or step.edge in ("answered", "told") else "upload"
        elif method == "DELETE" or path.endswith(("/rename", "/stop")):
            phase = "replace"
        elif path == "/containers/create":
            created, phase = True, "create"
        elif path.endswith("/start") and path.startswith("/containers/"):
            started, phase = True, "start"
        elif path.startswith("/images"):
            phase = "commit" if loaded else "resolve"
        elif started:
            phase = "probe"
        elif path in ("/_ping", "/version", "/info"):
            phase = "connect"
        else:
            phase = "find" if not created else "create"
        found[phase].append(step)
    return found


def at(world, moment, action):
    """Arm: action(process of the berth that runs then) at that moment. The event that says so."""
    _, step, delay = moment
    tap = next(t for t in world.taps if t.peer == step.peer)
    done = threading.Event()

    def act(process):
        action(process)
        done.set()

    def later(process):
        time.sleep(delay)
        with contextlib.suppress(ProcessLookupError):  # it was over before: no hit
            act(process)

    def begin():
        process = wait_until(lambda: world.running)  # the one of this moment, whoever runs when it is over
        if delay:
            threading.Thread(target=later, args=(process,), daemon=True).start()
        else:
            act(process)

    world.running = None
    disarm(world)
    tap.watch(step, begin)
    return done


def disarm(world):
    for one in world.taps:
        one.watch()


def kill(process):
    """SIGKILL to it and its children, and wait for the end: they hear nothing more."""
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
