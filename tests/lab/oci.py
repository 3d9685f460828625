"""OCI image layouts: written here, byte by byte and the same every time, and read back."""

import gzip
import hashlib
import io
import json
import os
import subprocess
import tarfile
import threading
import zlib
from dataclasses import dataclass, field
from pathlib import Path

from .paths import LabError

OCI = "application/vnd.oci.image"
DOCKER = "application/vnd.docker"

# By format: manifest, config, layer as gzip, plain and zstd, index.
MEDIA_TYPES = {
    "oci": {
        "manifest": f"{OCI}.manifest.v1+json",
        "config": f"{OCI}.config.v1+json",
        "gzip": f"{OCI}.layer.v1.tar+gzip",
        "tar": f"{OCI}.layer.v1.tar",
        "zstd": f"{OCI}.layer.v1.tar+zstd",
        "index": f"{OCI}.index.v1+json",
    },
    "docker": {
        "manifest": f"{DOCKER}.distribution.manifest.v2+json",
        "config": f"{DOCKER}.container.image.v1+json",
        "gzip": f"{DOCKER}.image.rootfs.diff.tar.gzip",
        "tar": f"{DOCKER}.image.rootfs.diff.tar",
        "zstd": f"{DOCKER}.image.rootfs.diff.tar.zstd",
        "index": f"{DOCKER}.distribution.manifest.list.v2+json",
    },
}

AMD64 = {"os": "linux", "architecture": "amd64"}
ARM64 = {"os": "linux", "architecture": "arm64", "variant": "v8"}
HERE = ARM64 if os.uname().machine == "aarch64" else AMD64
ELSEWHERE = AMD64 if HERE is ARM64 else ARM64

CREATED = "2024-01-01T00:00:00Z"
MTIME = 1704067200  # CREATED
READ = 1 << 20

# The annotation by which index.json names its entries (image-spec, annotations.md).
REF_NAME = "org.opencontainers.image.ref.name"


