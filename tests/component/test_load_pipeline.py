"""Loads in parts, into the classic store: what comes of them, of one that dies, and of an engine that hangs on them."""

import contextlib
import gzip
import json
import os
import random
import threading
import urllib.parse

import pytest
import tap as taps
from fake_docker import HEALTHY, FakeDocker, chunked
from lab.oci import Tar
from moments import World, at, disarm, kill
from parity import Pair, craft
from tap import Connection, wait_until
from test_store import BUILD, DRIVER

KINDS = os.environ.get("BERTH_LOAD_ENGINES", "docker20,docker26").split(",")
MIB = 1 << 20
PARTS = 3
LOAD = "POST /images/load"


def layer(seed, size):
    """What gzip makes about half of."""
    tar = Tar()
    tar.file(f"data-{seed}", random.Random(seed).randbytes(size // 2).hex().encode())
    tar = tar.bytes()
    return "gzip", gzip.compress(tar, 1), tar


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    sizes = (20 * MIB, 20 * MIB, 1000, 20 * MIB, 1000)
    return craft(tmp_path_factory.mktemp("layers") / "image", [layer(i, size) for i, size in enumerate(sizes)])


@pytest.fixture(params=KINDS)
def world(request, ns, image):
    with contextlib.closing(World(ns, request.param, image)) as world:
        yield world


def pulled(world, expect="load"):
    done = world.berth.pull(world.image, "--json")
    assert done.code == 0, done
    assert json.loads(done.out)["store"] == expect, done
    return done


def all_images(world):
    return [(row["Id"], row["Labels"]) for row in json.loads(world.api("GET", "/images/json?all=1")[1])]


def only_the_image(world):
    assert [found[0] for found in all_images(world)] == [world.config_digest], all_images(world)
    wait_until(lambda: not world.spool(), 5, f"{world.spool()}")


def loads(world):
    return [step for step in world.docker.steps if (step.request, step.edge) == (LOAD, "asked")]


@pytest.mark.parametrize("kind", KINDS)
def test_an_image_in_parts_is_what_pull_makes_of_it(kind, ns, image):
    with contextlib.closing(Pair(ns, kind)) as pair:
        pair.pull_both(pair.push(image))
        assert len(pair.ours.docker("images", "-aq").split()) == 1


def test_it_comes_in_parts_and_the_engine_knows_the_digest(world, image):
    world.docker.watch()
    done = pulled(world)
    assert len(loads(world)) == PARTS
    assert "warning" not in done.err
    only_the_image(world)
    found = json.loads(world.api("GET", f"/images/{urllib.parse.quote(world.config_digest)}/json")[1])
    assert found["RepoDigests"] == [f"{world.image.rpartition(':')[0]}@{image.digest}"]


def phases(steps):
    """A step of each kind on the way of each part."""
    seen, last = [], False
    for step in steps:
        last |= step.request == LOAD
        wanted = step.request == LOAD and (step.n <= PARTS or step.edge == "told" and step.n % 40 == 0)
        if wanted or (last and step.request != LOAD):
            seen.append(step)
    return seen


def test_a_killed_pull_leaves_no_temporary_image_to_the_next(world):
    world.docker.watch()
    pulled(world)
    steps = phases(world.docker.steps)
    assert {step.request for step in steps} >= {LOAD, "DELETE /images/sha256:ID"} or len(steps) > 8, steps
    chosen = random.Random(1).sample(steps, min(len(steps), int(os.environ.get("BERTH_LOAD_MOMENTS", "4"))))
    for step in chosen:
        world.remove_all()
        hit = at(world, ("load", step, 0), kill)
        service = world.pull()
        wait_until(lambda: hit.is_set() or service.process.poll() is not None, 60)  # noqa: B023
        service.kill()
        disarm(world)
        done = world.berth.pull(world.image)
        assert done.code == 0, (step, done)
        # What the engine had whole when berth died becomes an image a little later.
        wait_until(lambda: not world.spool(), 10, f"{world.spool()}")
        assert world.berth.pull(world.image).code == 0
        only_the_image(world)


def test_the_parts_of_a_killed_pull_are_not_fetched_again(world):
    last = taps.Step("docker", LOAD, "asked", PARTS)
    world.docker.watch()
    hit = at(world, ("load", last, 0.5), kill)
    service = world.pull()
    wait_until(lambda: hit.is_set(), 60)
    service.kill()
    disarm(world)
    wait_until(lambda: all_images(world), 10, "a temporary image")
    done = world.berth.pull(world.image, "--json")
    assert done.code == 0, done
    assert json.loads(done.out)["layers_fetched"] < 6, done
    only_the_image(world)


def test_temporary_images_that_are_pruned_meanwhile_are_sent_again(world):
    second = taps.Step("docker", LOAD, "asked", PARTS)
    threads = []

    def prune():
        for _ in range(40):
            world.engine.docker("image", "prune", "--force")

    def begin():
        threads.append(threading.Thread(target=prune, daemon=True))
        threads[0].start()

    world.docker.watch(second, begin)
    pulled(world)
    threads[0].join()
    only_the_image(world)


class Stubborn(Connection):
    """Says no to loads, or nothing."""

    times, hang = 0, False

    def _upward(self, data):
        if data.startswith(b"POST ") and b"/images/load" in data[:60] and Stubborn.times:
            Stubborn.times -= 1
            if Stubborn.hang:
                threading.Event().wait(30)
            else:
                body = b'{"message":"authorization denied by plugin"}'
                self.client.sendall(b"HTTP/1.1 403 Forbidden\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
            raise OSError("enough")
        return super()._upward(data)


def stubborn(world, times, hang):
    world.docker.connection = Stubborn
    Stubborn.times, Stubborn.hang = times, hang


def test_where_loads_in_parts_are_refused_it_is_one(world):
    stubborn(world, 1, False)
    done = pulled(world)
    assert done.err.count("authorization denied") == 1, done
    assert len(loads(world)) == 1
    only_the_image(world)


def test_an_engine_that_hangs_on_loads_pulls_by_itself(world, monkeypatch):
    monkeypatch.setenv("BERTH", str(BUILD / "tests/component/impatient_berth"))
    stubborn(world, 100, True)
    done = pulled(world, "daemon")
    assert "letting Docker pull the image itself" in done.err, done
    only_the_image(world)
    status, found = world.api("GET", f"/images/{urllib.parse.quote(world.image)}/json")
    assert status == 200 and json.loads(found)["Id"] == world.config_digest


HOSTILE = {
    "an error at once": (chunked('{"errorDetail":{"message":"no"},"error":"no"}\n'), "failed"),
    "a success that is none": (chunked('{"stream":"Loaded image: x"}\n'), "refused"),
    "nothing but a success": (chunked(""), "refused"),
    "no JSON": (chunked("<html>" * 10), None),
    "a break": (chunked('{"status":"Loading"}\n', end=False), "network"),
    "not found": ((404, {"message": "page not found"}), "not-found"),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_a_hostile_engine_ends_the_load(ns, image, what, tmp_path):
    answer, kind = HOSTILE[what]
    script = HEALTHY | {"/images/json": (200, []), "/images/load": answer}
    with FakeDocker(tmp_path / "docker.sock", script) as fake:
        process = ns.run(
            [DRIVER, fake.host, image.layout, image.digest, "127.0.0.1:5/x:y"], stdout=-1, stderr=-1, text=True
        )
        out, err = process.communicate(timeout=60)
    found = json.loads(out)
    assert found["outcome"] == "failed" and (kind is None or found["kind"] == kind), found
