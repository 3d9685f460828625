"""Layers that attack whoever unpacks them: the host stays as it was, and an image is taken if, and only if, the
`docker pull` of the same engine takes it, with the same files."""

import bz2
import hashlib
import json
import lzma
import subprocess
import tarfile
import time
import zlib
from pathlib import Path

import pytest
from attack import Scene
from conftest import wanted_kinds
from lab import tree
from lab.cloud import layers
from lab.cloud.images import image
from lab.cloud.layers import (
    Layer,
    device,
    directory,
    fifo,
    file,
    hardlink,
    raw_layer,
    sha256,
    symlink,
    xattr,
)

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


@pytest.fixture(scope="module")
def zstd_scene(request, scene):
    """An engine that takes zstd layers, if it is among those to test with; else both refuse alike."""
    if scene.kind != "docker20" or "docker26" not in wanted_kinds(request.config):
        yield scene
        return
    with Scene("docker26", config={"max-download-attempts": 1}) as newer:
        yield newer


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


# --- making them


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


def with_bad_checksum():
    data = bytearray(layers.tar([("file", b"x")]))
    data[150] ^= 1
    return bytes(data)


def repeated(block, times, before=b"", after=b""):
    """A gzip blob of before + block * times + after that is made without its megabytes: a member for each part."""
    digest = hashlib.sha256(before)
    packed = gz(block, 9)
    for _ in range(times):
        digest.update(block)
    digest.update(after)
    blob = gz(before) + packed * times + gz(after)
    return Layer(blob, "sha256:" + digest.hexdigest())


