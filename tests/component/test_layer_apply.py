"""Layers unpacked by a jailed worker, alone and in a whole `berth pull`: as the engine's own pull leaves them."""

import json
import os
import stat
import subprocess
import time
from pathlib import Path

import pytest

import lab
import layer_cases
from attack import Scene
from conftest import wanted_kinds
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


def root_path(root, name):
    """name below root through the links there, which lead nowhere else."""
    rest, at, links = name.split("/"), [], 0
    while rest:
        part = rest.pop(0)
        if part in ("", "."):
            continue
        if part == "..":
            at = at[:-1]
            continue
        path = root.joinpath(*at, part)
        if path.is_symlink() and (links := links + 1) < 100:
            target = os.readlink(path)
            at = [] if target.startswith("/") else at
            rest = target.split("/") + rest
            continue
        at.append(part)
    return root.joinpath(*at)


def take_from_below(directory, answer, below):
    """As a store does with the directories that a layer implies; `below` has the highest layer first."""
    for name in answer["implied_attributes"]:
        ours = directory / name
        for layer in below:
            theirs = root_path(layer, name)
            try:
                status = os.lstat(theirs)
            except FileNotFoundError:
                continue
            except NotADirectoryError:
                break
            if stat.S_ISDIR(status.st_mode):
                for key in os.listxattr(theirs):
                    if not key.startswith("trusted."):
                        os.setxattr(ours, key, os.getxattr(theirs, key))
                if name in answer["implied"]:
                    times = os.lstat(ours) if os.listdir(ours) else status
                    os.chown(ours, status.st_uid, status.st_gid)
                    os.chmod(ours, stat.S_IMODE(status.st_mode))
                    os.utime(ours, ns=(times.st_atime_ns, times.st_mtime_ns))
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
        take_from_below(directory, answer, below)
        below.insert(0, directory)
    return below[::-1], None


def pytest_generate_tests(metafunc):
    if "scene" in metafunc.fixturenames:
        kinds = [kind for kind in wanted_kinds(metafunc.config) if kind.endswith("c")]
        metafunc.parametrize("scene", kinds, indirect=True, scope="module")


@pytest.fixture(scope="module")
def scene(request):
    # One attempt: Docker would wait and try again what it cannot unpack.
    with Scene(request.param, config={"max-download-attempts": 1}) as scene:
        with lab.Registry(scene.ns) as scene.distribution:
            yield scene


@pytest.fixture(scope="module")
def cases():
    """An image for each of layer_cases.ALL."""
    with lab.paths.scratch() as directory:
        layout = oci.Layout(Path(directory))
        for i, layers in enumerate(layer_cases.ALL.values()):
            made = [layout.layer(layer_cases.tar_bytes(layer), note=f"case {i}") for layer in layers]
            layout.tag(f"case{i}", layout.image(made, {}))
        layout.write()
        yield {name: oci.read(Path(directory), f"case{i}") for i, name in enumerate(layer_cases.ALL)}


class TestAgainstContainerd:
    """Each image by three ways: the engine's own pull, workers alone, and berth's pull into the same engine."""

    def by_workers(self, scratch, image, theirs, before):
        ours, answer = unpack_image(image, scratch)
        if theirs is None:
            assert answer and answer["kind"] == "refused"
            return
        assert not answer, f"the engine took it, but not we: {answer}"
        for mine, other in zip(ours, theirs, strict=True):
            assert tree.differences(tree.walk(mine), other, before) == []

    def by_pull(self, scene, reference, theirs, before):
        if theirs is None:
            with scene.untouched():
                scene.pull(reference).failed(f"berth: pull {reference.split('/')[-1].split(':')[0]}: layer ")
            return
        answer = scene.pull(reference, "--json").succeeded().answer
        assert answer["store"] == "containerd"
        for mine, other in zip(scene.engine.layer_dirs(reference), theirs, strict=True):
            assert tree.differences(tree.walk(mine), other, before) == []
        scene.remove(reference)

    def compare(self, scene, scratch, image, repository):
        reference, before, theirs = images.push_image(image, scene.distribution, repository), time.time_ns(), None
        refusal = scene.docker_pull(reference)
        if refusal is None:
            theirs = [tree.walk(path) for path in scene.engine.layer_dirs(reference)]
            scene.remove(reference)
        self.by_workers(scratch, image, theirs, before)
        self.by_pull(scene, reference, theirs, before)

    @pytest.mark.parametrize("name", [f"odd:{tag}" for tag in recipes_odd.TAGS] + ["quickstart:v1", "zstd:webapp"])
    def test_images(self, scene, scratch, name):
        self.compare(scene, scratch, images.get(name), name.replace(":", "/"))

    @pytest.mark.parametrize("name", layer_cases.ALL)
    def test_cases(self, scene, cases, scratch, name):
        if name in layer_cases.STRICTER:
            reference, before = images.push_image(cases[name], scene.distribution, "case"), time.time_ns()
            self.by_workers(scratch, cases[name], None, before)
            self.by_pull(scene, reference, None, before)
        else:
            self.compare(scene, scratch, cases[name], "case")


if __name__ == "__main__":
    pytest.main([__file__])
