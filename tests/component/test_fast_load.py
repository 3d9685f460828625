"""--fast-load: Docker reads layers from FIFOs in its spool.

What comes of it, what of a berth that dies, and where it cannot be.
"""

import contextlib
import gzip
import json
import os
import signal
import threading
import time

import pytest
import tap as taps
from lab import Engine, Namespace, Registry, images
from moments import World, at, disarm, kill
from parity import Pair, craft
from service import Berth, binary
from tap import Connection, wait_until
from test_load_pipeline import BUILD, LOAD, MIB, all_images, layer, loads

KINDS = os.environ.get("BERTH_FAST_ENGINES", "docker20,docker26,docker28").split(",")
ON = {"BERTH_FAST_LOAD": "1"}
SOME = ("webapp:v1", "buildx", "schema2", "tiny125")


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    sizes = (4 * MIB, 1000, 2 * MIB, 70_000)
    return craft(tmp_path_factory.mktemp("layers") / "image", [layer(i, size) for i, size in enumerate(sizes)])


@pytest.fixture(scope="module", params=KINDS)
def pair_of_kind(request):
    with Namespace() as ns, contextlib.closing(Pair(ns, request.param)) as pair:
        pair.berth.env |= ON
        yield pair


@pytest.fixture
def pair(pair_of_kind):
    pair_of_kind.clean()
    return pair_of_kind


@pytest.fixture(params=KINDS)
def world(request, ns, image):
    with contextlib.closing(World(ns, request.param, image)) as world:
        world.berth.env |= ON
        yield world


def pulled(world, fast=True, **env):
    done = world.berth.pull(world.image, "--json", env=env)
    assert done.code == 0, done
    answer = json.loads(done.out)
    assert (answer["store"], answer["fast_load"]) == ("load", fast), done
    assert done.err.count("warning") == (not fast), done
    return done


def only_the_image(world):
    """No other image, no directory in the spool: nor is anybody in dockerd, who would remove it, waiting."""
    wait_until(lambda: not world.spool(), 10, lambda: f"{world.spool()}")
    assert [found[0] for found in all_images(world)] == [world.config_digest]


@pytest.mark.parametrize("name", [*SOME, "crafted"])
def test_it_is_what_pull_makes_of_it(pair, image, name):
    answer = pair.pull_both(pair.push(image if name == "crafted" else name))
    assert answer["fast_load"] and answer["store"] == "load"


def test_only_what_is_missing_comes(pair):
    pair.berth.pulled(pair.push("webapp:v1"))
    answer = pair.berth.pulled(pair.push("webapp:v2", tag="v2"))
    assert answer["fast_load"] and answer["layers_fetched"] < answer["layers"]


BAD = {
    "first": lambda good: [lie(0), good(1), good(2)],
    "last": lambda good: [good(0), good(1), lie(2)],
    "large": lambda good: [good(0), lie(1, 6 * MIB), good(2)],
    "torn": lambda good: [good(0), torn(1), good(2)],
}


def lie(seed, size=100_000):
    """Another tar than the one that its diff_id is of."""
    said, _, tar = layer(seed, size)
    return said, gzip.compress(layer(seed + 100, size)[2], 1), tar


