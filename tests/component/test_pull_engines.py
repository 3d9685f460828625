"""`berth pull` on every engine: the image is, bit for bit, what the engine's own pull makes of it."""

import functools
import gzip
import random
import subprocess
import time

import pytest
from lab import images, recipes_odd
from lab.oci import Tar
from parity import craft, leftovers, thorough

FORMS = ["buildx:latest", "schema2:latest", "zstd:webapp"]
FORMS += thorough("small", "webapp:v1", "webapp:health", "quickstart:v1", "tiny125", "buildx:single", "schema2:list")
ODD = ["whiteouts", "xattrs", "duplicates", "lower-link"]
ODD += thorough(*(tag for tag in recipes_odd.TAGS if tag not in ODD))
ZSTD_UNKNOWN = {"docker20"}  # which came with 23
MIB = 1 << 20


@pytest.mark.parametrize("name", FORMS)
def test_an_image_is_what_pull_makes_of_it(pair, name):
    reference, image = pair.push(name), images.get(name)
    answer = pair.pull_both(reference)
    if name.startswith("zstd") and pair.kind in ZSTD_UNKNOWN:
        assert answer is None
        return
    assert answer["store"] == "load" and not answer["present"]
    assert answer["digest"] == image.digest
    assert answer["id"] == (image.digest if pair.ours.containerd_store else image.config_digest)
    assert pair.ours.inspect(reference, "--type=image")["Id"].removeprefix("sha256:") in answer["id"]


@pytest.mark.parametrize("tag", ODD)
def test_an_odd_image_is_what_pull_makes_of_it(pair, tag):
    answer = pair.pull_both(pair.push(f"odd:{tag}"))
    assert answer is None or answer["store"] == "load"


def tags(image):
    """Docker 28's containerd store calls the name of what was pulled by digest a tag."""
    return [name for name in image["RepoTags"] or [] if "@" not in name]


def test_by_digest_only(pair):
    image = images.get("buildx:latest")
    reference = f"{pair.push('buildx:latest').rpartition(':')[0]}@{image.digest}"
    answer = pair.pull_both(reference)
    assert answer["digest"] == image.digest
    assert tags(pair.ours.inspect(answer["id"], "--type=image")) == []


def test_by_tag_and_digest_the_tag_is_kept_too(pair):
    image = images.get("webapp:v1")
    tagged = pair.push("webapp:v1")
    pair.push("webapp:v2")  # the tag has moved on: the digest counts
    answer = pair.berth.pulled(f"{tagged}@{image.digest}")
    pair.theirs.docker("pull", "--quiet", f"{tagged}@{image.digest}")
    ours = pair.facts(pair.ours, answer["id"])
    theirs = pair.facts(pair.theirs, f"{tagged.rpartition(':')[0]}@{image.digest}")
    assert tags(ours) == [tagged] and tags(theirs) == []
    assert ours | {"RepoTags": None} == theirs | {"RepoTags": None}


@pytest.mark.thorough
def test_a_digest_of_one_platform_in_an_index(pair):
    image = images.get("buildx:latest")
    reference = f"{pair.push('buildx:latest').rpartition(':')[0]}@{image.manifest_digest}"
    assert pair.pull_both(reference)["digest"] == image.manifest_digest


def last_member():
    """Of two gzip members the last, whose length looks like that of a whole tar."""
    tar = Tar().file("noise", random.Random(1).randbytes(MIB + 4096)).file("zeros", bytes(4 * MIB)).bytes()
    half = MIB + 8192
    return "gzip", gzip.compress(tar[:half], mtime=0) + gzip.compress(tar[half:], mtime=0), tar


def last_bytes():
    """A plain tar, called gzip, that ends without zeros: its last bytes look like a length."""
    data = bytes(MIB + 508) + (64 * MIB).to_bytes(4, "little")
    tar = Tar().file("data", data).bytes()[: 512 + len(data)]
    return "gzip", tar, tar


@pytest.mark.parametrize("layer", [last_member, *thorough(last_bytes)], ids=lambda f: f.__name__)
def test_a_length_that_is_not_the_layers_costs_a_second_fetch(pair, tmp_path, layer):
    """The last four bytes of a gzip layer tell classic stores and podman how much it inflates to."""
    image = craft(tmp_path / "image", [layer()])
    assert int.from_bytes(image.blob(image.layers[1]["digest"]).read_bytes()[-4:], "little") % 512 == 0
    reference, began_ns = pair.push(image), time.time_ns()
    answer = pair.berth.pulled(reference)
    assert pair.blobs_sent().count(image.layers[1]["digest"]) == (1 if pair.store == "containerd" else 2)
    pair.theirs.docker("pull", "--quiet", reference)
    pair.same(answer["id"], reference, began_ns)
    assert leftovers(pair.ours)[2] == []


def zstd(data):
    return subprocess.run(["zstd", "-q", "-c"], input=data, stdout=subprocess.PIPE, check=True).stdout


PACKERS = {"tar": bytes, "gzip": functools.partial(gzip.compress, mtime=0), "zstd": zstd}
LIES = [("oci", "gzip", "zstd"), ("docker", "gzip", "tar")]
LIES += thorough(("oci", "tar", "gzip"), ("oci", "tar", "zstd"), ("oci", "gzip", "tar"), ("oci", "zstd", "tar"))
LIES += thorough(("oci", "zstd", "gzip"), ("docker", "tar", "gzip"), ("docker", "gzip", "zstd"))


@pytest.mark.parametrize("lie", LIES, ids="-".join)
def test_what_a_layer_is_its_bytes_say_as_far_as_the_engine_looks(pair, tmp_path, lie):
    fmt, said, given = lie
    tar = Tar().file("layer", f"{given}, though called {said}\n").bytes()
    pair.pull_both(pair.push(craft(tmp_path / "image", [(said, PACKERS[given](tar), tar)], fmt)))