def one_member(size, name="zeros"):
    """A file of zeros as one gzip member, about a thousandth of its size."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    digest, out = hashlib.sha256(), []
    parts = [header(name, b"%011o" % size), *[bytes(MIB)] * (size // MIB), bytes(1024)]
    for part in parts:
        digest.update(part)
        out.append(packer.compress(part))
    return Layer(b"".join([*out, packer.flush()]), "sha256:" + digest.hexdigest())


def flipped_trailer(at):
    def make(_plain, blob):
        data = bytearray(blob)
        data[at] ^= 1
        return bytes(data)

    return make


ESCAPES = {
    "dots": of((f"../../../../../../../../tmp/{MARK}", b"x")),
    "dots inside": of(("a/b", b"1"), (f"a/../../../../../../../tmp/{MARK}", b"x")),
    "dots alone": of(("..", directory()), ("../..", directory(0o700))),
    "dots to a directory": of((f"../../../../../../tmp/{MARK}", directory())),
    "absolute": of((f"/tmp/{MARK}", b"x")),
    "absolute, over a file": of((VICTIM, b"owned")),
    "double slash": of((f"//tmp//{MARK}", b"x")),
    "symlink to /tmp, then through it": of(("link", symlink("/tmp")), (f"link/{MARK}", b"x")),
    "symlink with dots, then through it": of(
        ("link", symlink("../../../../../../../../tmp")), (f"link/{MARK}", b"x")
    ),
    "symlink to a symlink, then through it": of(
        ("a", symlink("/")), ("b", symlink("a/tmp")), (f"b/{MARK}", b"x")
    ),
    "symlink to a file, then over it": of(("victim", symlink(VICTIM)), ("victim", b"owned")),
    "symlink to a file, then a hard link to it": of(
        ("s", symlink(VICTIM)), ("h", hardlink("s")), ("h", b"owned")
    ),
    "symlink in place of a directory": of(
        ("dir", directory()), ("dir", symlink("/tmp")), (f"dir/{MARK}", b"x")
    ),
    "directory mode through a symlink": of(("link", symlink("/tmp")), ("link", directory(0o000))),
    "hard link to a host file": of(("h", hardlink(VICTIM)), ("h", b"owned")),
    "hard link with dots": of(("h", hardlink("../../../../../../../.." + VICTIM))),
    "hard link through a symlink": of(("l", symlink("/tmp")), ("h", hardlink("l/berth-victim"))),
    "hard link to itself": of(("h", hardlink("h"))),
    "whiteout of dots": of(("a/b", b"1"), ("a/.wh...", b"")),
    "whiteout through a symlink": of(("l", symlink("/tmp")), ("l/.wh.berth-victim", b"")),
    "opaque through a symlink": of(("l", symlink("/tmp")), ("l/.wh..wh..opq", b"")),
    "whiteout of nothing": of((".wh.", b"")),
    "character device": of(("null", device(1, 3, mode=0o666))),
    "block device": of(("disk", device(8, 0, block=True, mode=0o666))),
    "device of impossible numbers": of(("odd", device(0o7777777, 0o7777777))),
    "device 0:0": of(("gone", device(0, 0))),
    "fifo": of(("pipe", fifo(mode=0o600))),
    "set-uid and world-writable": of(("su", file(b"x", mode=0o6777))),
    "trusted attribute": of(("d", directory(pax={xattr("trusted.overlay.opaque"): "y"}))),
    "redirect attribute": of(("d", directory(pax={xattr("trusted.overlay.redirect"): "/tmp"}))),
    "attribute of 70,000 bytes": of(("f", file(b"x", pax={xattr("user.big"): "x" * 70000}))),
    "owner of 2^31": of(("f", file(b"x", pax={"uid": "2147483648", "gid": "4294967295"}))),
    "owner of 2^40": of(("f", file(b"x", pax={"uid": "1099511627776"}))),
    "time before time": of(("f", file(b"x", pax={"mtime": "-1e18"}))),
    "empty name": of(("", b"x")),
    "NUL in a pax name": of(("f", file(b"x", pax={"path": f"f\0/tmp/{MARK}"}))),
    "path of 5,000 bytes": of(("d/" * 2500 + "f", b"x")),
    "name of 300 bytes": of(("n" * 300, b"x")),
    "link target of 5,000 bytes": of(("l", symlink("x/" * 2500))),
}

SIZES = {
    "negative, in octal": of_tar(header("f", b"-0000000001") + bytes(2048)),
    "negative, in base 256": of_tar(header("f", b"\xff" * 12) + bytes(2048)),
    "negative, in pax": of(("f", file(b"x", pax={"size": "-1"}))),
    "of nonsense": of_tar(header("f", b"elephants") + bytes(2048)),
    "2^62": of_tar(header("f", b"\x80" + bytes(3) + b"\x40" + bytes(7)) + bytes(2048)),
    "8 GiB, and nothing there": of_tar(header("f", b"77777777777") + bytes(2048)),
    "pax and header differ": of(("f", file(b"x" * 600, pax={"size": "5"}))),
    "pax header of 1 GiB, and nothing there": of_tar(
        header("p", b"%011o" % (1 << 30), b"x") + bytes(4096)
    ),
    "GNU sparse to 8 EiB": of(
        (
            "f",
            file(
                b"",
                pax={
                    "GNU.sparse.major": "1",
                    "GNU.sparse.minor": "0",
                    "GNU.sparse.realsize": "9" * 19,
                },
            ),
        )
    ),
}

BROKEN = {
    "no tar": of_tar(b"hello\n"),
    "a tar of one byte": of_tar(b"x"),
    "bad checksum": of_tar(with_bad_checksum),
    "cut in a header": of_tar(layers.tar([("f", b"x")])[:300]),
    "cut in a file": of_tar(layers.tar([("f", b"x" * 5000)])[:2000]),
    "no end": of(("f", b"x"), end=False),
    "half an end": of_tar(layers.tar([("f", b"x")], end=False) + bytes(512)),
    "empty": of_tar(b""),
    "only an end": of(),
    "another tar behind the end": of_tar(
        layers.tar([("a", b"1")]) + layers.tar([(f"../{MARK}", b"2")])
    ),
    "garbage behind the end": of_tar(layers.tar([("a", b"1")]) + b"\xff" * 10000),
    "one name 1,000 times": of(*[("same", b"%d" % n) for n in range(1000)]),
    "gzip cut in half": of_blob(lambda plain, blob: blob[: len(blob) // 2]),
    "gzip without its trailer": of_blob(lambda plain, blob: blob[:-8]),
    "gzip cut in its header": of_blob(lambda plain, blob: blob[:5]),
    "gzip with a wrong sum": of_blob(flipped_trailer(-8)),
    "gzip with a wrong length": of_blob(flipped_trailer(-1)),
    "gzip with a reserved block": of_blob(lambda plain, blob: blob[:10] + b"\x07" + blob[11:]),
    "gzip, then garbage": of_blob(lambda plain, blob: blob + b"garbage"),
    "gzip, then zeros": of_blob(lambda plain, blob: blob + bytes(512)),
    "gzip, then one byte": of_blob(lambda plain, blob: blob + b"\x1f"),
    "gzip, then half a header": of_blob(lambda plain, blob: blob + blob[:6]),
    "gzip in gzip": of_blob(lambda plain, blob: gz(blob)),
    "not compressed at all": of_blob(lambda plain, blob: plain),
    "bzip2": of_blob(lambda plain, blob: bz2.compress(plain)),
    "xz": of_blob(lambda plain, blob: lzma.compress(plain)),
    "nothing": of_blob(lambda plain, blob: b""),
}

CONFIGS = {
    "diff_id wrong": lambda ids: [sha256(b"other"), *ids[1:]],
    "diff_ids swapped": lambda ids: ids[::-1],
    "diff_ids too few": lambda ids: ids[:1],
    "diff_ids too many": lambda ids: [*ids, ids[0]],
    "diff_ids doubled": lambda ids: [ids[0], ids[0]],
}

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


@pytest.mark.parametrize("name", ESCAPES)
def test_out_of_the_layer(scene, victim, name):
    agree(
        scene,
        image([layers.layer([("base", b"1")]), ESCAPES[name]()], config={"Labels": {"row": name}}),
        name,
    )


@pytest.mark.parametrize("name", ["symlink to /tmp", "symlink to dots", "symlink to a file"])
def test_through_what_a_lower_layer_has_left(scene, victim, name):
    lower, upper = {
        "symlink to /tmp": ([("link", symlink("/tmp"))], [(f"link/{MARK}", b"x")]),
        "symlink to dots": ([("link", symlink("../../../../../../tmp"))], [(f"link/{MARK}", b"x")]),
        "symlink to a file": ([("file", symlink(VICTIM))], [("file", b"owned")]),
    }[name]
    agree(scene, image([layers.layer(lower), layers.layer(upper)]), name)


@pytest.mark.parametrize("name", SIZES)
def test_sizes_that_lie(scene, name):
    agree(scene, image([SIZES[name]()]), name)


def test_a_pax_header_of_256_mib_that_is_there(scene):
    """Docker takes it into memory before it says no; berth does not look into it at all."""
    made = repeated(
        b"a" * (16 * MIB),
        16,
        header("p", b"%011o" % (1 << 28), b"x"),
        layers.tar([("f", b"x")]),
    )
    with scene.registry() as registry, scene.untouched():
        registry.push(image([made]), "app")
        pulled = scene.pull(registry.reference("app"))
        if scene.engine.containerd_store:
            pulled.failed("berth: pull app: ", "tar: an extended header of 268435456 bytes")
        else:
            pulled.failed("berth: pull app: Docker's load: ", "archive/tar: ")
    assert pulled.cpu_s < 10


@pytest.mark.parametrize("name", BROKEN)
def test_broken(scene, name):
    agree(scene, image([BROKEN[name]()], config={"Labels": {"row": name}}), name)


@pytest.mark.parametrize("name", CONFIGS)
def test_diff_ids(scene, name):
    made = [layers.layer([("one", name.encode())]), layers.layer([("two", name.encode())])]
    agree(scene, image(made, diff_ids=CONFIGS[name]([m.diff_id for m in made])), name)


class TestBombs:
    def test_of_zeros(self, scene):
        """300 MB in 300 kB. Docker takes it; berth needs no more time than to hash it, and no memory."""
        pulled, said = agree(scene, image([one_member(300 * MIB)]), timeout=60)
        assert said is None and pulled.cpu_s < 10

    def test_that_docker_refuses_at_once(self, scene):
        """1 GiB of what is no tar, in 1 MB."""
        pulled, said = agree(scene, image([repeated(b"\xff" * (16 * MIB), 64)]), timeout=60)
        assert said is not None and pulled.cpu_s < 10

    def test_of_members(self, scene):
        """A hundred thousand empty members."""
        empty = gz(b"")
        plain = layers.tar([("f", b"x")])
        agree(scene, image([raw_layer(empty * 100_000 + gz(plain), plain)]), timeout=60)

    def test_of_entries(self, scene):
        """10,000 empty files."""
        agree(scene, image([of(*[(f"f{n}", b"") for n in range(10_000)])()]), timeout=120)

    def test_in_depth(self, scene):
        """A directory 300 levels deep."""
        agree(scene, image([of(*[("d/" * n, directory()) for n in range(1, 300)])()]), timeout=60)

    def test_of_layers(self, scene):
        """130 layers: overlay2 stops at 128, others elsewhere."""
        made = [layers.layer([(f"f{n}", b"%d" % n)]) for n in range(130)]
        pulled, said = agree(scene, image(made))
        assert said is None or "max depth" in pulled.last_line


def zstd_frame(window_log, payload):
    """A frame of raw blocks with any window, by hand (RFC 8878 §3.1.1): no encoder makes these."""
    out = bytearray(b"\x28\xb5\x2f\xfd" + bytes([0x00, (window_log - 10) << 3]))
    for start in range(0, len(payload), 65536):
        part = payload[start : start + 65536]
        last = start + 65536 >= len(payload)
        out += (int(last) | len(part) << 3).to_bytes(3, "little") + part
    return bytes(out)


def zstd_layer(window_log=None, make=None):
    plain = layers.tar([("file", b"x" * 5000)])
    blob = (
        zstd_frame(window_log, plain) if window_log else make(plain, layers.compress(plain, "zstd"))
    )
    return raw_layer(blob, plain, "zstd")


class TestZstd:
    def test_old_docker_takes_none(self, scene):
        pulled, said = agree(scene, image([zstd_layer(23)]))
        if scene.kind == "docker20":
            assert said is not None and "zstd" in pulled.last_line

    @pytest.mark.parametrize("log", [10, 23, 26, 27])
    def test_windows_that_are_usual(self, zstd_scene, log):
        agree(zstd_scene, image([zstd_layer(log)], config={"Labels": {"row": str(log)}}))

    @pytest.mark.parametrize("log", [28, 30, 31, 41])
    def test_windows_that_are_not(self, zstd_scene, log):
        """2 GiB of window is 2 GiB of memory: berth refuses whatever the engine does."""
        pulled, _ = compare(
            zstd_scene, image([zstd_layer(log)], config={"Labels": {"row": str(log)}})
        )
        pulled.failed("zstd")

    @pytest.mark.parametrize(
        "name, make",
        {
            "cut": lambda plain, blob: blob[: len(blob) // 2],
            "zstd, then garbage": lambda plain, blob: blob + b"garbage",
            "then a skippable frame": lambda plain, blob: blob + b"\x50\x2a\x4d\x18\x04\0\0\0abcd",
            "bad magic": lambda plain, blob: b"\x29" + blob[1:],
            "a bomb": None,
        }.items(),
    )
    def test_broken(self, zstd_scene, name, make):
        if name == "a bomb":
            plain = layers.tar([("zeros", bytes(200 * MIB))])
            made = raw_layer(layers.compress(plain, "zstd", 19), plain, "zstd")
        else:
            made = zstd_layer(make=make)
        agree(zstd_scene, image([made], config={"Labels": {"row": name}}), name, timeout=60)


def test_config_of_a_stranger_is_json_and_no_more(scene, victim):
    """Members that Docker does not know, or that name host paths, make nothing happen at a pull."""
    document = image(
        [layers.layer([("f", b"x")])],
        config={
            "Volumes": {VICTIM: {}, "/../../tmp/" + MARK: {}},
            "Cmd": ["rm", "-rf", "/"],
            "User": "0:0",
        },
        change_config=lambda d: {
            **d,
            "container": "x" * 64,
            "HostConfig": {"Binds": ["/:/host"], "Privileged": True},
        },
    )
    pulled, said = agree(scene, document)
    assert said is None
    assert json.loads(document.data)["config"]
