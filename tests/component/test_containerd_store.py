"""The containerd store against real engines: an image is what the engine's own pull makes of it, and behaves so."""

import random
import time

import lab
import pytest
import tap
from containerd_steps import *  # noqa: F403 its fixtures too
from containerd_steps import (
    BERTH,
    berth_command,
    berth_pull,
    blobs,
    identity,
    layer_blobs,
    listed,
    must_run,
    nothing_more_than,
    pushed,
    run,
)
from lab import images, oci, tree
from lab.paths import wait_for

IMAGES = ["small", "webapp:v1", "buildx", "buildx:single", "schema2", "schema2:list", "zstd:webapp", "tiny125"]
MODES = ["after", "tee", "no"]


def same_files(engine, other, image, reference, before):
    for ours, theirs in zip(engine.layer_dirs_of(image), other.layer_dirs(reference), strict=True):
        assert tree.differences(tree.walk(ours), tree.walk(theirs), before) == [], image


@pytest.mark.parametrize("name", IMAGES)
def test_an_image_is_what_pull_makes_of_it(ns, registry, engine, other, name):
    image = images.get(name)
    reference = pushed(name, registry)
    before = time.time_ns()
    answer = berth_pull(ns, engine, reference, "--backfill", "no")
    assert (answer["store"], answer["layers_fetched"], answer["backfilled_bytes"]) == ("containerd", len(image.layers), 0)
    other.docker("pull", "-q", reference)
    nothing_more_than(engine, image)
    same_files(engine, other, image, reference, before)
    must_run(engine, reference)
    assert engine.inspect(reference)["Id"] == other.inspect(reference)["Id"] == image.digest
    answer = berth_pull(ns, engine, reference)
    assert answer["present"] and answer["backfilled_bytes"] == image.size_bytes
    assert identity(engine, reference) == identity(other, reference)
    nothing_more_than(engine, image)


def test_snapshots_are_made_as_the_snapshotter_allows(ns, registry, engine):
    """By rebase where it announces that: then there is no staging snapshot besides those of the layers."""
    image = images.get("webapp:v1")
    plugin = engine.ctr("plugins", "ls", "-d", "type==io.containerd.snapshotter.v1,id==overlayfs")
    command = berth_command(ns, engine, pushed("webapp:v1", registry), "--backfill", "no", "-v")
    code, _, err = run(ns, command)
    assert code == 0, err
    calls = [err.count(f"Snapshots/{name} ") for name in ("Prepare", "Commit")]
    staging = 0 if ",rebase" in plugin else 1
    assert calls == [len(image.layers) + staging, len(image.layers)], err


def test_a_newer_image_upon_the_layers_of_an_older(ns, registry, engine, other):
    image, reference = images.get("webapp:v2"), pushed("webapp:v2", registry)
    before = time.time_ns()
    berth_pull(ns, engine, pushed("webapp:v1", registry), "--backfill", "no")
    assert berth_pull(ns, engine, reference, "--backfill", "no")["layers_fetched"] == 1
    other.docker("pull", "-q", reference)
    same_files(engine, other, image, reference, before)
    must_run(engine, reference)


# By itself `berth pull` does the same: quickstart is larger than what `berth up` would keep on the way.
@pytest.mark.parametrize(
    ("name", "when"),
    [("webapp:v1", "tee"), ("buildx", "tee"), ("zstd:webapp", "tee"), ("quickstart:v1", "auto")],
)
def test_with_tee_it_is_complete_after_one_transfer(ns, registry, engine, other, name, when):
    image = images.get(name)
    reference = pushed(name, registry)
    answer = berth_pull(ns, engine, reference, "--backfill", when)
    assert (answer["store"], answer["bytes"], answer["backfilled_bytes"]) == ("containerd", image.size_bytes, 0)
    other.docker("pull", "-q", reference)
    assert identity(engine, reference) == identity(other, reference)
    nothing_more_than(engine, image)
    assert layer_blobs(image) <= blobs(engine)
    assert berth_pull(ns, engine, reference)["backfilled_bytes"] == 0
    engine.docker("save", "-o", ns.run_dir / "saved.tar", reference)


@pytest.mark.parametrize("name", [name for name in images.names() if name.startswith("odd:")])
def test_odd_images_are_what_pull_makes_of_them(ns, registry, engine, other, name):
    image = images.get(name)
    reference = pushed(name, registry)
    before = time.time_ns()
    try:
        other.docker("pull", "-q", reference)
    except lab.LabError:
        code, out, err = run(ns, berth_command(ns, engine, reference))
        assert code == 1, (out, err)
        nothing_more_than(engine)
        return
    assert berth_pull(ns, engine, reference)["store"] == "containerd"
    same_files(engine, other, image, reference, before)
    assert identity(engine, reference) == identity(other, reference)
    nothing_more_than(engine, image)


