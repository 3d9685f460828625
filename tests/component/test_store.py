"""The load store against real engines: what it makes of an image must be what the engine's own pull makes of it."""

import hashlib
import json
import os
import subprocess
import tarfile
from pathlib import Path

import lab
import pytest
from lab import images
from lab.paths import wait_for

BUILD = Path(os.environ.get("BERTH_BUILD", Path(__file__).resolve().parents[2]))
DRIVER = BUILD / "tests/component/driver_store"
MADE_BY_ENGINE = {".dockerenv", "dev/console", "etc/hostname", "etc/hosts", "etc/resolv.conf"}
IMAGES = ["webapp:v1", "buildx", "buildx:single", "schema2", "schema2:list", "zstd:webapp", "tiny125"]


@pytest.fixture(scope="module", autouse=True)
def built():
    if not DRIVER.exists():
        pytest.skip(f"{DRIVER} is not built (make)")


@pytest.fixture
def registry(ns):
    with lab.Registry(ns) as registry:
        yield registry


@pytest.fixture
def other(ns, engine_kind):
    """A second engine of the same kind."""
    with lab.Engine(engine_kind) as started:
        yield started.start(ns)


def drive(ns, engine, image, name, *options, argv=()):
    command = [*argv, DRIVER, f"unix://{engine.socket}", image.layout, image.digest, name, *options]
    process = ns.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    out, err = process.communicate(timeout=300)
    assert process.returncode in (0, 1), err
    return json.loads(out)


def load(ns, engine, image, name, *options):
    answer = drive(ns, engine, image, name, *options)
    assert answer["outcome"] == "loaded", answer
    return answer


def tree(engine, reference):
    """Every entry of the image's file system, by name; without the times of what the engine makes."""
    container = engine.docker("create", reference, "/bin/true").strip().splitlines()[-1]
    process = engine.ns.run(
        ["docker", "-H", f"unix://{engine.socket}", "export", container], stdout=subprocess.PIPE
    )
    entries = {}
    with tarfile.open(fileobj=process.stdout, mode="r|") as tar:
        for member in tar:
            content = hashlib.sha256(tar.extractfile(member).read()).hexdigest() if member.isreg() else ""
            entries[member.name] = (
                member.type, member.mode, member.uid, member.gid, member.size, member.linkname,
                member.devmajor, member.devminor, content,
                {k: v for k, v in member.pax_headers.items() if k.startswith("SCHILY.xattr")},
                member.mtime if member.isreg() and member.name not in MADE_BY_ENGINE else 0,
            )  # fmt: skip
    assert process.wait() == 0
    engine.docker("rm", container)
    return entries


def identity(engine, reference):
    """What two engines of a kind must agree on. The classic stores and Podman cannot know a repository's digest."""
    found = engine.inspect(reference)
    names = ["Id", "RepoTags", "Architecture", "Os", "Config"]
    if engine.kind.endswith("c"):
        names.append("RepoDigests")
    return {name: found[name] for name in names} | {"layers": found["RootFS"]["Layers"]}


def leftovers(engine):
    """What a load that came to nothing may have left: images, and files below the daemon's tmp."""
    tmp = Path(engine.data_dir) / "tmp"
    files = sorted(str(path) for path in tmp.rglob("*")) if tmp.is_dir() else []
    return engine.docker("images", "-aq").split(), files


def takes(kind, image):
    return kind != "docker20" or not any(layer["mediaType"].endswith("zstd") for layer in image.layers)


@pytest.mark.parametrize("name", IMAGES)
def test_an_image_is_what_pull_makes_of_it(ns, registry, engine, other, name):
    image = images.get(name)
    if not takes(engine.kind, image):
        answer = drive(ns, engine, image, "127.0.0.1:5/x:y")
        assert (answer["kind"], answer["fed"]) == ("refused", 0)
        assert answer["error"].startswith("Docker 20.10") and "needs 23.0" in answer["error"]
        return
    reference = images.push(name, registry, "team/app")
    other.docker("pull", "-q", reference)
    answer = load(ns, engine, image, reference)
    assert answer["id"] == engine.inspect(reference)["Id"]
    assert identity(engine, reference) == identity(other, reference)
    assert tree(engine, reference) == tree(other, reference)


@pytest.mark.parametrize("form", ["as it is", "raw"])
def test_odd_images_are_what_pull_makes_of_them(ns, registry, engine, other, form):
    for name in (name for name in images.names() if name.startswith("odd:")):
        image = images.get(name)
        reference = images.push(name, registry, "team/odd")
        try:
            other.docker("pull", "-q", reference)
        except lab.LabError as refusal:
            if form == "raw" and "gzip: " in str(refusal):
                continue  # the decoder is berth's then
            answer = drive(ns, engine, image, reference, form)
            assert answer["outcome"] == "failed", f"{name}: pull says {refusal}"
            continue
        load(ns, engine, image, reference, form)
        assert identity(engine, reference) == identity(other, reference), name
        assert tree(engine, reference) == tree(other, reference), name


def test_by_digest_only(ns, registry, engine, other):
    image = images.get("webapp:v1")
    tagged = images.push("webapp:v1", registry, "team/app")
    reference = f"{tagged.rpartition(':')[0]}@{image.digest}"
    answer = load(ns, engine, image, reference)
    assert engine.inspect(answer["id"])["RepoTags"] in ([], None)
    if engine.kind.endswith("c"):
        other.docker("pull", "-q", reference)
        assert identity(engine, reference) == identity(other, reference)
    engine.docker("run", "--rm", answer["id"], "/bin/busybox", "true")


def test_it_runs(ns, engine):
    for name in ("webapp:v1", "buildx"):
        reference = f"127.0.0.1:5/app:{name.replace(':', '-')}"
        load(ns, engine, images.get(name), reference)
        engine.docker("run", "--rm", reference, "/bin/busybox", "true")


