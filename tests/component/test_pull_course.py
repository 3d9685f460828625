"""How `berth pull` goes on every engine: what it fetches, what it does to names, what is left when it ends early, what
memory it takes."""

import io
import signal
import subprocess
import tarfile
import time

import pytest
from lab import images, paths, processes
from lab.oci import compact
from parity import leftovers, thorough
from service import binary

MIB = 1 << 20
MEMORY_MAX_BYTES = 96 * MIB


def test_only_the_layer_that_changed_is_fetched(pair):
    began_ns = time.time_ns()
    pair.pull_both(pair.push("webapp:v1"))
    reference, image = pair.push("webapp:v2"), images.get("webapp:v2")
    pair.registry.forget_requests()
    answer = pair.berth.pulled(reference)
    sent = pair.blobs_sent()
    if pair.store == "podman":  # its loader reads every file
        assert answer["layers_fetched"] == 3
        return
    assert sent == [image.config_digest, image.layers[-1]["digest"]]
    assert answer["layers_fetched"] == 1 and answer["bytes"] == image.layers[-1]["size"]
    pair.theirs.docker("pull", "--quiet", reference)
    pair.same(answer["id"], reference, began_ns)


def test_the_same_again_fetches_no_layer(pair):
    reference, image = pair.push("webapp:v1"), images.get("webapp:v1")
    first = pair.berth.pulled(reference)
    pair.registry.forget_requests()
    again = pair.berth.pulled(reference)
    assert again["present"] and again["id"] == first["id"]
    assert set(pair.blobs_sent()) <= {image.config_digest}


@pytest.mark.thorough
def test_another_name_for_what_is_there_fetches_no_layer(pair):
    reference, image = pair.push("webapp:v1"), images.get("webapp:v1")
    first = pair.berth.pulled(reference)
    other = pair.push("webapp:v1", tag="other")
    pair.registry.forget_requests()
    assert pair.berth.pulled(other)["id"] == first["id"]
    assert set(pair.blobs_sent()) <= {image.config_digest}
    assert sorted(pair.ours.inspect(first["id"], "--type=image")["RepoTags"]) == [reference, other]


def test_a_tag_moves_only_to_an_image_that_is_good(pair):
    """The containerd store gives a loaded image its name before it unpacks a layer."""
    reference = pair.push("webapp:v1")
    first = pair.berth.pulled(reference)
    before = leftovers(pair.ours)[0]
    pair.push("odd:lower-link")
    assert pair.berth.pull(reference).code == 1
    assert pair.ours.inspect(reference, "--type=image")["Id"].removeprefix("sha256:") in first["id"]
    assert leftovers(pair.ours)[0] == before
    pair.push("webapp:v2")
    second = pair.berth.pulled(reference)
    assert pair.ours.inspect(reference, "--type=image")["Id"].removeprefix("sha256:") in second["id"]
    # What a container of before was made of stays.
    assert pair.ours.inspect(first["id"], "--type=image")["RepoTags"] in ([], None)


# In the middle of the upload, and when the engine registers what it has.
CUTS = [(signal.SIGKILL, 2), *thorough((signal.SIGKILL, 6), (signal.SIGTERM, 2))]


@pytest.mark.parametrize("cut", CUTS, ids=lambda cut: f"{cut[0].name}-{cut[1]}")
def test_a_pull_cut_short_leaves_nothing_in_the_way(pair, cut):
    """Nothing of the image, or all of it."""
    number, layers_sent = cut
    reference, image = pair.push("quickstart:v1"), images.get("quickstart:v1")
    process = pair.ns.run([binary(), "pull", reference], env=pair.berth.env, stderr=subprocess.DEVNULL)
    digests = {layer["digest"] for layer in image.layers}
    paths.wait_for("layers", lambda: len(digests & set(pair.blobs_sent())) >= layers_sent, 60, 0.01)
    started = processes.below(process.pid)
    process.send_signal(number)
    assert process.wait(10) != 0
    paths.wait_for("no worker", lambda: not any(processes.pss_bytes(p, binary()) for p in started), 5)
    paths.wait_for("an empty spool", lambda: leftovers(pair.ours)[2] == [], 60)
    assert len(leftovers(pair.ours)[0]) <= (layers_sent == 6)
    pair.pull_both(reference)
    pair.ours.docker("run", "--rm", reference, "true")


def test_an_image_that_was_loaded_but_not_unpacked_is_loaded_again(pair):
    """As a kill leaves it at the right moment."""
    if pair.store != "containerd":
        return  # the others make an image of what they have unpacked
    reference, image = pair.push("webapp:v1"), images.get("webapp:v1")
    archive = pair.ours.run_dir / "loaded.tar"
    with tarfile.open(archive, "w") as tar:
        for digest in (image.digest, image.config_digest, *(layer["digest"] for layer in image.layers)):
            tar.add(image.blob(digest), f"blobs/{digest.replace(':', '/')}")
        entry = {"mediaType": image.media_type, "digest": image.digest, "size": image.blob(image.digest).stat().st_size}
        for name, document in (("oci-layout", {"imageLayoutVersion": "1.0.0"}), ("index.json", {"manifests": [entry]})):
            member = tarfile.TarInfo(name)
            member.size = len(compact(document))
            tar.addfile(member, io.BytesIO(compact(document)))
    pair.ours.ctr("images", "import", "--no-unpack", "--digests", "--base-name=moby-dangling", archive)
    assert leftovers(pair.ours)[0] != []
    assert pair.pull_both(reference)["layers_fetched"] == 0


@pytest.mark.parametrize("name", ["quickstart:v1", *thorough("big")])
def test_memory(pair, name, capsys):
    """Of berth and its workers together, at any time of the pull."""
    reference = pair.push(name)
    process = pair.ns.run([binary(), "pull", reference], env=pair.berth.env, stdout=subprocess.DEVNULL)
    sampler = processes.PeakMemory(process.pid, binary())
    sampler.start()
    assert process.wait(600) == 0
    sampler.over.set()
    with capsys.disabled():
        print(f"\npeak PSS of a pull of {name} into {pair.kind}: {sampler.peak / MIB:.1f} MiB")
    assert 0 < sampler.peak <= MEMORY_MAX_BYTES
