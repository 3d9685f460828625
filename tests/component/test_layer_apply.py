"""Layers unpacked by a jailed worker: as containerd's own pull leaves them, and nothing outside their directory."""

import gzip
import io
import json
import os
import shutil
import stat
import subprocess
import tarfile
import time
from pathlib import Path

import pytest

import lab
from lab import images, oci, recipes_odd, tree
from lab.oci import Tar

DRIVER = Path(__file__).resolve().parent / "driver_layer"
if not DRIVER.exists():
    DRIVER = Path(os.environ["BERTH_BUILD"]) / "tests/component/driver_layer"


@pytest.fixture
def scratch():
    with lab.paths.scratch() as directory:
        yield Path(directory)


def unpack(blob, directory, bottom=False):
    """What the driver says: diff_id and implied directories, or an error."""
    directory.mkdir(exist_ok=True)
    argv = [DRIVER, blob, directory] + (["bottom"] if bottom else [])
    done = subprocess.run(argv, capture_output=True, text=True, timeout=120)
    assert done.stdout, done.stderr
    return json.loads(done.stdout)


def unpack_tar(tar, scratch, bottom=False):
    """A Tar or bytes, not compressed, into a fresh directory."""
    blob = scratch / "blob"
    blob.write_bytes(tar.bytes() if isinstance(tar, Tar) else tar)
    directory = scratch / "layer"
    return unpack(blob, directory, bottom), directory


def take_from_below(directory, implied, below):
    """As a store does with the directories that a layer implies; `below` has the highest layer first."""
    for name in implied:
        for layer in below:
            try:
                status = os.lstat(layer / name)
            except FileNotFoundError:
                continue
            except NotADirectoryError:
                break
            if stat.S_ISDIR(status.st_mode):
                times = os.lstat(directory / name)
                os.chown(directory / name, status.st_uid, status.st_gid)
                os.chmod(directory / name, stat.S_IMODE(status.st_mode))
                os.utime(directory / name, ns=(times.st_atime_ns, times.st_mtime_ns))
            break


def unpack_image(image, scratch):
    """Every layer of an image, lowest first, and the answer that ended it."""
    below = []
    for i, layer in enumerate(image.layers):
        directory = scratch / f"{i}"
        answer = unpack(image.blob(layer["digest"]), directory, bottom=i == 0)
        if "error" in answer:
            return below[::-1], answer
        assert f"sha256:{answer['diff_id']}" == image.diff_ids[i]
        take_from_below(directory, answer["implied"], below)
        below.insert(0, directory)
    return below[::-1], None


class TestAgainstContainerd:
    @pytest.fixture(scope="class")
    def containerd(self):
        before = time.time_ns()
        with lab.Namespace() as ns, lab.Registry(ns) as registry, lab.Engine("docker26c") as engine:
            yield engine.start(ns), registry, before

    @pytest.mark.parametrize("name", [f"odd:{tag}" for tag in recipes_odd.TAGS] + ["quickstart:v1", "zstd:webapp"])
    def test_the_same_tree_or_the_same_refusal(self, containerd, scratch, name):
        engine, registry, before = containerd
        reference = images.push(name, registry, name.replace(":", "/"))
        try:
            engine.docker("pull", reference)
        except lab.LabError as error:
            assert "failed to" in str(error) or "unhandled" in str(error)
            _, refused = unpack_image(images.get(name), scratch)
            assert refused and refused["kind"] == "refused", refused
            return
        ours, refused = unpack_image(images.get(name), scratch)
        assert not refused, refused
        theirs = engine.layer_dirs(reference)
        for mine, other in zip(ours, theirs, strict=True):
            assert tree.differences(tree.walk(mine), tree.walk(other), before) == []


if __name__ == "__main__":
    pytest.main([__file__])