def test_only_what_the_engine_lacks_is_sent(ns, engine):
    load(ns, engine, images.get("webapp:v1"), "127.0.0.1:5/app:v1")
    image = images.get("webapp:v2")
    answer = load(ns, engine, image, "127.0.0.1:5/app:v2")
    if engine.kind == "podman":  # its loader reads every file
        assert answer["fed"] == image.size_bytes
    else:
        assert answer["fed"] == image.layers[-1]["size"]
        assert answer["skipped"] == [layer["digest"] for layer in image.layers[:-1]]
    engine.docker("run", "--rm", "127.0.0.1:5/app:v2", "/bin/busybox", "true")


def test_the_same_image_again_sends_nothing(ns, engine):
    image = images.get("webapp:v1")
    load(ns, engine, image, "127.0.0.1:5/app:v1")
    answer = load(ns, engine, image, "127.0.0.1:5/app:again")
    assert answer["fed"] == (image.size_bytes if engine.kind == "podman" else 0)
    assert engine.inspect("127.0.0.1:5/app:again")["Id"] == engine.inspect("127.0.0.1:5/app:v1")["Id"]


def test_layers_that_were_compressed_otherwise(ns, engine):
    """The containerd store keeps blobs: the files alone are not the layer."""
    image = images.get("zstd:webapp")
    load(ns, engine, images.get("webapp:v1"), "127.0.0.1:5/app:gzip")
    answer = drive(ns, engine, image, "127.0.0.1:5/app:zstd")
    if engine.kind.endswith("c"):
        assert (answer["outcome"], answer["kind"]) == ("failed", "not-found")
        load(ns, engine, image, "127.0.0.1:5/app:zstd", "whole")
    else:
        assert answer["outcome"] == "loaded"
    engine.docker("save", "-o", ns.run_dir / "saved.tar", "127.0.0.1:5/app:zstd")


def test_a_layer_that_was_wrongly_left_out_is_not_found(ns, engine):
    image = images.get("webapp:v1")
    answer = drive(ns, engine, image, "127.0.0.1:5/app:v1", "claim=1")
    assert (answer["outcome"], answer["kind"]) == ("failed", "not-found")
    load(ns, engine, image, "127.0.0.1:5/app:v1", "whole")


@pytest.mark.parametrize("cut", [0, 1, 500000, 1033135])
def test_a_cut_upload_leaves_nothing(ns, engine, cut):
    image = images.get("webapp:v1")
    answer = drive(ns, engine, image, "127.0.0.1:5/app:v1", f"cut={cut}")
    assert (answer["outcome"], answer["fed"]) == ("cut", cut)
    wait_for("nothing left", lambda: leftovers(engine) == ([], []), 10)
    load(ns, engine, image, "127.0.0.1:5/app:v1")


def test_a_killed_client_leaves_nothing(ns, engine):
    image = images.get("webapp:v1")
    drive_killed = ["timeout", "--preserve-status", "-s", "KILL", "0.7"]
    command = [*drive_killed, DRIVER, f"unix://{engine.socket}", image.layout, image.digest, "127.0.0.1:5/app:v1"]
    ns.run([*command, "cut=1000000"], stdout=subprocess.DEVNULL).wait(timeout=60)
    wait_for("nothing left", lambda: leftovers(engine) == ([], []), 10)
    load(ns, engine, image, "127.0.0.1:5/app:v1")


def test_no_space_for_the_upload(ns):
    """Where the upload is spooled before it is looked at."""
    with lab.Engine("docker26") as engine:
        engine.start(ns)
        spool = Path(engine.data_dir) / "tmp"
        inside = ["nsenter", "-t", str(engine.pid), "--mount", "--root", "--wd"]
        subprocess.run([*inside, "mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", spool], check=True)
        answer = drive(ns, engine, images.get("quickstart"), "127.0.0.1:5/app:v1")
        assert answer["kind"] == "failed" and "no space left on device" in answer["error"]
        assert "larger volume" in answer["hint"]
        assert not subprocess.run([*inside, "ls", spool], check=True, capture_output=True).stdout
        load(ns, engine, images.get("small"), "127.0.0.1:5/app:small")


def test_an_engine_that_dies_is_worth_another_try(ns, engine):
    image = images.get("webapp:v1")
    command = [DRIVER, f"unix://{engine.socket}", image.layout, image.digest, "127.0.0.1:5/app:v1", "slow"]
    process = ns.run(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "half\n"
    engine.kill()
    answer = json.loads(process.communicate(timeout=60)[0])
    assert (answer["outcome"], answer["kind"]) == ("failed", "network")
    engine.start()
    load(ns, engine, image, "127.0.0.1:5/app:v1")


def test_memory_does_not_grow_with_the_image(ns, engine_kind):
    """Against the smallest image, the largest costs no more than what is staged."""
    with lab.Engine(engine_kind) as engine:
        engine.start(ns)
        peak = {}
        for name in ("small", "quickstart"):
            log = Path(ns.run_dir) / f"time-{name}"
            time = ["/usr/bin/python3", "-c", PEAK, log]
            drive(ns, engine, images.get(name), f"127.0.0.1:5/{name}:x", argv=time)
            peak[name] = int(log.read_text())
    # In parts, what one has staged goes out while the next fills.
    in_parts = engine_kind in ("docker20", "docker26", "docker28", "own")
    assert peak["quickstart"] - peak["small"] < (2560 if in_parts else 1024), peak


PEAK = """
import resource, subprocess, sys
code = subprocess.run(sys.argv[2:]).returncode
open(sys.argv[1], "w").write(str(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss))
sys.exit(code)
"""
