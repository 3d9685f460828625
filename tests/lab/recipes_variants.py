"""The same content in the other forms registries hold: indexes, Docker's schema 2, zstd, many layers."""

from . import images, oci
from .oci import ELSEWHERE, HERE, Layer

ATTESTATION = {"os": "unknown", "architecture": "unknown"}


def _layers(layout, image, compression="gzip"):
    """An image's layers put into another layout, recompressed if asked."""
    for descriptor, diff_id in zip(image.layers, image.diff_ids):
        source = image.blob(descriptor["digest"])
        if compression == "gzip":
            oci.link(source, layout.path)
            yield Layer(descriptor["digest"], descriptor["size"], diff_id)
        else:
            with oci.inflated(source) as stream:
                yield layout.layer_from(stream, compression)


def _attestation(layout, subject):
    """What buildx adds to an image by default: a manifest that holds an in-toto statement."""
    statement = {
        "_type": "https://in-toto.io/Statement/v0.1",
        "predicateType": "https://slsa.dev/provenance/v0.2",
        "subject": [{"name": "lab", "digest": {"sha256": subject["digest"].split(":")[1]}}],
        "predicate": {"buildType": "lab"},
    }
    blob = layout.put(oci.compact(statement), "application/vnd.in-toto+json")
    config = {
        "architecture": "unknown",
        "os": "unknown",
        "config": {},
        "rootfs": {"type": "layers", "diff_ids": [blob["digest"]]},
    }
    types = oci.MEDIA_TYPES["oci"]
    manifest = {
        "schemaVersion": 2,
        "mediaType": types["manifest"],
        "config": layout.put(oci.compact(config), types["config"]),
        "layers": [blob | {"annotations": {"in-toto.io/predicate-type": statement["predicateType"]}}],
    }
    return layout.put(
        oci.compact(manifest),
        types["manifest"],
        annotations={
            "vnd.docker.reference.digest": subject["digest"],
            "vnd.docker.reference.type": "attestation-manifest",
        },
        platform=ATTESTATION,
    )


def buildx(layout: oci.Layout):
    """latest: two platforms, each with an attestation; single: one platform, as `buildx build` makes."""
    image = images.get("webapp:v1")
    layers = list(_layers(layout, image))
    run = image.config["config"]
    here = layout.image(layers, run, HERE)
    # Were it chosen by mistake, the application would say so.
    wrong = oci.Tar().file("www/index.html", '{"version":"wrong platform"}\n').bytes()
    elsewhere = layout.image([*layers[:2], layout.layer(wrong)], run, ELSEWHERE)
    proofs = [_attestation(layout, m) for m in (elsewhere, here)]
    layout.tag("latest", layout.index([elsewhere, here, *proofs]))
    layout.tag("single", layout.index([here, proofs[1]]))


def schema2(layout: oci.Layout):
    """latest: a Docker schema 2 manifest; list: a manifest list of two platforms."""
    image = images.get("webapp:v1")
    layers = list(_layers(layout, image))
    run = image.config["config"]
    here = layout.image(layers, run, HERE, "docker", docker_version="20.10.24", container="")
    elsewhere = layout.image(layers, run, ELSEWHERE, "docker")
    layout.tag("latest", here)
    layout.tag("list", layout.index([elsewhere, here], "docker"))


def zstd(layout: oci.Layout):
    """webapp and quickstart with zstd layers."""
    for tag, name in (("webapp", "webapp:v1"), ("quickstart", "quickstart:v1")):
        image = images.get(name)
        layers = list(_layers(layout, image, "zstd"))
        layout.tag(tag, layout.image(layers, image.config["config"]))


def tiny125(layout: oci.Layout):
    """webapp with tiny layers on top, 125 in all: two less than overlay2 allows."""
    image = images.get("webapp:v1")
    layers = list(_layers(layout, image))
    for number in range(125 - len(layers)):
        tar = oci.Tar().dir("layers").file(f"layers/{number:03}", f"{number}\n")
        if number:
            tar.file("layers/last", f"{number}\n")
        layers.append(layout.layer(tar.bytes(), note=f"layer {number}"))
    layout.tag("latest", layout.image(layers, image.config["config"]))