def sha256(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


def compact(document) -> bytes:
    return json.dumps(document, separators=(",", ":")).encode()


@dataclass
class Layer:
    """A layer whose compressed bytes are a blob of some layout already."""

    digest: str
    size: int
    diff_id: str
    compression: str = "gzip"
    note: str = "lab"


@dataclass
class Image:
    """An image of a layout, as read back: what a test compares an engine's answers with."""

    layout: Path
    tag: str
    digest: str  # of what the tag points at: an index or a manifest
    media_type: str
    manifest_digest: str  # this platform's
    manifest: dict
    config: dict
    top: dict = field(repr=False)  # the document behind digest

    @property
    def config_digest(self) -> str:
        return self.manifest["config"]["digest"]

    @property
    def layers(self) -> list[dict]:
        return self.manifest["layers"]

    @property
    def diff_ids(self) -> list[str]:
        return self.config["rootfs"]["diff_ids"]

    @property
    def size_bytes(self) -> int:
        return sum(layer["size"] for layer in self.layers)

    def blob(self, digest: str) -> Path:
        return blob_path(self.layout, digest)


def blob_path(layout: Path, digest: str) -> Path:
    return layout / "blobs" / digest.replace(":", "/")


class Layout:
    """An OCI image layout directory being written."""

    def __init__(self, path: Path):
        self.path = path
        (path / "blobs/sha256").mkdir(parents=True, exist_ok=True)
        (path / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
        self.entries: list[dict] = []

    def put(self, data: bytes, media_type: str, **more) -> dict:
        """Store a blob, return its descriptor."""
        digest = sha256(data)
        blob_path(self.path, digest).write_bytes(data)
        return {"mediaType": media_type, "digest": digest, "size": len(data), **more}

    def layer(self, tar: bytes, compression: str = "gzip", note: str = "lab") -> Layer:
        """Store a layer given as tar bytes."""
        return self.layer_from(io.BytesIO(tar), compression, note)

    def layer_from(self, stream, compression: str = "gzip", note: str = "lab", level=6) -> Layer:
        """Store a layer read from a tar stream of any length."""
        temporary = self.path / f"blobs/.{os.getpid()}-{id(stream)}"
        plain, packed, size = hashlib.sha256(), hashlib.sha256(), 0
        with open(temporary, "wb") as out:
            for piece in _compressed(stream, compression, plain, level):
                packed.update(piece)
                size += len(piece)
                out.write(piece)
        digest = "sha256:" + packed.hexdigest()
        temporary.rename(blob_path(self.path, digest))
        return Layer(digest, size, "sha256:" + plain.hexdigest(), compression, note)

    def packed_layer(self, data: bytes, tar: bytes, compression: str = "gzip") -> Layer:
        """Store a layer that was compressed by hand: data inflates to tar."""
        descriptor = self.put(data, "")
        return Layer(descriptor["digest"], descriptor["size"], sha256(tar), compression)

    def image(self, layers: list[Layer], run: dict, platform=HERE, fmt="oci", **more) -> dict:
        """Store config and manifest; the manifest's descriptor. run is the config's `config`."""
        types = MEDIA_TYPES[fmt]
        history = [{"created": CREATED, "created_by": layer.note} for layer in layers]
        history.append({"created": CREATED, "created_by": "CMD", "empty_layer": True})
        config = {
            "created": CREATED,
            **platform,
            "config": run,
            "rootfs": {"type": "layers", "diff_ids": [layer.diff_id for layer in layers]},
            "history": history,
            **more,
        }
        manifest = {
            "schemaVersion": 2,
            "mediaType": types["manifest"],
            "config": self.put(compact(config), types["config"]),
            "layers": [
                {"mediaType": types[x.compression], "digest": x.digest, "size": x.size}
                for x in layers
            ],
        }
        return self.put(compact(manifest), types["manifest"], platform=dict(platform))

    def index(self, descriptors: list[dict], fmt: str = "oci") -> dict:
        """Store an index (manifest list) of these; its descriptor."""
        media_type = MEDIA_TYPES[fmt]["index"]
        document = {"schemaVersion": 2, "mediaType": media_type, "manifests": descriptors}
        return self.put(compact(document), media_type)

    def tag(self, name: str, descriptor: dict):
        """Name a manifest or index; write() makes it so."""
        entry = {k: v for k, v in descriptor.items() if k != "platform"}
        self.entries.append(entry | {"annotations": {REF_NAME: name}})

    def write(self):
        index = {"schemaVersion": 2, "mediaType": f"{OCI}.index.v1+json", "manifests": self.entries}
        (self.path / "index.json").write_bytes(compact(index))



def read(layout: Path, tag: str) -> Image:
    """Read a tag of a layout back, choosing this machine's platform from an index."""

    def document(descriptor):
        return json.loads(blob_path(layout, descriptor["digest"]).read_bytes())

    entries = json.loads((layout / "index.json").read_bytes())["manifests"]
    entry = next(e for e in entries if e["annotations"][REF_NAME] == tag)
    top, chosen = document(entry), entry
    while "manifests" in (manifest := document(chosen)):
        chosen = next(
            m
            for m in manifest["manifests"]
            if m.get("platform", {}).get("architecture") == HERE["architecture"]
        )
    config = document(manifest["config"])
    media_type, digest = entry["mediaType"], entry["digest"]
    return Image(layout, tag, digest, media_type, chosen["digest"], manifest, config, top)


def as_directory(image: Image, target: Path):
    """Lay an image out as skopeo's `dir:` transport has it, which takes Docker's formats too."""
    (target / "version").write_text("Directory Transport Version: 1.1\n")
    (target / "manifest.json").symlink_to(image.blob(image.digest))
    for digest in _reachable(image, image.top):
        hex_digits = digest.partition(":")[2]
        (target / hex_digits).symlink_to(image.blob(digest))
        (target / f"{hex_digits}.manifest.json").symlink_to(image.blob(digest))


def _reachable(image, document) -> set[str]:
    found = {e["digest"] for e in document.get("layers", [])}
    if "config" in document:
        found.add(document["config"]["digest"])
    for entry in document.get("manifests", []):
        found.add(entry["digest"])
        found |= _reachable(image, json.loads(image.blob(entry["digest"]).read_bytes()))
    return found


def link(blob: Path, layout: Path):
    """Have a blob of one layout in another too, sharing its bytes."""
    target = layout / "blobs/sha256" / blob.name
    if not target.exists():
        os.link(blob, target)


def inflated(blob: Path):
    """A stream of what a gzip blob holds."""
    return gzip.open(blob)


def _compressed(stream, compression, plain, level):
    """Pieces of stream compressed; plain hashes what went in."""
    if compression == "zstd":
        yield from _zstd(stream, plain)
        return
    # wbits 31 is a gzip header with no time in it: the same bytes every day.
    squeeze = zlib.compressobj(level, wbits=31) if compression == "gzip" else None
    while piece := stream.read(READ):
        plain.update(piece)
        yield squeeze.compress(piece) if squeeze else piece
    if squeeze:
        yield squeeze.flush()


def _zstd(stream, plain):
    with subprocess.Popen(
        ["zstd", "-q", "-3", "-c"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:

        def feed():
            while piece := stream.read(READ):
                plain.update(piece)
                process.stdin.write(piece)
            process.stdin.close()

        feeder = threading.Thread(target=feed)
        feeder.start()
        while piece := process.stdout.read(READ):
            yield piece
        feeder.join()
    if process.returncode != 0:
        raise LabError(f"zstd: exit {process.returncode}")


class Tar:
    """A tar written entry by entry, in the order given, for layers that are all of our making."""

    def __init__(self, fmt=tarfile.PAX_FORMAT):
        self.buffer = io.BytesIO()
        self.tar = tarfile.open(fileobj=self.buffer, mode="w", format=fmt)

    def add(self, name: str, kind=tarfile.REGTYPE, data: bytes = b"", pax=None, **fields):
        info = tarfile.TarInfo(name)
        info.type, info.size, info.mtime = kind, len(data), MTIME
        info.mode = {tarfile.DIRTYPE: 0o755, tarfile.SYMTYPE: 0o777}.get(kind, 0o644)
        for key, value in fields.items():
            setattr(info, key, value)
        info.pax_headers = pax or {}
        self.tar.addfile(info, io.BytesIO(data) if data else None)
        return self

    def dir(self, name, mode=0o755, **fields):
        return self.add(name, tarfile.DIRTYPE, mode=mode, **fields)

    def file(self, name, data=b"", mode=0o644, **fields):
        data = data.encode() if isinstance(data, str) else data
        return self.add(name, data=data, mode=mode, **fields)

    def symlink(self, name, target, **fields):
        return self.add(name, tarfile.SYMTYPE, linkname=target, **fields)

    def link(self, name, target, **fields):
        return self.add(name, tarfile.LNKTYPE, linkname=target, **fields)

    def whiteout(self, name):
        head, _, last = name.rpartition("/")
        return self.file(f"{head}/.wh.{last}" if head else f".wh.{last}")

    def opaque(self, name):
        return self.file(f"{name}/.wh..wh..opq")

    def bytes(self) -> bytes:
        self.tar.close()
        return self.buffer.getvalue()