def torn(seed):
    said, given, tar = layer(seed, 100_000)
    return said, given[: len(given) // 2], tar


@pytest.mark.parametrize("what", BAD)
def test_a_bad_layer_ends_the_load_with_nothing_left(pair, tmp_path, what):
    reference = pair.push(craft(tmp_path / "bad", BAD[what](lambda seed: layer(seed, 100_000))))
    done = pair.berth.pull(reference)
    assert done.code == 1 and "layer" in done.last_line, done
    assert "documented" not in done.err, done
    pair.nothing_left()
    assert pair.berth.pulled(pair.push("webapp:v1"))["fast_load"]


def test_a_killed_pull_leaves_nothing_to_the_next(world):
    world.docker.watch()
    world.hub.watch()
    pulled(world)
    only_the_image(world)
    steps = [s for s in world.docker.steps if s.request == LOAD and (s.edge != "told" or s.n % 20 == 0)]
    steps += [s for s in world.hub.steps if "/blobs/" in s.request][:: max(1, len(world.hub.steps) // 4)]
    moments = [(step, delay) for step in steps for delay in (0, 0.01)]
    for step, delay in moments[:: max(1, len(moments) // int(os.environ.get("BERTH_FAST_MOMENTS", "8")))]:
        world.remove_all()
        hit = at(world, ("load", step, delay), kill)
        service = world.pull()
        wait_until(lambda: hit.is_set() or service.process.poll() is not None, 60)  # noqa: B023
        service.kill()
        disarm(world)
        done = world.berth.pull(world.image)
        assert done.code == 0 and "warning" not in done.err, (step, done)
        only_the_image(world)


def left_waiting(world):
    """Stopped when dockerd has just been told what to open: nobody opens the other end, if it came in time."""
    uploaded = taps.Step("docker", LOAD, "uploaded", 1)
    stopped = at(world, ("load", uploaded, 0), lambda process: process.send_signal(signal.SIGSTOP))
    service = world.pull()
    wait_until(stopped.is_set, 20)
    time.sleep(0.5)
    service.kill()
    disarm(world)
    time.sleep(1)
    if not world.spool():
        world.remove_all()
    return world.spool()


@pytest.mark.parametrize("fast", ["1", ""])
def test_the_next_run_lets_dockerd_go_that_waits_for_a_dead_one(world, fast):
    assert any(left_waiting(world) for _ in range(10)), "dockerd was to wait"
    done = world.berth.pull(world.image, "--json", env={"BERTH_FAST_LOAD": fast or None})
    assert done.code == 0 and "warning" not in done.err, done
    only_the_image(world)
    world.remove_all()
    pulled(world)


def test_stopped_by_a_signal_it_leaves_nothing(world):
    step = taps.Step("docker", LOAD, "answered", 1)
    hit = at(world, ("load", step, 0), lambda process: process.send_signal(signal.SIGTERM))
    service = world.pull()
    wait_until(hit.is_set, 20)
    assert service.wait(30) != 0
    wait_until(lambda: not world.spool(), 5, lambda: f"{world.spool()}")
    assert not all_images(world)
    disarm(world)
    pulled(world)


def test_a_dockerd_that_is_killed_meanwhile(world):
    step = taps.Step("docker", LOAD, "answered", 1)

    def restart(_):
        world.engine.kill()
        world.engine.start()

    at(world, ("load", step, 0), restart)
    service = world.pull()
    assert service.wait(60) == 0, service.err
    only_the_image(world)


def test_two_at_once_share_what_each_has_brought(world):
    answers = []
    threads = [threading.Thread(target=lambda: answers.append(world.berth.pull(world.image))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [done.code for done in answers] == [0, 0, 0], answers
    only_the_image(world)


class Stubborn(Connection):
    """Says no to a load with FIFOs, or nothing."""

    hang = False

    def _upward(self, data):
        if b"ustar" in data and b"berth." in data:
            if Stubborn.hang:
                threading.Event().wait(8)
            else:
                body = b'{"message":"no such thing"}'
                self.client.sendall(b"HTTP/1.1 500 No\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
            raise OSError("enough")
        return super()._upward(data)


@pytest.mark.parametrize("hang", [False, True])
def test_an_engine_that_will_not_gets_it_the_documented_way(world, hang):
    world.docker.connection = Stubborn
    Stubborn.hang = hang
    done = pulled(world, fast=False)
    assert "documented way" in done.err, done
    only_the_image(world)


class Deaf(Connection):
    """Passes on that there are FIFOs, and then nothing of what is to be opened."""

    def _upward(self, data):
        if b"manifest.json" in data and b"berth." in data:
            threading.Event().wait(6)
            raise OSError("enough")
        return super()._upward(data)


def test_an_engine_that_does_not_open_them_gets_it_the_documented_way(world, monkeypatch):
    monkeypatch.setenv("BERTH", str(BUILD / "tests/component/impatient_berth"))
    world.docker.connection = Deaf
    assert "taken nothing" in pulled(world, fast=False).err
    assert len(loads(world)) >= 2
    only_the_image(world)


@pytest.mark.parametrize("kind", ["docker26c", "podman"])
def test_other_stores_do_as_without(ns, kind):
    with Engine(kind) as engine, Registry(ns) as registry:
        engine.start(ns)
        argv = [f"--containerd-socket={engine.containerd_socket}"] if engine.containerd_store else []
        done = Berth(ns, engine, ON).pull(images.push("webapp:v1", registry, "team/app"), "--json", *argv)
    assert done.code == 0 and not json.loads(done.out)["fast_load"], done
    assert done.err.count("warning") == 1 and "is not the classic one" in done.err, done


HIDDEN = {
    "not there": "mount -t tmpfs tmpfs {0}",
    "not the same": "mkdir -p {0}/tmp && mount -t tmpfs -o mode=700 tmpfs {0}/tmp",
}


@pytest.mark.parametrize("what", HIDDEN)
def test_a_docker_elsewhere_gets_it_the_documented_way(world, what):
    """As with a socket that comes from another machine: its spool is not seen, or another one is."""
    hide = HIDDEN[what].format(world.engine.data_dir)
    argv = ["unshare", "--mount", "sh", "-c", f'{hide} && exec "$@"', "-", binary(), "pull", world.image, "--json"]
    process = world.ns.run(argv, env=world.berth.env, stdout=-1, stderr=-1, text=True)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0 and not json.loads(out)["fast_load"], err
    assert err.count("warning") == 1 and "seen from here" in err, err
    only_the_image(world)


def test_a_docker_behind_tcp_gets_it_the_documented_way(world):
    listener = world.ns.listen()
    taps.Tap("tcp", listener, lambda: taps.unix_connect(world.engine.socket))
    done = pulled(world, fast=False, DOCKER_HOST=f"tcp://127.0.0.1:{listener.getsockname()[1]}")
    assert "socket of this machine" in done.err, done
