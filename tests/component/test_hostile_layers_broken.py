"""Layers that are cut, spoiled, packed in odd ways or not what their config says; what zstd frames may be."""

import bz2
import lzma

import pytest
from attack import Scene
from conftest import wanted_kinds
from hostile_layers_steps import MARK, MIB, agree, compare, gz, of, of_blob, of_tar
from hostile_layers_steps import pytest_generate_tests, scene  # noqa: F401 (fixtures)
from lab.cloud import layers
from lab.cloud.images import image
from lab.cloud.layers import raw_layer, sha256


@pytest.fixture(scope="module")
def zstd_scene(request, scene):
    """An engine that takes zstd layers, if it is among those to test with; else both refuse alike."""
    if scene.kind != "docker20" or "docker26" not in wanted_kinds(request.config):
        yield scene
        return
    with Scene("docker26", config={"max-download-attempts": 1}) as newer:
        yield newer


def with_bad_checksum():
    data = bytearray(layers.tar([("file", b"x")]))
    data[150] ^= 1
    return bytes(data)


def flipped_trailer(at):
    def make(_plain, blob):
        data = bytearray(blob)
        data[at] ^= 1
        return bytes(data)

    return make


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


@pytest.mark.parametrize("name", BROKEN)
def test_broken(scene, name):
    agree(scene, image([BROKEN[name]()], config={"Labels": {"row": name}}), name)


@pytest.mark.parametrize("name", CONFIGS)
def test_diff_ids(scene, name):
    made = [layers.layer([("one", name.encode())]), layers.layer([("two", name.encode())])]
    agree(scene, image(made, diff_ids=CONFIGS[name]([m.diff_id for m in made])), name)


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