# --- interchangeable with what Docker pulled, in each documented state


@pytest.mark.parametrize("mode", MODES)
def test_saved_and_pushed_where_it_has_its_blobs(ns, registry, engine, mode):
    image = images.get("webapp:v1")
    reference = pushed("webapp:v1", registry)
    copy = f"{registry.host}/other/{mode}:v1"
    saved = ns.run_dir / f"{mode}.tar"
    berth_pull(ns, engine, reference, "--backfill", mode)
    must_run(engine, reference)
    assert (layer_blobs(image) <= blobs(engine)) == (mode != "no")
    if mode == "no":
        assert not layer_blobs(image) & blobs(engine)
        assert berth_pull(ns, engine, reference)["backfilled_bytes"] == image.size_bytes
    assert listed(engine, reference)
    engine.docker("save", "-o", saved, reference)
    engine.docker("tag", reference, copy)
    engine.docker("push", copy)
    engine.docker("rmi", copy, reference)
    nothing_more_than(engine)
    assert blobs(engine) == set()
    engine.docker("load", "-i", saved)
    must_run(engine, reference)


@pytest.mark.parametrize("mode", MODES)
def test_pull_of_the_same_and_of_a_newer_tag(ns, registry, engine, mode):
    old, new = images.get("webapp:v1"), images.get("webapp:v2")
    reference = images.push("webapp:v1", registry, f"team/moving-{mode}", "latest")
    berth_pull(ns, engine, reference, "--backfill", mode)
    assert "up to date" in engine.docker("pull", reference)
    must_run(engine, reference)
    nothing_more_than(engine, old)
    images.push("webapp:v2", registry, f"team/moving-{mode}", "latest")
    engine.docker("pull", reference)
    assert engine.inspect(reference)["Id"] == new.digest
    must_run(engine, reference)
    engine.docker("image", "prune", "-f")
    engine.docker("rmi", reference)
    for image in engine.ctr("images", "ls", "-q").split():  # Docker 25 and 26 do not see the old one without its blobs
        assert mode == "no" and old.digest in image
        engine.ctr("images", "rm", image)
    nothing_more_than(engine)


@pytest.mark.parametrize("mode", MODES)
def test_images_upon_it(ns, registry, engine, mode):
    reference = pushed("webapp:v1", registry)
    berth_pull(ns, engine, reference, "--backfill", mode)
    engine.docker("run", "--name", "changed", reference, "/bin/busybox", "touch", "/committed")
    engine.docker("commit", "changed", "committed:1")
    engine.docker("rm", "changed")
    assert engine.docker("run", "--rm", "committed:1", "/bin/busybox", "ls", "/committed").strip() == "/committed"
    context = ns.run_dir / f"context-{mode}"
    context.mkdir(exist_ok=True)
    (context / "Dockerfile").write_text(f'FROM {reference}\nRUN ["/bin/busybox", "touch", "/built"]\n')
    engine.docker("build", "-q", "-t", "built:1", context)
    assert engine.docker("run", "--rm", "built:1", "/bin/busybox", "ls", "/built").strip() == "/built"


@pytest.mark.parametrize("mode", MODES)
def test_removal_and_prune_take_it_all(ns, registry, engine, mode):
    v1, v2 = pushed("webapp:v1", registry), pushed("webapp:v2", registry)
    berth_pull(ns, engine, v1, "--backfill", mode)
    berth_pull(ns, engine, v2, "--backfill", mode)
    nothing_more_than(engine, images.get("webapp:v1"), images.get("webapp:v2"))
    engine.docker("rmi", v1)
    nothing_more_than(engine, images.get("webapp:v2"))
    must_run(engine, v2)
    if mode == "no" and not listed(engine, v2):
        engine.docker("rmi", v2)  # what Docker 25 and 26 do not list, they do not prune
    engine.docker("system", "prune", "-af")
    nothing_more_than(engine)
    assert blobs(engine) == set()


@pytest.mark.parametrize("mode", ["tee", "no"])
def test_after_restarts(ns, registry, engine, mode):
    """Of dockerd, with the containerd that it runs, orderly and not."""
    reference = pushed("webapp:v1", registry)
    berth_pull(ns, engine, reference, "--backfill", mode)
    engine.shut_down()
    engine.start()
    must_run(engine, reference)
    engine.kill()
    engine.start()
    nothing_more_than(engine, images.get("webapp:v1"))
    must_run(engine, reference)


