"""Images made in memory: config, manifest, index, with a hook to spoil each."""

import json
from dataclasses import dataclass, field
from pathlib import Path

from .layers import Layer, layer, sha256

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
TYPES = {
    "oci": (OCI_MANIFEST, OCI_INDEX, OCI_CONFIG),
    "docker": (DOCKER_MANIFEST, DOCKER_LIST, DOCKER_CONFIG),
}


@dataclass
class Document:
    """A manifest or an index: bytes, a media type, and the documents and blobs it needs."""

    data: bytes
    media_type: str
    kind: str = "oci"
    blobs: dict = field(default_factory=dict)  # digest -> bytes
    documents: list = field(default_factory=list)  # Documents below an index
    config: dict = field(default_factory=dict)
    layers: list = field(default_factory=list)
    digest: str = ""

    def __post_init__(self):
        self.digest = self.digest or sha256(self.data)

    def descriptor(self, platform=None, **more):
        entry = {
            "mediaType": self.media_type,
            "digest": self.digest,
            "size": len(self.data),
            **more,
        }
        if platform:
            entry["platform"] = parse_platform(platform)
        return entry

    def everything(self):
        """(documents, blobs) of this one and all below it."""
        documents, blobs = [self], dict(self.blobs)
        for child in self.documents:
            more, theirs = child.everything()
            documents += more
            blobs.update(theirs)
        return documents, blobs

    def write_layout(self, directory, tag="latest"):
        """An OCI layout that skopeo and umoci read (`oci:DIR:TAG`)."""
        directory = Path(directory)
        documents, blobs = self.everything()
        blobs = {**blobs, **{d.digest: d.data for d in documents}}
        for digest, data in blobs.items():
            algorithm, _, value = digest.partition(":")
            path = directory / "blobs" / algorithm / value
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        (directory / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
        entry = self.descriptor(annotations={"org.opencontainers.image.ref.name": tag})
        (directory / "index.json").write_text(
            json.dumps({"schemaVersion": 2, "manifests": [entry]})
        )
        return directory


def parse_platform(platform):
    if isinstance(platform, dict):
        return platform
    system, architecture, *variant = platform.split("/")
    return {
        "architecture": architecture,
        "os": system,
        **({"variant": variant[0]} if variant else {}),
    }


def _bytes(document, change):
    """The bytes after the hook, which gets the dict and returns it, None, or bytes."""
    if change:
        changed = change(document)
        document = document if changed is None else changed
    return (
        document
        if isinstance(document, bytes)
        else json.dumps(document, separators=(",", ":")).encode()
    )


def image(
    layers=None,
    *,
    kind="oci",
    platform="linux/amd64",
    config=None,
    diff_ids=None,
    change_config=None,
    change_manifest=None,
    media_type=None,
):
    """A Document for a one-platform image of Layers (default: one layer with one file).

    kind: "oci" or "docker" (schema 2). config: the inner config (Cmd, …). diff_ids: instead of
    the true ones. change_config, change_manifest: hooks, dict -> dict, None (changed in place) or
    bytes.
    """
    layers = [layer([("hello", b"hello\n")])] if layers is None else list(layers)
    manifest_type, _, config_type = TYPES[kind]
    document = {
        **parse_platform(platform),
        "created": "2024-01-01T00:00:00Z",
        "config": config
        if config is not None
        else {"Env": ["PATH=/usr/bin:/bin"], "Cmd": ["/hello"]},
        "rootfs": {
            "type": "layers",
            "diff_ids": diff_ids if diff_ids is not None else [l.diff_id for l in layers],
        },
        "history": [{"created": "2024-01-01T00:00:00Z", "created_by": "test"} for _ in layers],
    }
    config_bytes = _bytes(document, change_config)
    manifest = {
        "schemaVersion": 2,
        "mediaType": manifest_type,
        "config": {
            "mediaType": config_type,
            "digest": sha256(config_bytes),
            "size": len(config_bytes),
        },
        "layers": [
            {"mediaType": l.media(kind), "digest": l.digest, "size": l.size} for l in layers
        ],
    }
    data = _bytes(manifest, change_manifest)
    blobs = {sha256(config_bytes): config_bytes, **{l.digest: l.blob for l in layers}}
    return Document(data, media_type or manifest_type, kind, blobs, [], document, layers)


def index(documents, *, kind="oci", change=None, media_type=None):
    """A Document for an index of (Document, platform) pairs; platform may be None."""
    documents = list(documents)
    index_type = TYPES[kind][1]
    data = _bytes(
        {
            "schemaVersion": 2,
            "mediaType": index_type,
            "manifests": [d.descriptor(platform) for d, platform in documents],
        },
        change,
    )
    return Document(data, media_type or index_type, kind, {}, [d for d, _ in documents])


def attestation(of):
    """What buildx adds to an index: an in-toto manifest that no platform may choose."""
    statement = Layer(
        b'{"_type":"https://in-toto.io/Statement/v0.1"}',
        sha256(b""),
        "none",
        media_type="application/vnd.in-toto+json",
    )
    return image([statement], platform="unknown/unknown", config={}), {
        "mediaType": OCI_MANIFEST,
        "annotations": {
            "vnd.docker.reference.digest": of.digest,
            "vnd.docker.reference.type": "attestation-manifest",
        },
    }


def buildx_index(*images):
    """An index of (Document, platform) pairs as buildx pushes it: with an attestation for each."""
    pairs = list(images)
    notes = [attestation(document) for document, _ in pairs]

    def annotate(document):
        for (_, extra), entry in zip(notes, document["manifests"][len(pairs) :]):
            entry["annotations"] = extra["annotations"]

    return index(pairs + [(note, "unknown/unknown") for note, _ in notes], change=annotate)


def read_layout(directory, name=None):
    """The Document of an OCI layout: the first in index.json, or that ref name's."""
    directory = Path(directory)

    def blob(digest):
        return directory.joinpath("blobs", *digest.split(":")).read_bytes()

    def load(entry):
        data = blob(entry["digest"])
        parsed = json.loads(data)
        if "manifests" in parsed:
            return Document(
                data, entry["mediaType"], documents=[load(e) for e in parsed["manifests"]]
            )
        parts = [parsed["config"], *parsed["layers"]]
        return Document(
            data,
            entry["mediaType"],
            blobs={p["digest"]: blob(p["digest"]) for p in parts},
            config=json.loads(blob(parsed["config"]["digest"])),
        )

    for entry in json.loads((directory / "index.json").read_text())["manifests"]:
        if name in (None, entry.get("annotations", {}).get("org.opencontainers.image.ref.name")):
            return load(entry)
    raise KeyError(f"{directory} has no image {name}")
