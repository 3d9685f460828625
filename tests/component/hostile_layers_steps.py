"""What the tests of layers that attack whoever unpacks them share: how they are made, and who is asked.

The host stays as it was, and an image is taken if, and only if, the `docker pull` of the same engine takes it, with the
same files.
"""

import subprocess
import tarfile
import time
from pathlib import Path

import pytest
from attack import Scene
from conftest import wanted_kinds
from lab import tree
from lab.cloud import layers
from lab.cloud.layers import raw_layer

MARK = "berth-escape"  # no file of this name may be anywhere but in a layer's own directory
VICTIM = "/tmp/berth-victim"
MIB = 1 << 20
# One that unpacks by itself, one whose layers berth unpacks.
KINDS = ("docker20", "docker26c", "own", "ownc")


def pytest_generate_tests(metafunc):
    if "scene" in metafunc.fixturenames:
        kinds = [kind for kind in wanted_kinds(metafunc.config) if kind in KINDS]
        metafunc.parametrize("scene", kinds, indirect=True, scope="module")


@pytest.fixture(scope="module")
def scene(request):
    # One attempt: Docker would wait and try again what it cannot unpack.
    with Scene(request.param, config={"max-download-attempts": 1}) as scene:
        yield scene


@pytest.fixture
def victim():
    """A file of the host, as it was and where it was."""
    path = Path(VICTIM)
    path.unlink(missing_ok=True)
    path.write_bytes(b"untouched\n")
    path.chmod(0o640)
    before = path.lstat()
    yield path
    after = path.lstat()
    assert path.read_bytes() == b"untouched\n"
    for field in (
        "st_ino",
        "st_mode",
        "st_uid",
        "st_gid",
        "st_nlink",
        "st_size",
        "st_mtime_ns",
        "st_ctime_ns",
    ):
        assert getattr(after, field) == getattr(before, field), field
    path.unlink()


def gz(data, level=6):
    return layers.compress(data, "gzip", level)


def of(*entries, end=True, compression="gzip"):
    return lambda: layers.layer(list(entries), compression, end=end)


def of_tar(data):
    """A layer of these bytes, whatever they are."""
    return lambda: raw_layer(
        gz(data() if callable(data) else data), data() if callable(data) else data
    )


def of_blob(make):
    """make(tar, its gzip) -> the blob, under the diff_id of that tar."""

    def build():
        plain = layers.tar([("file", b"x" * 5000)])
        return raw_layer(make(plain, gz(plain)), plain)

    return build


def header(name, size_field=None, kind=b"0", **fields):
    """A tar header with a true checksum and any size field."""
    info = tarfile.TarInfo(name)
    info.type = kind
    for key, value in fields.items():
        setattr(info, key, value)
    block = bytearray(info.tobuf(tarfile.USTAR_FORMAT)[:512])
    if size_field is not None:
        block[124:136] = size_field.ljust(12, b"\0")
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


# What berth refuses though some engines take it: name -> its words.
REFUSED_BY_BERTH = {
    # No media type of a layer means these; engines try them by their first bytes.
    "bzip2": "layer 1 of 1",
    "xz": "layer 1 of 1",
    # Docker 20.10 and the containerd store refuse what is behind the last frame or member, and what the trailer
    # says wrong; later classic stores stop reading at the tar's end and never see it.
    "zstd, then garbage": "zstd",
}


def host_is_clean(scene):
    """The mark is nowhere but below an unpacked layer's own directory."""
    for directory_, depth in (("/", 2), ("/run", 5), (scene.engine.data_dir, 99)):
        found = subprocess.run(
            ["find", directory_, "-maxdepth", str(depth)]
            + ["(", "-path", "*/overlay2/*/diff", "-o", "-path", "*/snapshots/*/fs", ")", "-prune"]
            + ["-o", "-name", f"*{MARK}*", "-print"],
            capture_output=True,
            text=True,
            check=False,
        ).stdout
        assert found == ""


def walk(scene, reference):
    return [tree.walk(path) for path in scene.engine.layer_dirs(reference)]


def compare(scene, document, **pull):
    """Both pull the image into the same engine, one after the other: berth's Pulled, and what Docker said or None."""
    with scene.registry() as registry:
        registry.push(document, "app")
        reference = registry.reference("app")
        before = time.time_ns()
        with scene.untouched():
            said = scene.docker_pull(reference)
            if said is None:
                theirs, their_config = walk(scene, reference), scene.inspect(reference)["Config"]
                scene.remove(reference)
        if said is None:
            pulled = scene.pull(reference, **pull)
        else:
            with scene.untouched():
                pulled = scene.pull(reference, **pull)
        host_is_clean(scene)
        if pulled.code == 0:
            if said is None:
                for ours, other in zip(walk(scene, reference), theirs, strict=True):
                    assert tree.differences(ours, other, before) == []
                assert scene.inspect(reference)["Config"] == their_config
            scene.remove(reference)
        return pulled, said


def agree(scene, document, name="", **pull):
    pulled, said = compare(scene, document, **pull)
    if name in REFUSED_BY_BERTH:
        pulled.failed(REFUSED_BY_BERTH[name])
    elif said is None:
        assert pulled.code == 0, f"docker pull takes it\n{pulled}"
    else:
        assert pulled.code == 1, f"docker pull says: {said}\n{pulled}"
        pulled.failed("berth: ", " app: ")
    return pulled, said
