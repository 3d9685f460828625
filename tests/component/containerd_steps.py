"""What the tests of the containerd store share: engines of a whole file, berth against them, and what must be left."""

import functools
import json
import os
import subprocess
from pathlib import Path

import lab
import pytest
from conftest import wanted_kinds
from lab import images

BUILD = Path(os.environ.get("BERTH_BUILD", Path(__file__).resolve().parents[2]))
DRIVER = BUILD / "tests/component/driver_store"
BERTH = Path(os.environ.get("BERTH") or BUILD / "berth")
NO_BOOT = "00000000-0000-0000-0000-000000000000"


def pytest_generate_tests(metafunc):
    """Of the engines that are to be tested, those with this store."""
    if "kind" in metafunc.fixturenames:
        kinds = [kind for kind in wanted_kinds(metafunc.config) if kind.endswith("c")]
        metafunc.parametrize("kind", kinds, scope="module")


@pytest.fixture(scope="module", autouse=True)
def built():
    if not DRIVER.exists() or not BERTH.exists():
        pytest.skip(f"{DRIVER} is not built (make)")


@pytest.fixture(scope="module")
def ns():
    with lab.Namespace() as namespace:
        yield namespace


@pytest.fixture(scope="module")
def shared_engine(ns, kind):
    with lab.Engine(kind) as started:
        yield started.start(ns)


@pytest.fixture(scope="module")
def shared_other(ns, kind):
    with lab.Engine(kind) as started:
        yield started.start(ns)


@pytest.fixture
def engine(shared_engine):
    """The one that berth works on; empty."""
    wipe(shared_engine)
    return shared_engine


@pytest.fixture
def other(shared_other):
    """A second one, to compare with; empty."""
    wipe(shared_other)
    return shared_other


@pytest.fixture(scope="module")
def registry(ns):
    with lab.Registry(ns) as registry:
        yield registry


def wipe(engine):
    """Docker keeps no images of its own beside containerd's."""
    for container in json.loads(engine.api("GET", "/containers/json?all=1")[1]):
        engine.api("DELETE", f"/containers/{container['Id']}?force=1")
    for image in engine.containerd.images():
        engine.containerd.remove_image(image)
    for lease in engine.containerd.leases():
        engine.containerd.remove_lease(lease)
    collect_garbage(engine)
    assert (snapshots(engine), blobs(engine), unfinished(engine)) == (set(), set(), set())


@functools.cache
def pushed(name, registry):
    return images.push(name, registry, f"team/{name.replace(':', '-')}")


# --- berth


def berth_command(ns, engine, reference, *options):
    command = [BERTH, "pull", reference, "--json", "--docker-host", f"unix://{engine.socket}"]
    command += ["--containerd-socket", engine.containerd_socket, "--state-dir", ns.run_dir / "state"]
    return [*command, *options]


def run(ns, command, timeout=120):
    """Exit code, stdout, stderr."""
    process = ns.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    out, err = process.communicate(timeout=timeout)
    return process.returncode, out, err


def berth_pull(ns, engine, reference, *options):
    """What it printed, as JSON; nothing went wrong on the way."""
    code, out, err = run(ns, berth_command(ns, engine, reference, *options))
    assert code == 0, err
    assert "warning" not in err, err
    return json.loads(out)


def start_driver(ns, engine, image, name, *options):
    """The store alone, with tar for a worker: for images without whiteouts."""
    command = [DRIVER, f"unix://{engine.socket}", image.layout, image.digest, name]
    command.append(f"containerd={engine.containerd_socket}")
    return ns.run([*command, *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(process):
    out, err = process.communicate(timeout=120)
    assert process.returncode in (0, 1), err
    return json.loads(out.splitlines()[-1])


def drive(ns, engine, image, name, *options):
    return finish(start_driver(ns, engine, image, name, *options))


def load(ns, engine, image, name, *options):
    answer = drive(ns, engine, image, name, *options)
    assert (answer["outcome"], answer["store"]) == ("loaded", "containerd"), answer
    return answer


# --- what the engine has


def chain_ids(image):
    chain, chains = "", []
    for diff_id in image.diff_ids:
        chain = lab.oci.sha256(f"{chain} {diff_id}".encode()) if chain else diff_id
        chains.append(chain)
    return chains


def layer_blobs(image):
    return {layer["digest"] for layer in image.layers}


def snapshots(engine):
    return engine.containerd.snapshots()


def blobs(engine):
    return engine.containerd.blobs()


def unfinished(engine):
    """Blobs that somebody began to write."""
    return engine.containerd.unfinished()


def leases(engine):
    """Without those of Docker, which forgets one when its client dies in the middle of a load."""
    return {lease for lease in engine.containerd.leases() if "berth" in lease}


def collect_garbage(engine):
    engine.containerd.collect_garbage()


def nothing_more_than(engine, *used):
    """Neither leases, unfinished blobs nor snapshots but those that the images need."""
    expected = set().union(*(chain_ids(image) for image in used)) if used else set()
    assert leases(engine) == set()
    # containerd's own collection comes by its load: after a slow one it rests fifty times as long.
    # Ours takes nothing that a lease or a label holds.
    collect_garbage(engine)
    assert snapshots(engine) == expected
    assert not [ref for ref in unfinished(engine) if "berth" in ref]
    assert [name for name in engine.containerd.images() if "berth" in name] == []


def identity(engine, reference):
    found = engine.inspect(reference)
    names = ["Id", "RepoTags", "RepoDigests", "Architecture", "Os", "Config"]
    return {name: found.get(name) for name in names} | {"layers": found["RootFS"].get("Layers")}


def listed(engine, reference):
    return engine.docker("images", "-q", "--no-trunc", reference).strip() != ""


def must_run(engine, reference):
    """A container of it reads what it has written. By its exit status, which docker() looks at: Docker 26 now and then loses
    the words of a container that ends at once."""
    script = "echo ran >/ran && exec cat /ran"
    engine.docker("run", "--rm", reference, "/bin/busybox", "sh", "-c", script)
