"""Layers that lie about sizes, and bombs: they cost neither time nor memory."""

import hashlib
import zlib

import pytest
from hostile_layers_steps import MIB, agree, gz, header, of, of_tar
from hostile_layers_steps import pytest_generate_tests, scene  # noqa: F401 (fixtures)
from lab.cloud import layers
from lab.cloud.images import image
from lab.cloud.layers import Layer, directory, file, raw_layer


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
