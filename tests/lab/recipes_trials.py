"""Images for trials: much data through wide windows, and every kind of entry in few bytes."""

import io
import random
import subprocess

from . import oci, recipes_odd, recipes_small
from .oci import Tar

MIB = 1 << 20
PIECE_BYTES = 64 << 10
LAYERS, LAYER_BYTES, SMALL_FILES = 4, 88 * MIB, 1500
WINDOW_LOG = 23  # 8 MiB: the most that RFC 8878 section 3.1.1.1.2 recommends decoders to support


def heavy(layout: oci.Layout):
    """Four equal layers of 88 MiB: all workers have work at once; zstd: with windows of 8 MiB."""
    base = recipes_small.base(layout)
    packed, wide = [base], [base]
    for number in range(LAYERS):
        tar = _much(number)
        packed.append(layout.layer_from(io.BytesIO(tar), note=f"heavy {number}", level=1))
        wide.append(layout.packed_layer(_widely(tar), tar, "zstd"))
    run = {"Cmd": ["/bin/sh"], "Env": [recipes_small.PATH]}
    layout.tag("gzip", layout.image(packed, run))
    layout.tag("zstd", layout.image(wide, run))


def _much(number) -> bytes:
    """A tar of files of all sizes. Half of what they hold was there before, within the window."""
    chance, tar, size = random.Random(number), Tar(), 0
    pool = [_new(chance) for _ in range(3 * MIB // PIECE_BYTES)]
    tar.dir(f"heavy{number}")
    for i in range(SMALL_FILES):
        tar.file(f"heavy{number}/{i:04}", chance.choice(pool)[: chance.randrange(4096)])
    while size < LAYER_BYTES:
        data = b"".join(_piece(chance, pool) for _ in range(chance.choice((1, 4, 16, 128))))
        tar.file(f"heavy{number}/at{size}", data)
        size += len(data)
    return tar.bytes()


def _piece(chance, pool):
    """One that the pool has, or a new one that takes the place of the oldest."""
    if chance.random() < 0.5:
        return chance.choice(pool)
    pool.append(_new(chance))
    return pool.pop(0)


def _new(chance):
    return chance.randbytes(PIECE_BYTES // 2).hex().encode()


def _widely(tar: bytes) -> bytes:
    argv = ["zstd", "-q", "-1", f"--zstd=wlog={WINDOW_LOG}", "--long=23", "-c"]
    data = subprocess.run(argv, input=tar, stdout=subprocess.PIPE, check=True).stdout
    # RFC 8878 section 3.1.1.1: no single segment, hence a window descriptor: exponent and mantissa.
    assert not data[4] & 0x20 and data[5] == (WINDOW_LOG - 10) << 3, data[:6].hex()
    return data


def mixed(layout: oci.Layout):
    """Every kind of entry in four small layers: what a campaign pulls a thousand times."""
    below = Tar().dir("d").dir("d/sub").dir("gone").file("gone/x", "x")
    below.dir("veiled").file("veiled/old", "old").file("d/lower", "seen from below")
    below.file("d/file", "f" * 5000, mode=0o640, uid=7, gid=8).link("d/hard", "d/file")
    below.symlink("d/soft", "file").file("kind", "a file").dir("known", mode=0o711, uid=5, gid=6)
    capability = {"SCHILY.xattr.security.capability": recipes_odd.FILE_CAPABILITY.decode("latin-1")}
    special = Tar().file("bind", "#!/bin/sh\n", mode=0o755, pax=capability)
    special.file("setuid", "#!/bin/sh\n", mode=0o4755)
    special.add("fifo", oci.tarfile.FIFOTYPE, mode=0o600)
    special.add("null", oci.tarfile.CHRTYPE, mode=0o666, devmajor=1, devminor=3)
    special.file("noted", "x", pax={"SCHILY.xattr.user.lab": "value"}).dir("sticky", mode=0o1777)
    special.file("known/new", "a directory of the layer below")
    above = Tar().whiteout("d/lower").whiteout("gone")
    above.dir("veiled").opaque("veiled").file("veiled/new", "new")
    above.dir("kind").file("kind/now", "a directory")
    above.dir("d").file("d/later", "later", mtime=oci.MTIME + 0.5)
    layers = [recipes_small.base(layout), layout.layer(below.bytes(), note="below")]
    layers.append(layout.layer(special.bytes(), "zstd", "special"))
    layers.append(layout.layer(above.bytes(), note="above"))
    layout.tag("latest", layout.image(layers, {"Cmd": ["/bin/sh"], "Env": [recipes_small.PATH]}))
