"""Layers made in memory from a list of entries, with every way to write them wrong."""

import gzip
import hashlib
import io
import subprocess
import tarfile
from dataclasses import dataclass, field

OCI_LAYER = "application/vnd.oci.image.layer.v1.tar"
DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar"


def sha256(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


@dataclass
class Entry:
    """What a name in a layer is. Any TarInfo attribute (mode, uid, mtime, …) goes into
    `attributes`, pax records into `pax`.
    """

    kind: bytes = tarfile.REGTYPE
    data: bytes = b""
    link: str = ""
    attributes: dict = field(default_factory=dict)
    pax: dict = field(default_factory=dict)


def file(data=b"", *, pax=None, **attributes):
    return Entry(tarfile.REGTYPE, data, attributes=attributes, pax=pax or {})


def directory(mode=0o755, *, pax=None, **attributes):
    return Entry(tarfile.DIRTYPE, attributes={"mode": mode, **attributes}, pax=pax or {})


def symlink(target, **attributes):
    return Entry(tarfile.SYMTYPE, link=target, attributes={"mode": 0o777, **attributes})


def hardlink(target, **attributes):
    return Entry(tarfile.LNKTYPE, link=target, attributes=attributes)


def device(major, minor, *, block=False, **attributes):
    return Entry(
        tarfile.BLKTYPE if block else tarfile.CHRTYPE,
        attributes={"devmajor": major, "devminor": minor, **attributes},
    )


def fifo(**attributes):
    return Entry(tarfile.FIFOTYPE, attributes=attributes)


def xattr(name):
    """The pax key of an extended attribute: file(pax={xattr("user.x"): "1"})."""
    return f"SCHILY.xattr.{name}"


def tar(entries, *, end=True):
    """The bytes of a pax tar of (name, what) pairs: what is an Entry, bytes (a file), None (a
    directory), or bytes in a tuple (raw, placed as they are: hand-made headers). Names are kept
    exactly, `../x` and `/etc/x` included.
    """
    out = io.BytesIO()
    for name, what in entries:
        if isinstance(what, tuple):
            out.write(b"".join(what))
            continue
        entry = directory() if what is None else file(what) if isinstance(what, bytes) else what
        info = tarfile.TarInfo(name)
        info.type, info.linkname, info.size = entry.kind, entry.link, len(entry.data)
        info.mode, info.mtime = 0o644, 1700000000
        for key, value in entry.attributes.items():
            setattr(info, key, value)
        info.pax_headers = dict(entry.pax)
        if entry.kind == tarfile.DIRTYPE and not name.endswith("/"):
            info.name = name + "/"
        out.write(info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape"))
        data = entry.data
        out.write(data + b"\0" * (-len(data) % tarfile.BLOCKSIZE))
    if end:
        out.write(b"\0" * (2 * tarfile.BLOCKSIZE))
    return out.getvalue()


def compress(data, how, level=None):
    """how: "gzip", "zstd" or "none"."""
    if how == "gzip":
        return gzip.compress(data, level if level is not None else 6, mtime=0)
    if how == "zstd":
        done = subprocess.run(
            ["zstd", f"-{level or 3}", "--ultra", "-q", "-c"],
            input=data,
            stdout=subprocess.PIPE,
            check=True,
        )
        return done.stdout
    return data


@dataclass
class Layer:
    blob: bytes
    diff_id: str
    compression: str = "gzip"
    size: int = -1  # as the manifest will say
    digest: str = ""
    media_type: str = ""  # "" for the one that fits the image's kind

    def __post_init__(self):
        self.digest = self.digest or sha256(self.blob)
        self.size = len(self.blob) if self.size < 0 else self.size

    def media(self, kind):
        if self.media_type:
            return self.media_type
        if kind == "docker":
            # Docker's own media types know no zstd; what there is in the wild uses OCI's style of
            # suffix.
            return DOCKER_LAYER + {"gzip": ".gzip", "none": "", "zstd": ".zstd"}[self.compression]
        return OCI_LAYER + {"gzip": "+gzip", "none": "", "zstd": "+zstd"}[self.compression]


def layer(entries, compression="gzip", *, level=None, end=True):
    """A Layer of the entries (see tar)."""
    plain = tar(entries, end=end)
    return Layer(compress(plain, compression, level), sha256(plain), compression)


def raw_layer(blob, plain, compression="gzip"):
    """A Layer of ready-made compressed bytes, with diff_id of the plain ones."""
    return Layer(blob, sha256(plain), compression)