def test_by_digest_only(ns, registry, engine, other):
    image = images.get("webapp:v1")
    reference = f"{pushed('webapp:v1', registry).rpartition(':')[0]}@{image.digest}"
    berth_pull(ns, engine, reference)
    other.docker("pull", "-q", reference)
    assert identity(engine, reference) == identity(other, reference)
    must_run(engine, reference)


# --- only what changed


class CountedSocket:
    """What comes out of it is counted."""

    def __init__(self, sock, counts):
        self.sock, self.counts = sock, counts

    def recv(self, size):
        data = self.sock.recv(size)
        self.counts.append(len(data))
        return data

    def __getattr__(self, name):
        return getattr(self.sock, name)


def with_top_layers(layout_dir):
    """Three images that differ in a layer of 1 MB on top of 10 MB."""
    layout = oci.Layout(layout_dir)
    below = images.get("webapp:v1")
    layers = []
    for descriptor, diff_id in zip(below.layers, below.diff_ids, strict=True):
        oci.link(below.blob(descriptor["digest"]), layout.path)
        layers.append(oci.Layer(descriptor["digest"], descriptor["size"], diff_id))
    for name, size in [("base", 10_000_000), *((f"top{i}", 1_000_000) for i in range(3))]:
        tar = oci.Tar()
        tar.file(name, random.Random(name).randbytes(size))
        layer = layout.layer(tar.bytes())
        if name == "base":
            layers.append(layer)
        else:
            layout.tag(name, layout.image([*layers, layer], below.config["config"]))
    layout.write()
    return [oci.read(layout.path, f"top{i}") for i in range(3)]


@pytest.mark.parametrize("mode, times", [("no", 1), ("tee", 1), ("after", 2)])
def test_a_new_top_layer_of_1_mb_moves_1_mb(ns, registry, engine, mode, times):
    """Counted where it leaves the registry's port: documents and heads of answers included."""
    counts, listener = [], ns.listen()
    tap.Tap("registry", listener, lambda: CountedSocket(ns.connect(registry.address, registry.port), counts))
    counted = f"127.0.0.1:{listener.getsockname()[1]}/team/top-{mode}"
    for image in with_top_layers(ns.run_dir / f"tops-{mode}"):
        images.push_image(image, registry, f"team/top-{mode}")
    assert berth_pull(ns, engine, f"{counted}:top0", "--backfill", mode)["layers_fetched"] == 5
    for tag in ("top1", "top2"):
        counts.clear()
        answer = berth_pull(ns, engine, f"{counted}:{tag}", "--backfill", mode)
        print(f"--backfill {mode}: {sum(counts)} bytes from the registry for {answer['bytes']} of layers")
        assert answer["layers_fetched"] == 1
        assert sum(counts) <= times * 1_050_000, answer
        must_run(engine, f"{counted}:{tag}")
    if mode == "no":  # now those that were left out before, once
        counts.clear()
        assert berth_pull(ns, engine, f"{counted}:top2")["present"]
        assert 11_900_000 < sum(counts) < 12_500_000


# --- berth up


@pytest.mark.parametrize("backfill", ["after", "no"])
def test_up_completes_the_image_once_the_app_is_ready(ns, registry, engine, backfill):
    reference = pushed("quickstart:v1", registry)
    command = [BERTH, "up", reference, "--name", "app", "-p", "8099:3000", "--backfill", backfill, "--health-listen"]
    command += ["127.0.0.1:8642", "--docker-host", f"unix://{engine.socket}", "--state-dir", ns.run_dir / "state"]
    command += ["--containerd-socket", engine.containerd_socket, "--run-dir", ns.run_dir / "berth"]
    log, image = ns.run_dir / f"up-{backfill}.log", images.get("quickstart:v1")
    with open(log, "w") as out:
        process = ns.run(command, stdout=out, stderr=out)
    wait_for("ready", lambda: "app is ready" in log.read_text(), 60)
    assert "(containerd)" in log.read_text()
    if backfill == "after":
        wait_for("backfilled", lambda: "backfilled" in log.read_text(), 60)
        assert log.read_text().index("is ready") < log.read_text().index("backfilled")
        engine.docker("save", "-o", ns.run_dir / "saved.tar", reference)
    else:
        time.sleep(2)  # longer than it would take
        assert "backfilled" not in log.read_text()
    assert layer_blobs(image) & blobs(engine) == (layer_blobs(image) if backfill == "after" else set())
    assert process.poll() is None
    process.terminate()
    assert process.wait(30) == 0
    engine.docker("rm", "-f", "app")
    nothing_more_than(engine, image)
